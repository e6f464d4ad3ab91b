import os, shutil, stat
os.makedirs("tree/a/b")
with open("tree/a/one.txt", "w") as f:
    print("first", file=f)
    f.writelines(f"line {i}\n" for i in range(3))
with open("tree/a/one.txt", "a+") as f:
    f.seek(0)
    print(f.read().splitlines(), f.tell())
shutil.copy2("tree/a/one.txt", "tree/a/b/two.txt")
os.link("tree/a/one.txt", "tree/hard")
os.symlink("a/b", "tree/soft")
os.chmod("tree/hard", 0o640)
for root, folders, names in sorted(os.walk("tree")):
    print(root, sorted(folders), sorted(names))
status = os.stat("tree/a/one.txt")
print(stat.filemode(status.st_mode), status.st_nlink, status.st_size, os.readlink("tree/soft"))
os.rename("tree/hard", "tree/moved")
print(sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir("tree")))
os.truncate("tree/moved", 5)
print(open("tree/a/one.txt", "rb").read())
for wrong in (lambda: os.rmdir("tree"), lambda: open("tree/none"), lambda: os.mkdir("tree"), lambda: os.listdir("tree/moved")):
    try:
        wrong()
    except OSError as error:
        print(type(error).__name__, error.errno, error.strerror)
shutil.rmtree("tree")
print(os.path.exists("tree"))
