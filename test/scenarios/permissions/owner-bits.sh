id -u
umask 022
echo secret > mine
chmod 600 mine
cat mine
chmod 000 mine
cat mine
echo "status $?"
chmod 400 mine
echo more >> mine
echo "status $?"
rm -f mine
ls
cat /etc/shadow
echo "status $?"
ls /root
echo "status $?"
echo x > /etc/x
echo "status $?"
mkdir /usr/local/x
echo "status $?"
chown root f
echo "status $?"
touch f
chown root f
echo "status $?"
chgrp 0 f
echo "status $?"
chmod u+s f
stat -c '%A %U' f
