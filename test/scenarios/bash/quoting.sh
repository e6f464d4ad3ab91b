a='single "double"' b="double 'single' \$x \"q\"" c=$'tab\there\x41\u00e4\n' d=plain\ word
printf '<%s>\n' "$a" "$b" "$c" "$d" $d "" '' a"b"'c' "\\" '\' "$(echo "nested $(echo "deep")")"
echo "\a\n" 'it'\''s' "$'no'" $"plain"
echo {a,b}{1..3} {01..10..3} {z..w} pre{,x}post \{a,b\} "{a,b}"
echo ~root ~nobody "~" a~b
echo $'\101\x42\e[0m' | od -c | head -2
