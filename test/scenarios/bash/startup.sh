echo 'echo from-env' > envfile
BASH_ENV=envfile bash -c 'echo main'
bash -c 'echo "$0 $1 $2"' name one two
echo 'echo "script $0 $# $@"' > s.sh
bash s.sh a "b c"
chmod +x s.sh
./s.sh x
printf '#!/bin/bash -e\necho "shebang"; false; echo no\n' > t.sh
chmod +x t.sh
./t.sh
echo "status $?"
printf '#!/usr/bin/env bash\necho "env $BASH_VERSINFO"\n' > u.sh
chmod +x u.sh
./u.sh
echo 'echo piped "$1"' | bash -s arg
bash -lc 'echo login $PATH'
echo $-
bash -o posix -c 'echo posix; shopt -oq posix && echo on'
PATH=
ls
echo "status $?"
