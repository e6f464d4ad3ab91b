printf 'ann 31 x\nbob 4 y\ncat 12 x\n' > f
awk '{ print $2, $1 }' f
awk '$2 > 10 { n++; s += $2 } END { print n, s, s/n }' f
awk -F: 'NR <= 3 { print $1 "=" $3 }' /etc/passwd
awk '{ c[$3]++ } END { for (k in c) print k, c[k] }' f | sort
awk 'BEGIN { printf "%5.2f|%-5s|%03d\n", 3.14159, "ab", 7; print length("hello"), substr("hello", 2, 3), index("hello", "l"), toupper("x") }'
awk '{ gsub(/[aeiou]/, "_"); print }' f
awk 'function f(n) { return n < 2 ? n : f(n-1) + f(n-2) } BEGIN { print f(18) }'
awk '/bob/, /cat/' f
awk -v x=5 'BEGIN { print x * 2, 2 ** 10, 7 % 3, int(3.9) }'
awk 'BEGIN { while (("echo a; echo b" | getline l) > 0) print "got " l; print "to sort" | "sort"; system("exit 3") }'
awk '{ a[NR] = $0 } END { for (i = NR; i; i--) print a[i] }' f
awk 'BEGIN { n = split("a-b-c", p, "-"); print n, p[3]; if (match("foobar", /o+/)) print RSTART, RLENGTH }'
awk 'BEGIN { exit 4 }'
echo "status $?"
awk '{ print' f 2> /dev/null
echo "status $?"
awk 1 nosuch 2> /dev/null
echo "status $?"
