trap 'echo "EXIT $?"' EXIT
trap 'echo "got INT"' INT
trap 'echo "got TERM"' TERM
kill -INT $$
kill -TERM $$
(trap 'echo child' USR1; kill -USR1 $BASHPID; echo done)
trap -p INT
f() { trap 'echo RETURN' RETURN; echo in f; }
f
trap - RETURN
trap 'echo "DEBUG $BASH_COMMAND"' DEBUG
x=1
trap - DEBUG
trap 'echo "ERR line"' ERR
false
trap - ERR
bash -c 'trap "echo cleanup; exit 5" TERM; kill $$; sleep 1'
echo "status $?"
bash -c 'trap "" PIPE; { sleep 0.5; echo x; } | true; echo ok'
(sleep 0.3; kill -USR2 $$) &
trap 'echo "USR2 during wait"' USR2
wait
echo "wait status $(($? - 128 == $(kill -l USR2)))"
wait
timeout 0.5 bash -c 'trap "echo timed; exit 3" TERM; sleep 5 & wait'
echo "status $?"
{ timeout -s KILL 0.2 sleep 5; } 2> /dev/null
echo "status $?"
exit 4
