perl -e 'print "hello ", 6*7, "\n"'
perl -ne 'print if /oo/' <<< $'foo\nbar\nzoo'
perl -pe 's/(\w+)/\u$1/g' <<< 'the quick fox'
perl -lane 'print $F[1]' <<< 'a b c'
perl -e '%h=(b=>2,a=>1); print join(",", map {"$_=$h{$_}"} sort keys %h), "\n"; @a = sort { $b <=> $a } (3,10,2); print "@a\n"; printf "%.10f %e %s\n", atan2(1,1)*4, 1e100, 0.1+0.2'
perl -e '$s = "x" x 10; substr($s, 2, 3) = "abc"; print "$s ", length $s, " ", index($s, "c"), " ", reverse("olleh")."", "\n"; print join("|", split /,/, "a,b,,c"), "\n"'
perl -e 'sub fact { my $n = shift; $n < 2 ? 1 : $n * fact($n - 1) } print fact(20), "\n"; my @q = map { $_ ** 2 } grep { $_ % 2 } 1..9; print "@q\n"; local $, = "-"; print 1, 2, 3; print "\n"'
perl -e 'open my $f, ">", "out" or die; print $f "line $_\n" for 1..3; close $f; open $f, "<", "out"; while (<$f>) { chomp; print "[$_]" } print "\n"; print -s "out", " ", (-e "nosuch" ? 1 : 0), "\n"; unlink "out"'
perl -e 'my $pid = fork; if (!$pid) { exit 3 } waitpid $pid, 0; print $? >> 8, "\n"; print `echo from shell`; system "exit 4;"; print $? >> 8, "\n"; pipe R, W; if (!fork) { close R; print W "through a pipe\n"; exit } close W; print <R>; wait; $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5; }; print "caught $@"; kill USR1 => $$ if $SIG{USR1} = sub { print "usr1\n" }; print "done\n"'
perl -e 'use strict; use warnings; my $r = { list => [1, [2, 3]], code => sub { "called @_" } }; print $r->{list}[1][0], " ", $r->{code}->("x"), "\n"; print "$0 $ENV{A}\n"; local $@; eval { die { code => 42 } }; print $@->{code}, "\n"; my $str = "2024-05-06"; my ($y, $m) = $str =~ /^(\d+)-(\d+)/; print $y + $m, "\n"; print "ok\n" if "abc" lt "abd"; print sprintf("%vd", "1.22.333"), "\n"; print pack("NnC", 1, 2, 3) eq "\0\0\0\1\0\2\3" ? "packed\n" : "no\n"'
perl -e 'die "a message\n"'
echo "status $?"
perl -e 'print 1/0'
echo "status $?"
perl -e 'if ('
echo "status $?"
perl nosuch.pl
echo "status $?"
perl -e 'opendir D, "/nosuch" or print "error: $!\n"; print $!+0, "\n"; exit 7'
echo "status $?"
perl -e 'my $n = 0; for my $i (1..200000) { $n = ($n * 31 + $i) % 1000003 } print "$n\n"; my %c; $c{$_ % 97}++ for 1..50000; print scalar(keys %c), "\n"'
