# Programs that start programs in all ways, deep and wide.
sh -c 'sh -c "sh -c \"sh -c \\\"echo four deep\\\"\""'
env -i sh -c 'env sh -c "echo clean; env | sort | head -3"'
find /usr/bin -name 'z*' -exec basename {} \; | sort | head -5
seq 3 | while read n; do seq $n | paste -sd+ | { read e; echo "$e=$((e))"; }; done
x=$(cat <(cat <(cat <(echo nested)))); echo $x
exec -a another sh -c 'echo $0'
