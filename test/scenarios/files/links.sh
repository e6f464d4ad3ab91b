echo data > file
ln file hard
ln -s file soft
ln -s nowhere broken
ln -s . self
stat -c '%h %F %N' file hard soft broken
readlink soft
readlink -f self/self/self/soft
realpath broken
cat broken
rm file
cat hard
cat soft
echo again > soft
cat file
ln -s loop1 loop2
ln -s loop2 loop1
cat loop1
ls -l loop1 > /dev/null && echo listed
ln hard hard
ln nosuch x
ln . dirlink
ln -sf hard soft
readlink soft
mkdir d
ln -s ../hard d/up
cat d/up
mv d e
cat e/up
cp -P e/up copied
readlink copied
find . -type l | sort
find . -xtype l | sort
