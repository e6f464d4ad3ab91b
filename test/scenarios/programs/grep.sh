printf 'alpha\nBeta\ngamma 12\ndelta-34\n\nalphabet\n' > f
printf 'other\nalpha again\n' > g
grep alpha f
grep -i beta f
grep -c a f g
grep -n '[0-9]\+' f
grep -E '^(alpha|gamma)' f
grep -v a f | cat -A
grep -o '[a-z]*ta' f
grep -w alpha f
grep -x alphabet f
grep -l alpha f g nosuch
grep -h alpha f g
grep -A1 -B1 gamma f
grep -P '(?<=-)\d+' f
grep -F 'a.' f
echo "status $?"
printf 'a\0b\n' > bin
grep b bin
grep -a b bin | od -c | head -1
mkdir d
cp f d
grep -r delta d
grep -q alpha f && echo found
grep '[' f
echo "status $?"
grep -e alpha -e delta -m 2 f
grep --color=always mm f
printf 'x\n' | grep -f - f
echo "status $?"
egrep 'a+' g 2> /dev/null
echo 'aXbXc' | grep -oE '[a-z]' | tr '\n' ,
echo
printf 'äöü\nabc\n' | LC_ALL=C.UTF-8 grep -o '^.'
