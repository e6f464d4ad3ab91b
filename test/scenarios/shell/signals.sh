ulimit -c 0
for s in HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM; do
  bash -c "kill -$s \$\$" 2> /dev/null
  echo "$s $?"
done 2> /dev/null
kill -l 9
kill -l TERM
kill -l 137
sleep 10 & p=$!
kill -STOP $p
kill -CONT $p
kill $p
wait $p 2> /dev/null
echo $?
bash -c 'sleep 30 & echo started; kill -TERM $!; wait $!; echo "child $?"'
sh -c 'trap "" HUP; kill -HUP $$; echo ignored'
setsid -w sh -c 'echo session; kill -TERM 0; echo no'
echo $?
coproc { read l; echo "co:$l"; read l; }
echo hi >&"${COPROC[1]}"
read r <&"${COPROC[0]}"
echo "$r"
echo >&"${COPROC[1]}"
wait
