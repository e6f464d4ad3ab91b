# What interprets the program under the oracle is no part of its name.
plain() { sed "s|/usr/bin/qemu-riscv64-static /[^ ]* ||"; }
sleep 501 & sleep 502 & sleep 503 & sleep 0.5
pgrep -c sleep; pgrep -l sleep | sed 's/^[0-9]* //'; pgrep -x slee; echo "status $?"
pgrep -P $$ -a sleep | plain | sed 's/^[0-9]* //'; pgrep -n sleep | grep -c "^$!$"; pgrep -o sleep | wc -l
pkill -n sleep; sleep 0.3; pgrep -a sleep | plain | sed 's/^[0-9]* //'; pgrep -u root -c sleep; pgrep -u nobody sleep || echo none of nobody
pkill -STOP -o sleep; sleep 0.2; ps -C sleep -o stat=,args= | plain | sed 's/^\(.\)[^ ]*/\1/' | tr -s ' ' | sort; pkill -CONT sleep; pkill -c sleep
sleep 0.3; wait 2> /dev/null; pgrep sleep || echo none left
