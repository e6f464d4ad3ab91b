for x in apple Banana 42 "" "a b" 3.14; do
  case $x in [a-z]*) echo "$x lower";; [A-Z]*) echo "$x upper";; *[!0-9]*) echo "$x mixed";; '') echo empty;; *) echo "$x number";; esac
done
case x in x) echo one;& y) echo two;;& *) echo three;; esac
[[ abc == a* ]] && echo glob
[[ abc == "a*" ]] || echo literal
[[ foo123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]}-${BASH_REMATCH[2]}"
[[ a < b && ! b < a ]] && echo order
[[ -n x && -z "" ]] && echo nz
[ 5 -gt 3 -a 2 -lt 9 ] && echo num
[ \( a = a \) -o b = c ] && echo paren
touch f
[ -f f ] && [ ! -s f ] && [ -e f ] && [ -r f ] && [ ! -x f ] && echo file
[ -d / ] && [ -L /bin ] && [ -c /dev/null ] && echo kinds
touch -d @1000 old
[ f -nt old ] && echo newer
ln f f2
[ f -ef f2 ] && echo same
[ 1 -eq one ]
echo "status $?"
[ a b ]
echo "status $?"
[ -t 1 ] || echo "no terminal"
