use strict; use warnings; use POSIX qw(:sys_wait_h); $| = 1;
my $pid = fork // die; if (!$pid) { exit 7 } waitpid $pid, 0; print $? >> 8, "\n";
print `echo backticks; exit 2`, $? >> 8, "\n"; system("sh", "-c", "kill -9 \$\$"); print $? & 127, "\n";
open my $p, "-|", "seq", "3" or die; my @l = <$p>; close $p; print map { chomp; "[$_]" } @l; print "\n";
open $p, "|-", "tr a-z A-Z" or die; print $p "to a pipe\n"; close $p;
pipe my $r, my $w; if (!(my $c = fork)) { close $r; print $w "from child $_\n" for 1 .. 3; exit } close $w; print while <$r>; wait;
my $child = open my $k, "-|"; if (!$child) { print "implicit fork"; exit 0 } print <$k>, "\n"; close $k;
my @c = map { my $n = $_; fork || do { exit $n } } 1 .. 3; my %s; while ((my $d = wait) > 0) { $s{$d} = $? >> 8 } print join(",", map { $s{$_} } @c), "\n";
print waitpid(-1, WNOHANG), " $!\n"; exec "sh", "-c", "echo exec; exit 5";
