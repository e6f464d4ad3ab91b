seq 5000 > f
cp f orig
gzip -n f
ls
gzip -l f.gz | sed 's/  */ /g'
zcat f.gz | cksum
gzip -t f.gz && echo intact
gunzip -k f.gz
cmp f orig && echo same
gzip -9nc f | wc -c
gzip -1nc f | wc -c
cat f.gz f.gz | gzip -dc | wc -l
zgrep -c 77 f.gz
zcmp f.gz f
gzip f.gz
echo "status $?"
gzip -d f
echo "status $?"
gzip nosuch
echo "status $?"
head -c 1000 f.gz | gzip -dc > /dev/null
echo "status $?"
echo garbage | gzip -d
echo "status $?"
printf 'x' >> f.gz
gzip -dc f.gz | tail -1
echo "status $?"
gzip -nS .z orig
ls
gzip -dc < orig.z | head -1
head -c 300000 /dev/zero | gzip -n | wc -c
