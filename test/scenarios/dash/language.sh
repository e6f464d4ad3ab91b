x=5
y=$((x*2+1))
echo "$x $y $((y%3)) $((1<<4)) $((0x10)) $((010))"
f() { echo "f $1 $#"; return 4; }
f a b
echo $?
for i in 1 2 3; do printf '%s ' $i; done
echo
i=0
while [ $i -lt 3 ]; do i=$((i+1)); done
echo $i
case abc in a*) echo match;; esac
v=/a/b/c.txt
echo "${v##*/} ${v%.*} ${#v} ${u:-dflt}"
set -- a "b c"
for w; do echo "<$w>"; done
shift
echo "$1"
if false; then echo no; elif true; then echo elif; else echo else; fi
until true; do :; done
{ echo group; }
(echo sub)
! false
echo $?
echo a && echo b || echo c
printf '%s\n' "$(echo nested "$(echo deep)")"
read -r l <<EOF
here $x
EOF
echo "$l"
local_test() { local z=1; echo $z; }
local_test
echo "[$z]"
eval 'echo "eval"'
: "${q:=set}"
echo $q
echo 'tab\there\n'
type cd
command -v ls
echo *
set -- $(echo "split these words")
echo $#
umask 027
umask
umask -S
ulimit -n 100
ulimit -n
