nosuchcommand
echo "status $?"
./nosuchfile
echo "status $?"
/etc
echo "status $?"
touch noexec
./noexec
echo "status $?"
cd /nosuchdir
echo "status $?"
bash -c 'if then'
echo "status $?"
bash -c 'echo "unterminated'
echo "status $?"
bash -c 'case x in'
echo "status $?"
readonly R=1
(R=2)
echo "status $?"
bash nosuchscript
echo "status $?"
bash --nosuchoption 2>&1 | head -1
shift 5
echo "status $?"
return
unset 'bad-name'
echo "status $?"
export 1x=2
echo "status $?"
kill -9 999999
echo "status $?"
printf x > /dev/full
echo "status $?"
