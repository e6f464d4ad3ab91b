sleep 0.2 & wait $!
echo "waited $?"
(exit 7) & wait $!
echo $?
for i in 1 2 3; do (sleep 0.0$i; echo "job $i" > out.$i) & done
wait
cat out.1 out.2 out.3
sh -c 'kill -KILL $$' & wait $!
echo $?
wait 99999
echo $?
{ sleep 5; } & p=$!
kill $p
wait $p
echo $?
