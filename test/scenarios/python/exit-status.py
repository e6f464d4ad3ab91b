import atexit, sys, os
atexit.register(lambda: print("at exit", flush=True))
print(sys.argv, sys.byteorder, sys.maxsize, os.uname().sysname, os.uname().machine, sys.version_info[:2])
print("to stderr", file=sys.stderr)
sys.exit(7)
