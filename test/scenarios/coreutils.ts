/**
 * Each program of coreutils, once on real input and once failing. The shell's own echo, printf, test, pwd, true
 * and false are gone around by the full path. Files are made anew for each: see PRELUDE.
 */

import type { Scenario } from "../../tools/oracle/scenario.ts";

const raw = String.raw;

const PRELUDE = raw`printf 'pear 3\napple 10\nfig 2\napple 10\nquince 7\n' > fruit
seq 1 12 > numbers
printf 'name\tage\nann\t31\nbob\t4\n' > table
printf 'The quick brown fox\n\tjumps over   the lazy dog.\n\nEnd\n' > text
`;

/** Program, on real input, failing. */
const programs: readonly (readonly [program: string, works: string, fails: string])[] = [
  ["[", raw`/usr/bin/[ 3 -lt 5 -a -f fruit ]`, raw`/usr/bin/[ 3 -lt`],
  ["arch", "arch", "arch extra"],
  ["b2sum", "b2sum fruit numbers | tee sums; b2sum -c sums", "b2sum nosuch"],
  ["base32", "base32 fruit; base32 fruit | base32 -d | cmp - fruit", "echo '!!!' | base32 -d"],
  ["base64", "base64 -w 20 fruit; base64 fruit | base64 -d | head -1", "echo 'a*b' | base64 -d"],
  ["basename", "basename /usr/lib/x.so .so; basename -a a/b c/d", "basename"],
  [
    "basenc",
    "basenc --base16 table; basenc --z85 -w0 < /etc/debian_version | head -c 0; echo hi | basenc --base64url",
    "basenc table",
  ],
  ["cat", "cat -A table; cat -n text - < numbers | tail -n 3; cat -s text", "cat nosuch /; echo after"],
  ["chcon", "chcon --help | head -1", "chcon user_u:object_r:tmp_t:s0 nosuch"],
  ["chgrp", "chgrp staff fruit; stat -c %G fruit; chgrp -c 0 fruit", "chgrp nosuchgroup fruit"],
  [
    "chmod",
    "chmod -v 640 fruit; chmod a+x fruit; stat -c %A fruit; chmod --reference=table fruit; stat -c %a fruit",
    "chmod 888 fruit",
  ],
  [
    "chown",
    "chown daemon:bin fruit; stat -c %U:%G fruit; chown -c --from=daemon root fruit",
    "chown nosuchuser fruit",
  ],
  ["chroot", "chroot / sh -c 'pwd'; chroot --userspec=nobody / id -un", "chroot nosuchdir true"],
  ["cksum", "cksum fruit numbers; cksum -a sha1 fruit; cksum -a crc32b --base64 fruit", "cksum nosuch"],
  ["comm", "sort fruit > a; printf 'apple 10\nkiwi 1\n' > b; comm a b; comm -12 a b", "comm fruit nosuch"],
  [
    "cp",
    "cp fruit copy; cmp fruit copy; mkdir -p d/e; cp table d/e; cp -r d d2; find d2; cp -v -t d fruit text; cp -p -u fruit d",
    "cp d x; cp nosuch x; cp fruit fruit",
  ],
  ["csplit", "csplit numbers 4 /9/; cat xx01", "csplit numbers 99"],
  [
    "cut",
    "cut -d ' ' -f 2 fruit; cut -c 1-3,5 fruit; cut -f 2- --output-delimiter=: table; cut -b 2 --complement table",
    "cut fruit",
  ],
  [
    "date",
    "date -u -d @86400; date -u -d '2024-02-28 +2 days' +%F; date -u -d '2000-01-01 12:34:56' '+%s %A %j %V'; TZ=Europe/Berlin date -d @1700000000 -R",
    "date -d 'no such day'",
  ],
  [
    "dd",
    "dd if=numbers bs=4 skip=1 count=2 status=none; dd if=fruit conv=ucase status=none; dd if=fruit of=numbers bs=2 seek=1 conv=notrunc status=none; cat numbers",
    "dd if=nosuch; dd bs=x",
  ],
  ["df", "df --output=target /proc /; df -a --output=fstype /proc", "df nosuch"],
  ["dir", "dir; dir -a -1", "dir nosuch"],
  [
    "dircolors",
    "dircolors -b | head -c 60; echo; printf 'DIR 01;31\n*.x 4\n' | dircolors -c -",
    "dircolors nosuch",
  ],
  ["dirname", "dirname /usr/lib/x.so a/b/ c", "dirname"],
  [
    "du",
    "mkdir d; head -c 5000 /dev/zero > d/f; du -b --apparent-size d/f; du -ab d | wc -l; du -bs --max-depth=0 d/f",
    "du nosuch",
  ],
  [
    "echo",
    raw`/usr/bin/echo -e 'a\tb\x41\c'; /usr/bin/echo -n no newline; /usr/bin/echo -E 'a\n'`,
    "/usr/bin/echo x > /dev/full",
  ],
  [
    "env",
    "env -i A=1 B=2 env | sort; env -u HOME sh -c 'echo [$HOME]'; env -C /usr pwd; env -S 'sh -c \"echo split\"'",
    "env nosuchprogram",
  ],
  ["expand", "expand -t 4 table | cat -A; expand -i text", "expand -t x table"],
  [
    "expr",
    "expr 3 + 4 '*' 2; expr abc : 'a\\(.\\)'; expr length hello; expr substr hello 2 3; expr 5 '>' 3 '&' 1",
    "expr 1 / 0; expr 3 +",
  ],
  ["factor", "factor 1 97 360 4294967297 18446744073709551617", "factor abc"],
  ["false", "/usr/bin/false --help | head -1", "/usr/bin/false"],
  ["fmt", "fmt -w 20 text; fmt -s -w 30 text", "fmt -w x text"],
  ["fold", "fold -w 10 text; fold -s -w 12 text", "fold -w 0 text"],
  ["groups", "groups; groups daemon nobody", "groups nosuchuser"],
  [
    "head",
    "head -n 2 fruit numbers; head -c 7 text; head -n -10 numbers; head -q -n 1 fruit table",
    "head -n x fruit; head nosuch",
  ],
  ["hostid", "hostid | wc -c", "hostid extra"],
  ["id", "id; id -un nobody; id -G daemon; id -nG; id 0", "id nosuchuser"],
  [
    "install",
    "install -m 600 -D fruit dir/sub/fruit; stat -c '%a %n' dir/sub/fruit; install -d -m 711 newdir; stat -c %a newdir; install -v table newdir",
    "install fruit nosuch/dir/x",
  ],
  [
    "join",
    "sort fruit > a; printf 'apple red\nfig green\n' > b; join a b; join -a 1 -e none -o 0,1.2,2.2 a b; join -t '\t' table table",
    "join fruit fruit",
  ],
  ["link", "link fruit hard; stat -c %h fruit", "link nosuch x; link fruit"],
  [
    "ln",
    "ln -s fruit soft; readlink soft; ln fruit hard; stat -c %h hard; ln -sfv table soft; mkdir d; ln -sr d/../fruit d/rel; readlink d/rel",
    "ln nosuch x; ln -s a fruit",
  ],
  ["logname", "logname --version | head -1", "logname"],
  [
    "ls",
    "touch -d @0 *; ls -l | sed 1d; mkdir d; ls -F; ls -1 -S -r fruit numbers table text; ls -d */; ls -A d; ls -lnd --time-style=+%Y fruit; ls -x -w 40; ls -R | head -3; ls -m",
    "ls nosuch /nosuch/x",
  ],
  [
    "md5sum",
    "md5sum fruit text > sums; cat sums; md5sum -c sums; echo x >> fruit; md5sum -c --quiet sums",
    "md5sum -c nosuch",
  ],
  [
    "mkdir",
    "mkdir -p a/b/c; mkdir -m 700 -v p; stat -c %a p; (umask 077; mkdir q); stat -c %a q",
    "mkdir fruit; mkdir x/y/z",
  ],
  ["mkfifo", "mkfifo -m 640 p; stat -c '%F %a' p; (cat fruit > p &) ; wc -l < p", "mkfifo fruit"],
  ["mknod", "mknod p p; mknod n c 1 3; stat -c '%F %t %T' p n; echo x > n", "mknod x c 1; mknod fruit p"],
  [
    "mktemp",
    "f=$(mktemp); test -f $f && stat -c %a $f; d=$(mktemp -d dXXX); test -d $d && stat -c %a $d; mktemp -u | sed 's/[^/.]*$/X/'",
    "mktemp noX; mktemp -p /nosuch",
  ],
  [
    "mv",
    "mv fruit renamed; mkdir d; mv -v renamed table d; ls d; mv -n d/table numbers; mv -t . d/table; mv --backup=numbered numbers text; ls",
    "mv nosuch x; mv d d/e; mv d text",
  ],
  ["nice", "nice; nice -n 5 nice; nice -n 5 nice -n 30 nice", "nice -n x true; nice nosuchprogram"],
  ["nl", "nl text; nl -ba -w3 -s': ' text; nl -n rz -v 10 -i 10 fruit", "nl -b x text"],
  [
    "nohup",
    "nohup echo kept 2>&1 | sed 's/^/out: /'; (nohup sh -c 'kill -HUP $$; echo alive') 2> /dev/null",
    "nohup nosuchprogram",
  ],
  ["nproc", "OMP_NUM_THREADS=3 nproc; nproc --ignore=1000", "nproc x"],
  [
    "numfmt",
    "numfmt --to=iec 1024 1500000; numfmt --from=si 5K 2M; numfmt --field=2 --to-unit=2 --format=%.1f < fruit; numfmt --grouping 12345",
    "numfmt abc",
  ],
  [
    "od",
    "od -c table; od -An -tx1 -N 8 fruit; od -A x -t x4z numbers | tail -2; od -td2 -j 2 -N 4 fruit; printf '\\000\\000\\300\\077' | od -An -tf4",
    "od nosuch; od -t q fruit",
  ],
  [
    "paste",
    "paste fruit numbers | head -3; paste -s -d , numbers; paste -d '+-' numbers numbers numbers | head -1; seq 6 | paste - -",
    "paste nosuch",
  ],
  [
    "pathchk",
    "pathchk /usr/lib a.b; pathchk -p ok",
    "pathchk -p 'bad name'; pathchk -P ''; pathchk $(printf 'x%.0s' $(seq 300))",
  ],
  ["pinky", "pinky -l -b root | head -2", "pinky -q x y z | cat; pinky --nosuch"],
  [
    "pr",
    "pr -t -2 numbers; pr -t -n -w 40 fruit; touch -d @0 fruit; TZ=UTC pr -l 20 fruit | head -6; pr -mts fruit numbers | head -2",
    "pr nosuch",
  ],
  ["printenv", "A=1 printenv A; env -i B=2 C=3 printenv | sort", "printenv NOSUCHVARIABLE"],
  [
    "printf",
    raw`/usr/bin/printf '%s|%05d|%x|%.2f|%b|%q\n' str 42 255 3.14159 'a\tb' "it's"; /usr/bin/printf '%s-' 1 2 3; /usr/bin/printf '\u00e9' | od -An -tx1`,
    "/usr/bin/printf '%d\\n' abc; /usr/bin/printf; /usr/bin/printf '%z'",
  ],
  ["ptx", "printf 'one two\\nthree\\n' | ptx; ptx -G fruit | head -3", "ptx nosuch"],
  [
    "pwd",
    "cd /usr; /usr/bin/pwd; ln -s /usr/lib /tmp/l; cd /tmp/l; /usr/bin/pwd -L; /usr/bin/pwd -P",
    "mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; /usr/bin/pwd",
  ],
  [
    "readlink",
    "ln -s fruit l; readlink l; readlink -f l; readlink -e l; readlink -m no/such/../x; ln -s l l2; readlink -f l2",
    "readlink fruit; readlink -e nosuch",
  ],
  [
    "realpath",
    "realpath fruit ./../tmp/text; realpath --relative-to=/usr /usr/lib/x /tmp; ln -s / r; realpath r/usr; realpath -s r/usr",
    "realpath no/such/file; realpath ''",
  ],
  [
    "rm",
    "rm -v fruit; mkdir -p d/e; touch d/e/f; rm -rv d; rm -f nosuch; yes n | rm -i text; echo; ls",
    "rm nosuch; mkdir d; rm d; rm -r .; rm -r /",
  ],
  [
    "rmdir",
    "mkdir -p a/b/c; rmdir -p a/b/c; ls -d a; mkdir x; rmdir -v x",
    "mkdir -p y/z; rmdir y; rmdir fruit; rmdir nosuch",
  ],
  ["runcon", "runcon --help | head -1", "runcon -t x_t true"],
  [
    "seq",
    "seq 3; seq -s, 1 0.5 3; seq -w 8 11; seq 5 -2 0; seq -f '%03g' 2; seq 18446744073709551615 18446744073709551617",
    "seq x; seq",
  ],
  ["sha1sum", "sha1sum fruit > s; cat s; sha1sum -c s; sha1sum --tag fruit", "sha1sum /"],
  ["sha224sum", "sha224sum fruit; printf abc | sha224sum", "sha224sum nosuch"],
  ["sha256sum", "printf abc | sha256sum; sha256sum fruit | sha256sum -c", "echo bad | sha256sum -c"],
  ["sha384sum", "printf abc | sha384sum", "sha384sum nosuch"],
  ["sha512sum", "printf abc | sha512sum; sha512sum -z fruit | tr '\\0' '\\n'", "sha512sum --check fruit"],
  [
    "shred",
    "shred -n 1 -z fruit; od -An -tx1 -N 4 fruit; shred -u -v -n 1 table 2>&1 | tail -n 1; ls",
    "shred nosuch",
  ],
  [
    "shuf",
    "shuf --random-source=/dev/zero numbers | head -3; shuf -i 1-5 --random-source=/dev/zero; shuf -e a; shuf numbers | sort -n | head -2",
    "shuf -i 5-1",
  ],
  ["sleep", "sleep 0.05 0.05; sleep 0", "sleep x; sleep"],
  [
    "sort",
    "sort fruit; sort -k2n fruit; sort -u fruit; sort -r numbers | head -2; sort -t '\t' -k2,2nr table; sort -c numbers; sort -m fruit numbers | tail -1; printf 'b10\nb9\n' | sort -V; printf '2K\n1M\n' | sort -h; seq 5000 | sort -R --random-source=/dev/zero | sort -n | tail -1",
    "sort nosuch; sort -k x fruit",
  ],
  [
    "split",
    "split -l 5 numbers; ls x*; split -b 10 -d fruit p.; cat p.00; split -n 3 numbers n; wc -c naa; split -n l/2/3 numbers; split -l 6 --filter='wc -l' numbers",
    "split nosuch; split -b 0 fruit",
  ],
  [
    "stat",
    "touch -d @5 fruit; chmod 644 fruit; stat -c '%n %s %a %A %U %u %h %F %Y' fruit; stat -c '%n %a %A %U %F' /tmp/.; ln -s fruit l; stat -c '%N' l; stat -L -c %F l; stat -f -c %l / > /dev/null; stat --printf='%s\\n' numbers",
    "stat nosuch; stat -c",
  ],
  ["stdbuf", "seq 3 | stdbuf -o0 cat; stdbuf -oL sh -c 'echo line'", "stdbuf -o x true; stdbuf true"],
  ["stty", "stty --version | head -1", "stty; stty size"],
  ["sum", "sum fruit; sum -s fruit numbers", "sum nosuch"],
  ["sync", "sync; sync fruit; sync -d numbers; sync -f .", "sync nosuch"],
  ["tac", "tac numbers | head -2; printf 'a:b:c:' | tac -s :; tac -b -s 1 numbers | head -c 9", "tac nosuch"],
  [
    "tail",
    "tail -n 2 fruit numbers; tail -c 5 text; tail -n +11 numbers; tail -q -n 1 fruit table; (sleep 0.2; echo appended >> fruit; sleep 0.4) & timeout 1 tail -s 0.1 -n 1 ---disable-inotify -f fruit; seq 100000 | tail -n 1",
    "tail nosuch; tail -n x fruit",
  ],
  ["tee", "echo x | tee a b; cat a b; echo y | tee -a a | cat; cat a", "echo z | tee /nosuch/f"],
  [
    "test",
    "/usr/bin/test -f fruit -a ! -d fruit; echo $?; /usr/bin/test 5 -gt 3 && echo yes; /usr/bin/test abc '<' abd && echo less; /usr/bin/test -x /usr/bin/test && echo x",
    "/usr/bin/test 1 -eq x; /usr/bin/test a b",
  ],
  [
    "timeout",
    "timeout 5 echo in time; timeout 0.1 sleep 5; echo $?; timeout -s INT 0.1 sleep 5; echo $?; timeout --preserve-status 0.1 sleep 5; echo $?; { timeout -k 0.1 0.1 sh -c 'trap \"\" TERM; sleep 5; sleep 5'; } 2> /dev/null; echo $?",
    "timeout 1 nosuchprogram; timeout x true",
  ],
  [
    "touch",
    "touch new; test -f new && echo made; touch -d '2020-01-02 03:04:05 UTC' fruit; stat -c %Y fruit; touch -r fruit table; stat -c %Y table; touch -c nosuch; ls nosuch 2> /dev/null; touch -t 197001010000.10 text; TZ=UTC stat -c %y text",
    "touch /nosuch/f; touch -d never fruit",
  ],
  [
    "tr",
    "tr a-z A-Z < fruit; tr -d 'aeiou' < fruit | head -2; tr -s ' ' < text; tr -cd '0-9\\n' < fruit; tr '[:lower:]' '*' < table; tr -c '[:alnum:]' '[\\n*]' < table | head -3",
    "tr; tr a; tr -d a b < fruit",
  ],
  ["true", "/usr/bin/true; /usr/bin/true ignored --args", "/usr/bin/true --version > /dev/full"],
  [
    "truncate",
    "truncate -s 5 fruit; cat fruit; echo; truncate -s +3 fruit; od -c fruit; truncate -r numbers fruit; stat -c %s fruit; truncate -s %10 numbers; stat -c %s numbers; truncate -c -s 1 nosuch",
    "truncate fruit; truncate -s x fruit; truncate -s 1 /nosuch/f",
  ],
  ["tsort", "printf 'a b\nb c\na d\n' | tsort", "printf 'a b\nb a\n' | tsort; echo odd | tsort"],
  ["tty", "tty --version | head -1", "tty; tty -s"],
  ["uname", "uname; uname -m; uname -s -o", "uname extra"],
  [
    "unexpand",
    "printf '        eight\n    four\n' | unexpand | cat -A; printf 'a       b\n' | unexpand -a -t 4 | cat -A",
    "unexpand -t x fruit",
  ],
  [
    "uniq",
    "sort fruit | uniq -c; sort fruit | uniq -d; sort fruit | uniq -u; printf 'A\na\nb\n' | uniq -i; printf '1 x\n2 x\n' | uniq -f 1; printf 'ab\nac\n' | uniq -w 1",
    "uniq nosuch; uniq -D -c",
  ],
  ["unlink", "unlink fruit; ls", "unlink nosuch; mkdir d; unlink d"],
  ["users", "users /dev/null", "users a b"],
  ["vdir", "touch -d @0 *; vdir --time-style=+%Y | sed 1d", "vdir nosuch"],
  [
    "wc",
    "wc fruit text; wc -l < numbers; wc -c -m -L text; printf 'ünï' | LC_ALL=C.UTF-8 wc -m; wc -w --total=only fruit text; seq 200000 | wc",
    "wc nosuch fruit",
  ],
  ["who", "who /dev/null; who -q /dev/null", "who a b c"],
  ["whoami", "whoami; chroot --userspec=nobody / whoami", "chroot --userspec=12345 / whoami"],
  ["yes", "yes | head -2; yes a b | head -n 3; yes x | head -c 100000 | cksum", "yes > /dev/full"],
];

export const coreutils: readonly Scenario[] = programs.map(([program, works, fails]) => ({
  name: `coreutils/${program === "[" ? "bracket" : program}`,
  argv: ["bash", "-c", `${PRELUDE}${works}\necho "status $?"\n${fails}\necho "status $?"`],
  cwd: "/tmp",
}));
