state() { awk '/^State/ { print $2 }' /proc/$1/status; }
sleep 800 & a=$!; sleep 0.3; state $a; kill -STOP $a; sleep 0.2; state $a; kill -CONT $a; sleep 0.2; state $a; state self
awk '{ print $4 == '$$' }' /proc/$a/stat; cut -d' ' -f2 /proc/$a/stat; cat /proc/$a/comm; tr '\0' '|' < /proc/$a/cmdline | sed 's/.*|sleep/sleep/'; echo
grep -c "$a" /proc/$$/task/$$/children; kill $a; { wait $a; } 2> /dev/null; test -e /proc/$a || echo gone
sh -c 'echo $PPID' | grep -c "^$$\$"; awk '/^PPid/ { print $2 == '$$' }' /proc/self/status; awk '{ print NF }' /proc/self/stat | awk '{ print ($1 >= 44) }'
perl -e '$p = fork; exit 0 unless $p; select undef, undef, undef, 0.3; open F, "/proc/$p/stat"; @f = split " ", <F>; print "$f[1] $f[2]\n"; open F, "/proc/$p/cmdline"; print "empty\n" unless <F>; waitpid $p, 0; print -e "/proc/$p" ? "there\n" : "reaped\n"'
