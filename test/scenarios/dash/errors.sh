nosuchcommand
echo $?
./nosuch
echo $?
cat < nosuch
echo $?
(set -u; echo $nothing)
echo $?
(: ${nothing:?message})
echo $?
(set -e; false; echo no)
echo $?
dash -c 'if'
echo $?
dash -c 'echo $((1/0))'
echo $?
cd /nosuch
echo $?
dash nosuchscript
echo $?
(readonly r=1; r=2)
echo $?
shift 9
echo not reached
