use strict; use warnings; eval { die { code => 7 } }; print $@->{code}, "\n"; eval { die "text\n" }; print $@; eval { my $x = 1; $x / ($x - 1) }; print $@;
eval "1 +"; print $@ ? "syntax\n" : ""; open my $f, "<", "/none" or print "$!\n"; { local $@; eval { die "inner" } } print "outer: $@"; use Carp; sub f { confess "traced" } eval { f(1) }; print((split /\n/, $@)[0] =~ /traced/ ? "confess\n" : $@);
local $SIG{__DIE__} = sub { print "dying: $_[0]" }; eval { die "handled\n" }; my $u; { no warnings; print "a$u" . "b\n" } $SIG{__WARN__} = sub { print "W: ", $_[0] =~ /uninit/ ? "uninitialized" : $_[0], "\n" }; my $s = "x$u";
END { print "end block, status $?\n"; $? = 3 } undefined_function();
