use strict; my %c; $c{$_}++ for map { lc } "The cat the dog The bird a cat" =~ /\w+/g;
print join(" ", map { "$_:$c{$_}" } sort { $c{$b} <=> $c{$a} || $a cmp $b } keys %c), "\n"; my %inv = reverse map { $_ => $c{$_} } sort keys %c; print scalar keys %inv, "\n";
my @big = map { ($_ * 7919) % 10007 } 1 .. 5000; my @s = sort { $a <=> $b } @big; my $ok = 1; $s[$_ - 1] <= $s[$_] or $ok = 0 for 1 .. $#s; print "$ok $s[0] $s[-1]\n";
use List::Util qw(sum max min first reduce shuffle uniq); print sum(@big[0 .. 9]), " ", max(@big), " ", first { $_ > 5000 } @big; print " ", reduce { $a * $b } 1 .. 10; print " ", join ",", uniq(1, 1, 2, 3, 3); print "\n";
my %slice; @slice{qw(a b c)} = 1 .. 3; my ($x, $y) = @slice{qw(a c)}; print "$x$y ", join(",", map { "$_=$slice{$_}" } sort keys %slice), "\n"; my @nested = map { [split //] } qw(abc de); print join("|", map { join "-", @$_ } @nested), " ", "@{[map { scalar @$_ } @nested]}\n";
