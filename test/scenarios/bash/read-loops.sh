printf 'a:1\nb:2\n\nlast' | while IFS=: read -r k v || [ -n "$k" ]; do echo "k=$k v=$v"; done
printf 'one\\\ntwo\nthree\n' | { read x; echo "[$x]"; read -r y; echo "[$y]"; }
echo "a b c d" | { read p q r; echo "$p|$q|$r"; }
printf 'x\0y\0' | while IFS= read -r -d '' z; do echo "<$z>"; done
echo abcdef | { read -n 3 s; echo $s; }
read -t 0.1 t < <(sleep 1)
echo "timeout $(( $? > 128 ))"
exec 3< <(seq 3)
while read -u 3 n; do echo "fd3 $n"; done
exec 3<&-
i=0
until [ $i -ge 3 ]; do i=$((i+1)); [ $i = 2 ] && continue; echo "until $i"; done
for i in 1 2 3; do for j in a b; do [ $i$j = 2a ] && continue 2; [ $i = 3 ] && break 2; echo $i$j; done; done
select x in alpha beta; do echo "chose $x"; break; done <<< 2
