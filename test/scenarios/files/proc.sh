cat /proc/self/comm
cat /proc/self/cmdline | tr '\0' ' '
echo
readlink /proc/self/exe
readlink /proc/self/cwd
grep -c . /proc/self/maps > /dev/null && echo maps
grep '^Name:' /proc/self/status
test -r /proc/meminfo && echo meminfo
test -r /proc/uptime && echo uptime
A=1 sh -c 'tr "\0" "\n" < /proc/$$/environ | grep ^A='
ls /proc/self/fd | head -3
cat /proc/nosuch
cat /proc/99999999/comm
cat /proc/sys/kernel/ostype
head -c 6 /proc/version
echo
wc -w < /proc/loadavg
echo x > /proc/self/comm
echo "status $?"
