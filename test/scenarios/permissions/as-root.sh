umask 077
touch a
mkdir d
stat -c '%a %n' a d
umask 022
chmod 000 a
echo root writes > a
cat a
chown daemon:staff a
stat -c '%U:%G %a' a
chmod 6755 a
stat -c %A a
chown bin a
stat -c '%A %U' a
chmod u=rw,g=r,o= a
stat -c %a a
chmod -R g+w,o-rwx d
stat -c %a d
chmod +t d
stat -c %A d
chmod 4 a
stat -c %a a
chmod 99 a
chmod u+q a
chmod 644 nosuch
chown nosuchuser a
chown :nosuchgroup a
echo "status $?"
