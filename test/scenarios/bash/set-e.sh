(set -e; false; echo not reached)
echo "1: $?"
(set -e; false || true; if false; then :; fi; ! true; echo reached)
echo "2: $?"
(set -e; f() { false; echo "in f"; }; f || echo "f failed")
echo "3: $?"
(set -e; x=$(false); echo no)
echo "4: $?"
(set -e; masked() { local y=$(false); echo masked; }; masked)
echo "5: $?"
(set -e; false | true; echo "pipe ok"; set -o pipefail; false | true; echo no)
echo "6: $?"
(set -eE; trap 'echo "ERR $?"' ERR; false)
echo "7: $?"
(set -x; a=1; echo "trace $a")
(set -n; echo never)
(set -v; echo shown)
true | false | true
echo "${PIPESTATUS[*]}"
set -C
echo a > new
(echo b > new)
echo c >| new
cat new
