exec 5< /etc/passwd 6> out; mkdir -p d; cd d
lsof -p $$ -a -d 5,6,cwd -F fn | grep -v '^p'; lsof -t /etc/passwd | grep -c "^$$\$"; lsof -a -p $$ -d cwd -F tn | tail -2
perl -e 'use Socket; socket S, AF_UNIX, SOCK_STREAM, 0; bind S, sockaddr_un("/tmp/lsof.sock"); listen S, 1; open P, "-|", "lsof", "-a", "-U", "-p", $$, "-F", "tn"; print grep { /^[tn]/ } map { s/ type=.*//r } <P>'
sleep 900 | sleep 901 & sleep 0.3; lsof -a -c sleep -d 0 -F t | grep '^t' | sort | uniq -c | awk '{ print $1 " " $2 }'; kill %1; wait 2> /dev/null
lsof /no/such/file 2> /dev/null; echo "status $?"
