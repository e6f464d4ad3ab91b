# What interprets the program under the oracle is no part of its name.
plain() { sed "s|/usr/bin/qemu-riscv64-static /[^ ]* ||"; }
ps -p $$ -o user=,ruser=,group=,euid=,egid= | tr -s ' '; ps -o stat,cmd -p $$ | head -1; ps -p $$ -o pgid=,pid= | awk '{ print $1 == $2 }'
ps -p 99999 -o pid= ; echo "status $?"
sleep 300 & ps -o args= -p $! | plain; ps -o etimes= -p $! | awk '{ print ($1 < 100) }'; ps -o rss=,vsz= -p $! | awk '{ print ($1 > 0) " " ($2 >= $1) }'
ps -o tty= -p $! | tr -d ' '; ps -o wchan= -p $! > /dev/null && echo wchan; ps -o start_time=,time= -p $! | awk '{ print NF }'
nice -n 7 sleep 301 & sleep 0.5; ps -o ni= -p $! | tr -d ' '; ps -o pri= -p $! | tr -d ' '; kill %1 %2
ps -A -o comm= | grep -c '^ps$'; ps -eo pid= | wc -l | awk '{ print ($1 > 1) }'; ps --no-headers -o uid,gid -p $$ | tr -s ' '; ps -o pid= --sort=-pid | head -1 | awk '{ print ($1 > 0) }'
