sleep 701 & sleep 0.3
top -b -n 1 -w 100 | sed -n 7p | tr -s ' '; top -b -n 1 -p $! | tail -1 | awk '{ print $2 " " $8 " " $NF }'
top -b -n 2 -d 0.2 -p $! | grep -c ' sleep$'; top -b -n 1 | sed -n 2p | sed 's/[0-9][0-9]*/N/g' | tr -s ' '
top -b -n 1 | awk '/MiB Mem/ { print ($4 > 0) " total" }'; top -b -n 1 -p 99999 | sed 1,6d | grep -c .; kill $!
top -b -n 1 -u nobody | sed 1,7d | wc -l; top -b -n 1 -o +PID -w 80 > /dev/null; echo "status $?"
