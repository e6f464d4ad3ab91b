trap 'echo exit trap $?' EXIT
trap 'echo usr1' USR1
kill -USR1 $$
echo after
(trap 'echo sub exit' EXIT; exit 3)
echo $?
trap
trap - USR1
trap '' TERM
kill -TERM $$
echo survived
sh -c 'kill -INT $$'
echo $?
exit 9
