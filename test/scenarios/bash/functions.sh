f() {
  local a=$1 b
  b=$((a*2))
  echo "in f: $a $b $# $FUNCNAME"
  return 3
}
a=outer
f 21 x
echo "status $? a=$a"
function g { echo "g called by ${FUNCNAME[1]}"; }
h() { g; }
h
fact() { if (( $1 <= 1 )); then echo 1; else echo $(( $1 * $(fact $(($1-1))) )); fi; }
fact 12
outer() { local v=dynamic; inner; }
inner() { echo "inner sees $v"; }
outer
echo "[$v]"
nameref() { local -n r=$1; r=changed; }
target=old
nameref target
echo $target
unset -f f
f
type -t g
declare -f h
rec() { (( $1 == 0 )) && return 0; rec $(($1-1)); }
rec 200 && echo deep
export -f g
bash -c 'g' | cat
echo() { builtin echo "wrapped: $*"; }
echo hi
unset -f echo
echo hi
