x=1
(x=2; echo "sub $x")
echo "main $x"
{ x=3; }
echo "group $x"
echo "$(x=4; echo $x) $x"
echo $BASH_SUBSHELL $(echo $BASH_SUBSHELL)
(cd /usr; pwd)
pwd
(exit 5)
echo $?
$(exit 6)
echo $?
a=$(echo out; exit 7)
echo "$? $a"
! (exit 0)
echo $?
(trap 'echo exiting' EXIT; exit 2)
echo $?
export E=exported
N=not
bash -c 'echo "[$E][$N]"'
A=temp bash -c 'echo $A'
echo "[$A]"
env -i B=1 bash -c 'echo $B; echo $E'
eval 'y=5; echo "eval $y"'
cmd='echo "two  spaces"'
eval $cmd
$cmd
. /dev/stdin <<< 'sourced=yes'
echo $sourced
exec bash -c 'echo replaced'
