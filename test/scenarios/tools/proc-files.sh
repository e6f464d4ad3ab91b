cd /proc/$$; for f in stat status statm cmdline comm environ maps smaps limits mounts mountinfo oom_score_adj wchan io cgroup; do test -r $f && test -n "$(head -c 1 $f | tr '\0' x)" && echo $f; done
awk '{ print NF }' stat; awk '{ print NF }' statm; cat comm; readlink root; (cd /usr/lib; readlink /proc/$BASHPID/cwd)
head -1 limits; grep -c . limits; grep -E '^(Name|Umask|State|Uid|Gid|Threads|FDSize)' status | cut -f1; grep -E '^(VmPeak|VmSize|VmRSS|RssAnon|RssFile|VmData|VmStk|VmLib|VmPTE):.* kB$' status | cut -d: -f1
grep -c '\[stack\]' maps; grep '^Rss' smaps | head -1 | awk '{ print $3 }'; grep -c '^VmFlags' smaps | awk '{ print ($1 > 3) }'; sed -n 2,4p smaps_rollup | cut -d: -f1
exec 7< /etc/passwd; cut -f1 fdinfo/7 | head -3; readlink fd/7; ls task | grep -c "^$$\$"; cat /proc/sys/kernel/ostype; wc -l < /proc/sys/kernel/hostname; cut -d: -f1 io | xargs
head -c 5 /proc/version; echo; grep -o '^MemTotal\|^MemFree\|^MemAvailable\|^Buffers\|^Cached\|^SwapTotal\|^SReclaimable\|^Shmem:\|^Committed_AS\|^HugePages_Total' /proc/meminfo; grep -o '^cpu \|^btime\|^processes\|^ctxt\|^procs_running' /proc/stat
head -1 /proc/net/unix; grep -w tmpfs /proc/filesystems; wc -l < /proc/sys/vm/overcommit_memory; awk '{ print NF }' /proc/loadavg /proc/uptime; tail -n +3 /proc/net/dev | cut -d: -f1 | grep -c lo; ls /proc/sys/net/core | grep -c '^somaxconn$'
