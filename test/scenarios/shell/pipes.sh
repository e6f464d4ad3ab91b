seq 100 | grep 7 | tail -3
yes | head -3
yes | head -n 100000 | wc -l
echo abc | tr a-c A-C | rev | cat -A
seq 10 | (read a; read b; echo "$a $b"; cat | wc -l)
printf 'b\na\nc\n' | sort | uniq | nl
head -c 100000 /dev/zero | wc -c
seq 100000 | sha256sum
false | true
echo "${PIPESTATUS[@]}"
seq 5 | while read x; do y=$x; done
echo "[$y]"
shopt -s lastpipe
seq 5 | while read x; do y=$x; done
echo "[$y]"
(yes; echo "status $?" >&2) | head -1
bash -c 'echo e >&2' |& sed 's/^/got /'
mkfifo p
(sleep 0.1; echo through > p) & cat p
seq 3 | tee a.txt b.txt | cat
cmp a.txt b.txt && echo same
: | cat
echo "empty $?"
