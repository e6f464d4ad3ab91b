import mmap, os
with open("data", "wb+") as f:
    f.write(bytes(range(256)) * 32)
    f.flush()
    with mmap.mmap(f.fileno(), 0) as m:
        print(len(m), m[:4], m.find(b"\x80\x81"), m[-1])
        m[0:5] = b"HELLO"
        m.seek(5); m.write(b"!")
        m.flush()
        m.move(100, 0, 6)
    f.seek(0)
    print(f.read(6), os.pread(f.fileno(), 6, 100))
    with mmap.mmap(f.fileno(), 4096, access=mmap.ACCESS_COPY, offset=4096) as private:
        private[0] = 255
    print(os.pread(f.fileno(), 1, 4096))
    with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        try: m[0] = 1
        except TypeError as error: print(error)
shared = mmap.mmap(-1, 4096)
if os.fork() == 0:
    shared[:5] = b"child"
    os._exit(0)
os.wait()
print(shared[:5])
