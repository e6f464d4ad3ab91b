import os, sys
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(r)
    os.write(w, b"from the child")
    os._exit(5)
os.close(w)
print(os.read(r, 100), os.read(r, 100))
_, status = os.waitpid(pid, 0)
print(os.WIFEXITED(status), os.waitstatus_to_exitcode(status))
children = [os.fork() or os._exit(n) for n in range(3)] if False else []
for n in range(3):
    child = os.fork()
    if child == 0: os._exit(n)
    children.append(child)
print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in children))
try: os.wait()
except ChildProcessError as error: print(error.errno)
sys.stdout.flush()
pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ)
print(os.waitpid(pid, 0)[1])
os.execvp("sh", ["sh", "-c", "echo replaced; exit 9"])
