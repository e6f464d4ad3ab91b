exec 3>out.txt 4>&1
echo "to three" >&3
echo "to four" >&4
exec 3>&-
cat out.txt
exec 5<out.txt
read -u 5 l
echo "$l"
exec 5<&-
{ echo out; echo err >&2; } > both.txt 2>&1
cat both.txt
{ echo out; echo err >&2; } 2>&1 > only.txt | sed 's/^/piped: /'
cat only.txt
echo all &> amp.txt
echo more &>> amp.txt
cat amp.txt
(exec > sub.txt; echo inside)
echo outside
cat sub.txt
exec {fd}> named.txt
echo x >&$fd
exec {fd}>&-
cat named.txt
cat < nosuchfile
echo "status $?"
echo x > /nosuchdir/f
echo "status $?"
echo bad >&9
echo "status $?"
: > empty
wc -c < empty
exec 6<>rw.txt
echo hello >&6
cat rw.txt
echo n >> rw.txt
cat rw.txt
exec 7>&1 >saved.txt
echo "hidden"
exec >&7 7>&-
echo "visible"
cat saved.txt
