import os, pty, termios
pid, master = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", "test -t 0 && echo a terminal; read line; echo got $line; exit 6"])
shown = b""
typed = False
while True:
    try: data = os.read(master, 1000)
    except OSError: break
    if not data: break
    shown += data
    if not typed and b"terminal" in shown:
        os.write(master, b"keys\n"); typed = True
print(shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
m, s = pty.openpty()
print(os.isatty(s), os.isatty(m))
mode = termios.tcgetattr(s)
mode[3] &= ~(termios.ECHO | termios.ICANON)
termios.tcsetattr(s, termios.TCSANOW, mode)
os.write(m, b"raw")
print(os.read(s, 10))
termios.tcsetwinsize(m, (30, 100))
print(termios.tcgetwinsize(s), os.get_terminal_size(s))
