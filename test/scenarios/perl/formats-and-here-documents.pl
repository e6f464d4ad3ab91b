our ($n, $v); format STDOUT_TOP =
Name       Value
----------------
.
format STDOUT =
@<<<<<<<< @>>>>>
$n,       $v
.
for (["apple", 1], ["banana", 22], ["long name here", 333]) { ($n, $v) = @$_; write }
$~ = "OTHER"; format OTHER =
@|||||||||@##.##
$n, $v
.
write; my $who = "world"; print <<"A", <<'B', <<~C;
hello $who
A
no $interpolation
B
    indented
      more
    C
print "$0 $;" eq "-e \x1c" ? "ok\n" : "other\n"; print __LINE__, " ", __FILE__, "\n"; print <DATA> // "no data";
