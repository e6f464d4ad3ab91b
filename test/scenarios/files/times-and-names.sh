touch -d '2001-02-03 04:05:06.123456789 UTC' f
stat -c '%y' f
TZ=UTC ls -l --time-style=full-iso f | cut -d ' ' -f 6-
touch -r f g
stat -c %Y g
touch -m -d @1 f
stat -c '%X %Y' f
[ g -nt f ] && echo newer
touch $'new\nline' 'späce ü' '*star*' '$dollar' '"quote"' "a'b"
ls
ls -b
ls -N | cat
ls --quoting-style=shell-escape
find . -name '*star*'
n=$(printf 'x%.0s' $(seq 255))
touch $n && echo long name
touch x$n
echo "status $?"
mkdir -p $(printf 'deep/%.0s' $(seq 60))
find deep | wc -l
cd $(printf 'deep/%.0s' $(seq 60))
pwd | wc -c
