printf '1\n2\n3\n4\n5\n' > a
printf '1\n2x\n3\n5\n6\n' > b
diff a b
echo "status $?"
diff -u --label A --label B a b
diff -c --label A --label B a b
diff -y -W 30 a b
diff -q a b
diff a a
echo "status $?"
diff -e a b
diff --normal -i <(echo A) <(echo a)
mkdir d1 d2
cp a d1
cp b d2/a
touch d1/only
diff -r d1 d2
diff -w <(echo 'a  b') <(echo 'a b')
diff a nosuch
echo "status $?"
cmp a b
echo "status $?"
cmp -l a b
cmp a a
cmp -n 2 a b
printf 'a' | cmp - a
printf '1\n2y\n3\n4\n5\n' > c
diff3 b a c
diff3 -m b a c
echo "status $?"
sdiff -w 30 a b
printf '\0\1' > bin
diff bin a
no=$(printf 'x'); printf 'no newline' > n1; printf 'no newline\n' > n2
diff n1 n2
