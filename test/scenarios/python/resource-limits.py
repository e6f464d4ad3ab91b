import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
held = []
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error: print(error.strerror, held[-1])
for fd in held: os.close(fd)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
fd = os.open("limited", os.O_CREAT | os.O_WRONLY)
print(os.write(fd, b"x" * 600), os.write(fd, b"x" * 600))
try: os.write(fd, b"x")
except OSError as error: print(error.strerror)
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >= 0)
