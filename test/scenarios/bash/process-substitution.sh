diff <(printf '1\n2\n3\n') <(printf '1\n2\n4\n')
echo "status $?"
paste <(seq 3) <(seq 4 6)
cat <(echo a) <(echo b)
while read -r x; do sum=$((sum+x)); done < <(seq 10)
echo $sum
tee >(tr a-z A-Z > upper.txt) <<< "to both" | cat
sleep 0.3
cat upper.txt
comm -12 <(printf 'a\nb\nc\n') <(printf 'b\nc\nd\n')
