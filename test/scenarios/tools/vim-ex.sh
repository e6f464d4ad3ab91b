printf 'one\ntwo\nthree\nfour\n' > f
vi -es -c '2d' -c '%s/o/0/g' -c 'normal Goadded' -c 'wq' f < /dev/null; cat f; ex -s f <<'E'
1,2m$
g/0/s/$/!/
w g
q!
E
cat g; diff f g > /dev/null; echo "differ $?"; vi -es -c 'set nomore' -c 'put =line(\"$\")' -c 'x! h' f < /dev/null; test -e h && cat h; vi --version | head -1 | cut -d' ' -f1-3; vi -es +qa! nosuch < /dev/null; echo "status $?"
