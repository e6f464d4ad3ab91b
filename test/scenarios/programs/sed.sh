printf 'one\ntwo\nthree\nfour five\n' > f
sed 's/o/0/' f
sed 's/o/0/g;s/e$/E/' f
sed -n '2,3p' f
sed '/two/d' f
sed -n '/t/{s/t/T/;p}' f
sed '1!G;h;$!d' f
sed 's/\(.*\) \(.*\)/\2 \1/' f
sed -E 's/(f)(o|i)/<\1|\2>/g' f
sed '2i\inserted' f
sed '2a appended' f
sed '$c changed' f
sed 'y/abcdef/ABCDEF/' f
sed -n '$=' f
sed = f | sed 'N;s/\n/\t/'
sed ':a;N;$!ba;s/\n/,/g' f
sed -i.bak 's/one/ONE/' f
head -1 f f.bak
sed '1~2d' f
sed 's/x*/-/g' f | head -1
sed -s -n '1p' f f.bak
echo abc | sed 's/b/\U&\E-&/'
sed '/two/r f.bak' f
sed -n '/two/w out' f
cat out
sed 10q f
sed --expression='s/[[:upper:]]//g' f
sed 's/a' f
echo "status $?"
sed -n p nosuch
echo "status $?"
sed 5q3 f > /dev/null; sed 2q3 f
echo "status $?"
sed 'k' f
