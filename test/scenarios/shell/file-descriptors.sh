echo one > f
exec 3<f 4>>f
echo two >&4
cat <&3
readlink /proc/self/fd/3 3< f
ls /proc/$$/fd | sort -n | head -3
cat /dev/fd/5 5< f
echo x | cat /dev/stdin
echo y > /dev/stderr
echo z > /dev/stdout
exec 3<&- 4>&-
( : <&3 )
echo "status $?"
