echo gone > /dev/null
head -c 4 /dev/zero | od -An -tx1
head -c 1000 /dev/urandom | wc -c
echo x > /dev/full
echo "status $?"
stat -c '%n %F %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty
readlink /dev/stdin /dev/stdout /dev/fd
cat /dev/null
dd if=/dev/zero bs=1000 count=3 status=none | wc -c
cat < /dev/tty
echo "status $?"
test -w /dev/null && echo writable
cp /dev/null empty
wc -c < empty
