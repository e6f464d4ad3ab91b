import os, signal
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pause()
    import time; time.sleep(0.05)
    os.kill(pid, number)
    print(number.name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
signal.signal(signal.SIGINT, signal.default_int_handler)
try: os.kill(os.getpid(), signal.SIGINT); signal.pause()
except KeyboardInterrupt: print("interrupted")
