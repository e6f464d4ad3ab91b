v=/usr/local/lib/libfoo.so.1.2 e=
unset u
echo "${v##*/} ${v#*/} ${v%.*} ${v%%.*} ${#v} ${v:5:5} ${v: -3} ${v/lib/LIB} ${v//lib/LIB} ${v/#\/usr/}"
echo "${u:-default} ${e:-empty} ${e-set} ${u+x}${e+y} ${u:=assigned} $u"
w=hello
echo "${w^} ${w^^} ${w^^[eo]}"
W=WORLD
echo "${W,} ${W,,} ${w@Q} ${w@U}"
n=w
echo "${!n} ${!BASH_VERS*}"
set -- one two "three four"
echo "$# $1 ${3} ${@:2} ${*: -1}"
IFS=,
echo "$*"
unset IFS
(: ${nothing:?is not set})
echo "status $?"
(set -u; echo $undefined_variable)
echo "status $?"
