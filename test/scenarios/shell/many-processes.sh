for i in $(seq 60); do (echo $i > f.$i) & done
wait
cat f.* | sort -n | tail -2
ls f.* | wc -l
for i in $(seq 60); do /bin/true || echo bad; done
echo done
x=$(for i in $(seq 20); do echo $(echo $(echo $i)); done)
echo $x
seq 40 | xargs -P 4 -n 1 sh -c 'echo $(( $1 * $1 ))' x | sort -n | tail -1
