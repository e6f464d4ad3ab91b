use strict; use warnings; $| = 1; my @log;
$SIG{USR1} = sub { push @log, "usr1" }; kill USR1 => $$; print "@log\n";
eval { local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; select undef, undef, undef, 10; }; print "caught $@";
use POSIX (); my $set = POSIX::SigSet->new(POSIX::SIGUSR1()); POSIX::sigprocmask(POSIX::SIG_BLOCK(), $set); kill USR1 => $$; print scalar @log, "\n";
POSIX::sigprocmask(POSIX::SIG_UNBLOCK(), $set); print scalar @log, "\n";
$SIG{CHLD} = sub { push @log, "chld" }; my $p = fork; if (!$p) { POSIX::_exit(0) } waitpid $p, 0; select undef, undef, undef, 0.05; print $log[-1], "\n";
$SIG{CHLD} = "DEFAULT"; pipe my $r, my $w; $p = fork; if (!$p) { $SIG{TERM} = sub { print "terminated\n"; exit 4 }; close $r; syswrite $w, "x"; sleep 10; exit } sysread $r, my $b, 1; kill TERM => $p; waitpid $p, 0; print $? >> 8, "\n";
$SIG{PIPE} = sub { print "broken pipe\n" }; pipe $r, $w; close $r; syswrite $w, "x"; print $! + 0, "\n"; kill KILL => $$;
