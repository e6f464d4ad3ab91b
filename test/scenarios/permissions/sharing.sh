umask 022
chmod 755 .
echo hello > public
chmod 644 public
echo private > secret
chmod 600 secret
echo staff > group
chgrp staff group
chmod 640 group
mkdir -m 1777 sticky
mkdir -m 711 hidden
echo inside > hidden/known
as() { chroot --userspec="$1:$2" / sh -c 'cd /tmp && exec "$@"' as "${@:3}"; }
as nobody nogroup cat public secret group
echo "status $?"
as daemon staff cat group
as nobody nogroup ls hidden
as nobody nogroup cat hidden/known
as nobody nogroup touch sticky/nobodys
as daemon daemon touch sticky/daemons
as nobody nogroup rm -f sticky/daemons
echo "status $?"
as nobody nogroup mv sticky/daemons sticky/x
as daemon daemon rm sticky/daemons
ls sticky
as nobody nogroup sh -c 'echo x > newfile'
as nobody nogroup sh -c 'chmod 777 public; chown nobody secret; echo $?'
as nobody nogroup id -un
as nobody nogroup sh -c 'cd hidden && pwd && ls'
mkdir -m 2775 setgid
chgrp staff setgid
touch setgid/f
stat -c %G setgid/f
