use strict; use warnings; use Socket; use IO::Socket::UNIX; use IO::Select; $| = 1;
socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die; $a->autoflush; print $a "over a pair\n"; print scalar <$b>;
shutdown $a, 1; print defined <$b> ? "more" : "end", "\n";
my $server = IO::Socket::UNIX->new(Local => "perl.sock", Listen => 2) or die "$!";
my $pid = fork; if (!$pid) { my $c = IO::Socket::UNIX->new(Peer => "perl.sock") or die; print $c "ping\n"; print "client got ", scalar <$c>; exit 0 }
my $c = $server->accept; print "server got ", scalar <$c>; print $c "pong\n"; close $c; waitpid $pid, 0; print $?, " ", -S "perl.sock" ? "socket" : "", "\n";
socketpair $a, $b, AF_UNIX, SOCK_DGRAM, 0; send $a, "one", 0; send $a, "two", 0; recv $b, my $x, 10, 0; recv $b, my $y, 10, 0; print "$x $y\n";
my $s = IO::Select->new($b); print scalar($s->can_read(0.02)), "\n"; send $a, "z", 0; print scalar($s->can_read(1)), "\n"; print unpack("i", getsockopt $a, SOL_SOCKET, SO_TYPE), "\n";
