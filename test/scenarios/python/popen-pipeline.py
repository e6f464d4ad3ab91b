import subprocess
a = subprocess.Popen(["seq", "20000"], stdout=subprocess.PIPE)
b = subprocess.Popen(["grep", "7"], stdin=a.stdout, stdout=subprocess.PIPE)
a.stdout.close()
c = subprocess.Popen(["wc", "-l"], stdin=b.stdout, stdout=subprocess.PIPE, text=True)
b.stdout.close()
print(c.communicate(), a.wait(), b.wait(), c.returncode)
with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as cat:
    for text in (b"one\n", b"two\n"):
        cat.stdin.write(text)
        print(cat.stdout.readline(), cat.poll())
    cat.terminate()
    print(cat.wait())
big = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
data = bytes(range(256)) * 2000
print(big.communicate(data)[0] == data)
