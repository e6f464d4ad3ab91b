truncate -s 1M sparse
stat -c '%s' sparse
od -An -tx1 -N 4 sparse
printf x | dd of=sparse bs=1 seek=500000 conv=notrunc status=none
tail -c +500001 sparse | head -c 1
echo
cksum sparse
cp --sparse=always sparse copy
cmp sparse copy && echo equal
head -c 3000000 /dev/zero | tr '\0' 'x' > big
wc -c big
split -b 1000000 big part.
cat part.* | cmp - big && echo rejoined
truncate -s 10 big
cat big
echo
