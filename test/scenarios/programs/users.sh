id
id daemon
getent passwd root nobody
getent group staff
getent passwd nosuchuser
echo "status $?"
getent hosts localhost
chroot --userspec=daemon / id
chroot --userspec=1234:5678 --groups=50,100 / id
runuser -u nobody -- id -un
echo "status $?"
useradd -m -s /bin/bash alice
id alice
grep alice /etc/passwd | cut -d: -f 1,3-
ls -ld ~alice | cut -c 1-10
groupadd -g 3000 makers
usermod -aG makers alice
id alice
groups alice
userdel -r alice
id alice
echo "status $?"
passwd -S root | cut -d' ' -f 1,2,4-
useradd root
echo "status $?"
su nosuchuser
echo "status $?"
groupdel makers
nologin
echo "status $?"
chage -l root | head -1
hostname > /dev/null && echo named
