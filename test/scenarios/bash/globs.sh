mkdir g
cd g
touch a.c b.c c.h .hidden 'sp ace' d1 d2 d10 README
mkdir -p sub/deep
touch sub/x.c sub/deep/y.c
echo *
echo *.c
echo [a-b]*
echo [!a]*
echo d?
echo .*
echo sub/*/
echo "*"
echo nomatch*
printf '<%s>' *\ *
echo
shopt -s nullglob; echo x nomatch* y; shopt -u nullglob
shopt -s dotglob; echo *; shopt -u dotglob
shopt -s globstar; echo **/*.c
shopt -s extglob
echo !(*.c)
echo @(a|b).c
echo +([0-9a-z])
shopt -s failglob
(echo zz*)
shopt -u failglob
shopt -s nocaseglob; echo read*; shopt -u nocaseglob
set -f; echo *.c; set +f
for f in *.[ch]; do echo "file: $f"; done
echo [[:upper:]]* [[:digit:]]*
x='*.h'
echo $x "$x"
case foo.tar.gz in *.zip) echo zip;; *.tar.*) echo tar;; esac
