parse() {
  local OPTIND=1 o
  while getopts ':ab:c' o; do
    case $o in a) echo "a";; b) echo "b=$OPTARG";; c) echo "c";; :) echo "missing $OPTARG";; \?) echo "unknown $OPTARG";; esac
  done
  shift $((OPTIND-1))
  echo "rest: $*"
}
parse -a -b value -c x y
parse -ac -bvalue
parse -b
parse -z -a
parse -a -- -b
parse
loud() { OPTIND=1; getopts ab: o "$@"; echo "$o"; }
loud -q
loud -b
