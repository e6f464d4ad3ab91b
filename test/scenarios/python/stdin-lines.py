import sys, fileinput
total = 0
for line in sys.stdin:
    key, _, value = line.rstrip("\n").partition(" ")
    total += int(value or 0)
    print(f"{key:>6} {total}")
print(sys.stdin.read() == "", sys.stdin.isatty(), sys.stdout.encoding)
