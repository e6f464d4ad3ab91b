package Animal; sub new { my ($c, %a) = @_; return bless { %a }, $c } sub speak { my $s = shift; return "$s->{name} says " . $s->sound }
package Dog; our @ISA = ("Animal"); sub sound { "woof" } sub DESTROY { print "gone $_[0]{name}\n" }
package main; use strict;
{ my $d = Dog->new(name => "Rex"); print $d->speak, " ", ref $d, " ", $d->isa("Animal") ? 1 : 0, " ", $d->can("fly") ? 1 : 0, "\n"; }
sub counter { my $n = shift; return { up => sub { ++$n }, get => sub { $n } } }
my ($a, $b) = (counter(5), counter(10)); $a->{up}->() for 1 .. 3; $b->{up}->();
print $a->{get}->(), " ", $b->{get}->(), "\n";
use overload (); { package V; use overload "+" => sub { V->new($_[0]{v} + (ref $_[1] ? $_[1]{v} : $_[1])) }, '""' => sub { "V($_[0]{v})" }; sub new { bless { v => $_[1] }, $_[0] } }
print V->new(3) + V->new(4), " ", V->new(1) + 2, "\n";
our $AUTOLOAD; sub AUTOLOAD { my $n = $AUTOLOAD; $n =~ s/.*:://; return if $n eq "DESTROY"; print "auto $n(@_)\n" } missing(1, 2);
local $SIG{__WARN__} = sub { print "warned: $_[0]" }; warn "careful\n";
