import os, signal
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.write(told, b"1")
        signal.pause()
    # However slow the machine is: not before the child has set its signals.
    os.read(ready, 1)
    os.kill(pid, number)
    print(number.name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
signal.signal(signal.SIGINT, signal.default_int_handler)
try: os.kill(os.getpid(), signal.SIGINT); signal.pause()
except KeyboardInterrupt: print("interrupted")
