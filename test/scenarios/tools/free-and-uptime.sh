free | awk 'NR == 1 { print $1, $2, $3 } /Mem/ { print ($2 > 0), ($2 >= $3), ($4 <= $2) } /Swap/ { print $1 }'
free -m | wc -l; free -h | head -1 | awk '{ print NF }'; uptime | grep -c 'load average'; uptime -p | cut -c1-2
vmstat | head -2 | tail -1; vmstat | awk 'NR == 3 { print NF }'; w -h | wc -l
cat /proc/uptime | awk '{ print ($1 > 0), NF }'; awk '{ print NF }' /proc/loadavg; nproc | awk '{ print ($1 >= 1) }'
pwdx $$ | sed 's/^[0-9]*//'; pmap $$ | tail -1 | awk '{ print $1 }'; pmap -x $$ | grep -c bash | awk '{ print ($1 > 0) }'
