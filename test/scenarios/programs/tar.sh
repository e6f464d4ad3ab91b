mkdir -p src/deep
echo one > src/one
echo two > src/deep/two
ln -s one src/link
ln src/one src/hard
mkfifo src/fifo
chmod 750 src/deep
chmod 4711 src/one
chown -h daemon:staff src/deep/two
find src -exec touch -h -d @1000000 {} +
tar --sort=name -cf a.tar src
TZ=UTC tar -tvf a.tar | sed 's/  */ /g'
cksum a.tar
mkdir x
tar -xpf a.tar -C x
stat -c '%n %a %U:%G %h %F %Y' x/src x/src/one x/src/hard x/src/deep/two x/src/link x/src/fifo
tar -cf - src | tar -tf - | sort
gzip -n a.tar
tar -tzf a.tar.gz | wc -l
tar -xzf a.tar.gz -O src/deep/two
gunzip a.tar.gz
tar -rf a.tar -C /etc debian_version
tar -tf a.tar | tail -1
tar --delete -f a.tar src/fifo
tar -tf a.tar | sort
tar -df a.tar
echo "status $?"
echo changed > src/one
tar -df a.tar
echo "status $?"
tar --exclude='*two' --transform='s,^src,dst,' --sort=name -cf b.tar src
tar -tf b.tar
tar -xf nosuch.tar
echo "status $?"
head -c 700 a.tar | tar -tf -
echo "status $?"
echo garbage | tar -tf -
echo "status $?"
tar -cf c.tar nosuch
echo "status $?"
head -c 200000 /dev/zero > src/zeros
tar -cSf sparse.tar src/zeros
tar -tf sparse.tar
tar --one-top-level=top -xf b.tar
ls top
