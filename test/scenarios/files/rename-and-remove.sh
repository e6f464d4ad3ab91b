mkdir -p a/b/c d
echo 1 > a/b/c/f
mv a/b d/
find . | sort
mv d/b/c/f renamed
mv renamed d
mv nosuch x
mv d d/b
rmdir d
echo "status $?"
rm d
echo "status $?"
rm -r d/b
ls -A d
touch 'a b' -- -dash
rm -- -dash
rm 'a b'
mkdir x
cd x
rmdir ../x
pwd
ls
touch f
echo "status $?"
cd ..
exec 3> open
rm open
echo still >&3
ls
mkdir -p one/two
mv -T one three
mv -n three/two three/two2
ls three
touch t1 t2
mv -b t1 t2
ls
