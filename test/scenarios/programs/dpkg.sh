dpkg --version | head -1
dpkg --print-architecture
dpkg -s bash | grep -E '^(Package|Architecture|Essential):'
dpkg -S /usr/bin/sed
dpkg -L hostname | head -4
dpkg-query -W -f '${Package} ${Architecture}\n' coreutils libc6
dpkg --compare-versions 1.2-3 lt 1.2-10 && echo lower
dpkg --compare-versions 1:1 lt 2 || echo higher
dpkg -s nosuchpackage
echo "status $?"
dpkg -l dash | tail -1 | cut -c 1-10
mkdir -p p/DEBIAN p/opt
printf 'Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: X <x@y.z>\nDescription: tiny\n' > p/DEBIAN/control
echo content > p/opt/tiny
dpkg-deb --root-owner-group -b p tiny.deb
dpkg-deb -f tiny.deb Package Version
dpkg-deb -c tiny.deb | tail -1 | sed 's/ .* / /'
dpkg-deb -x tiny.deb out
cat out/opt/tiny
dpkg -i tiny.deb > log 2>&1
grep -c tiny log
cat /opt/tiny
dpkg -s tiny | grep Status
dpkg -r tiny > /dev/null 2>&1
ls /opt
