import os, tempfile, stat
with tempfile.TemporaryFile() as f:
    f.write(b"unnamed"); f.seek(0)
    print(f.read(), os.fstat(f.fileno()).st_nlink)
with tempfile.NamedTemporaryFile("w+", suffix=".txt") as f:
    name = f.name
    print(name.startswith("/tmp/tmp"), name.endswith(".txt"), oct(stat.S_IMODE(os.stat(name).st_mode)))
print(os.path.exists(name))
with tempfile.TemporaryDirectory(prefix="dir-") as d:
    open(os.path.join(d, "inside"), "w").close()
    print(os.path.basename(d)[:4], os.listdir(d))
print(os.path.exists(d))
with tempfile.SpooledTemporaryFile(max_size=10) as s:
    s.write(b"short"); before = s._rolled; s.write(b"longer than that"); print(before, s._rolled)
