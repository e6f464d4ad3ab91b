locale | head -1
LC_ALL=C.UTF-8 locale charmap
LC_ALL=nosuch sh -c 'true'
LC_ALL=C.UTF-8 bash -c 's=äöü; echo ${#s} ${s:1:1} ${s^^}'
LC_ALL=C bash -c 's=äöü; echo ${#s}'
printf 'b\nA\na\nB\n' | LC_ALL=C.UTF-8 sort | tr '\n' ' '
echo
printf '\344\366' | iconv -f ISO-8859-1 -t UTF-8
echo
printf 'ä' | iconv -f UTF-8 -t ASCII
echo "status $?"
printf 'ä' | iconv -f UTF-8 -t UTF-16LE | od -An -tx1
getconf PAGE_SIZE LONG_BIT
getconf LONG_BIT
ldd /bin/true | grep -o 'libc.so.6 => [^ ]*'
tput -T xterm cols
tput -T xterm bold | od -An -c
infocmp -1 dumb | head -2
