import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
print(libc.abs(-5), libc.strlen(b"eleven char"), ctypes.c_int32(2 ** 31).value)
print(libc.open(b"/no/such", 0), os.strerror(ctypes.get_errno()))
class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]
print(ctypes.sizeof(Point), Point.y.offset, bytes(Point(1, 2.0))[8:].hex())
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
values = (ctypes.c_int * 5)(5, 3, 1, 4, 2)
libc.qsort(values, 5, 4, compare(lambda a, b: a[0] - b[0]))
print(list(values))
def status(fault):
    pid = os.fork()
    if pid == 0:
        fault()
        os._exit(0)
    return signal.Signals(-os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).name
print(status(lambda: ctypes.string_at(8)), status(lambda: ctypes.memset(16, 1, 4)))
print(status(lambda: libc.abort()), status(lambda: ctypes.CFUNCTYPE(None)(4096)()))
