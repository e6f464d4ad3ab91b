getopt -o ab: -l long,value: -- -a -b x --long --value=1 rest
getopt -o a -- -z
echo "status $?"
rev <<< hello
flock f.lock echo locked
(flock -n 9 || echo no; flock -n f2.lock echo other) 9> f3.lock
(flock 9; flock -n f4.lock true; echo $?) 9> f4.lock
setsid -w sh -c 'exit 6'
echo "status $?"
prlimit --nofile=50:60 sh -c 'ulimit -n; ulimit -Hn'
namei -m /usr/bin/env | head -3
mcookie | wc -c
whereis -b ls | cut -d ' ' -f 2
mountpoint -q / && echo root
mountpoint -q /usr
echo "status $?"
fallocate -l 1000 f
stat -c %s f
rename.ul f g f f.lock 2> /dev/null
ls
more < /etc/issue
taskset -p $$ > /dev/null && echo affinity
nice -n 3 sh -c 'nice'
linux64 uname -m
echo "status $?"
logger --help | head -2 | tail -1
run-parts --list /etc/cron.daily | head -1
