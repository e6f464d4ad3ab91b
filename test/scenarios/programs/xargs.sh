printf 'a b\nc d\n' | xargs echo
printf 'a b\nc d\n' | xargs -n 1 echo item
printf 'a b\nc d\n' | xargs -I{} echo '<{}>'
printf 'a b\0c d\0' | xargs -0 -n1 echo
seq 10 | xargs -n 4
seq 5 | xargs -L 2 echo
echo '"quoted arg" plain' | xargs -n1 echo
seq 3 | xargs -I% sh -c 'echo $((% * %))'
printf '' | xargs echo empty
printf '' | xargs -r echo never
seq 3 | xargs -t echo 2>&1
seq 3 | xargs false
echo "status $?"
echo x | xargs sh -c 'exit 255'
echo "status $?"
echo x | xargs nosuchprogram
echo "status $?"
seq 20000 | xargs echo | wc -l
seq 8 | xargs -P 3 -n 1 sh -c 'sleep 0.0$1; echo $1' x | sort
echo "'open" | xargs
echo "status $?"
