mkdir -p t/a/b t/c
touch -d @1000 t/old
touch t/new t/a/x.c t/a/b/y.c t/c/.hidden
head -c 5000 /dev/zero > t/big
ln -s ../new t/c/link
chmod 600 t/new
find t | sort
find t -name '*.c' | sort
find t -type d | sort
find t -type l -printf '%p -> %l\n'
find t -size +4k
find t -empty | sort
find t -newer t/old -type f | sort
find t -perm 600
find t -maxdepth 1 -mindepth 1 | sort
find t -name b -prune -o -type f -print | sort
find t -name '*.c' -exec wc -c {} + | tail -1
find t -name '*.c' -exec echo found {} \; | sort
find t \( -name x.c -o -name big \) -printf '%f %s %m\n' | sort
find t -name '*.c' -delete
find t -iname '*.C'
find t -path '*a/b*'
find t -regex '.*/[no][el].*' | sort
find t -mmin -60 -type f | wc -l
find t -print0 | tr '\0' '\n' | wc -l
find nosuch
echo "status $?"
find t -nosuchtest
echo "status $?"
mkdir locked
chmod 000 locked
chroot --userspec=nobody:nogroup / find /tmp/locked
echo "status $?"
