printf '%5d|%-5d|%05d|%+d|% d|%x|%X|%#o|%c|%s|%10.3s|%-8s|\n' 42 42 42 42 42 255 255 8 char string truncated left
printf '%.3f %8.2f %e %g %G\n' 3.14159 2.71828 12345.678 0.0001 1e20
printf '%b\n' 'a\tb\x41\0101'
printf '%q ' 'a b' "it's" '$x' ''
echo
printf '%s-%s\n' a b c d e
printf '%d %d\n' "'A" '"B'
printf '%*d|%-*d|\n' 6 1 6 2
printf '%(%Y-%m-%d)T\n' 86400
printf -v var '%03d' 7
echo $var
printf '%d\n' notanumber
echo "status $?"
printf '%i %u\n' -5 5
printf '100%%\n'
printf '\u20ac\n' | od -An -tx1
