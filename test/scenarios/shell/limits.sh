ulimit -n 20
ulimit -n
bash -c 'for i in $(seq 3 30); do eval "exec $i</dev/null" 2>/dev/null || { echo "stopped at $i"; break; }; done'
(ulimit -f 1; { head -c 5000 /dev/zero > big; } 2> /dev/null; echo "status $?"; wc -c < big)
{ (ulimit -t 1; ulimit -c 0; while :; do :; done); } 2> /dev/null
echo "status $?"
