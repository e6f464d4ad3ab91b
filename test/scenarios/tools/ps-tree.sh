# What interprets the program under the oracle is no part of its name.
plain() { sed "s|/usr/bin/qemu-riscv64-static /[^ ]* ||"; }
sleep 1000 & sleep 1001 & (sleep 1002 & exec sleep 1003) &
sh -c 'sleep 1004 & wait' &
sleep 1005 & sleep 0.5; kill -STOP $!
sleep 0.7
ps -C sleep -o args= | plain | grep 'sleep 10' | sort
ps -C sleep -o stat=,args= | plain | grep 1005 | cut -c1; ps -p $$ -o comm=,ni=,cls= | tr -s ' '
ps -o ppid= -C sleep | sort | uniq -c | awk '{ print $1 }' | sort | xargs; ps -o sid= -p $! | awk '{ print $1 > 0 }'
ps -eo comm= | sort | uniq -c | awk '$2 == "sleep" { print $1, $2 }'
disown -a; kill -KILL $(ps -C sleep -o pid=); sleep 0.5
ps -C sleep -o args= || echo none left
