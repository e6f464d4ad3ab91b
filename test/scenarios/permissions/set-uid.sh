cp /usr/bin/id ./id
chmod 4755 id
setpriv --reuid nobody --regid nogroup --clear-groups ./id -u
setpriv --reuid nobody --regid nogroup --clear-groups ./id -ru
chmod 2755 id
setpriv --reuid nobody --regid nogroup --clear-groups ./id -g
chmod 755 id
setpriv --reuid nobody --regid nogroup --clear-groups ./id -u
cp /bin/cat ./cat
chmod 711 cat
setpriv --reuid nobody --regid nogroup --clear-groups ./cat /etc/debian_version
chmod 700 cat
setpriv --reuid nobody --regid nogroup --clear-groups ./cat /etc/debian_version
echo "status $?"
