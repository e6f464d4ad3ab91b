#!/bin/sh
# Builds the guest programs: riscv64 ELFs into test/guest/bin (committed), and with --native DIR the same
# programs for this machine's own kernel into DIR (to let Linux itself judge a verdict; x86-64 only).
# Needs riscv64-linux-gnu-gcc; a name as argument builds that program alone.
set -eu
cd "$(dirname "$0")"
out=bin
cc=${CC:-riscv64-linux-gnu-gcc}
strip=${STRIP:-riscv64-linux-gnu-strip}
arch="-march=rv64gc -mabi=lp64d -msmall-data-limit=0"
native=
if [ "${1:-}" = --native ]; then
  native=1 out=$2 cc=${CC:-gcc} strip=strip arch=
  shift 2
fi
only=${1:-}
mkdir -p "$out"
flags="-std=gnu17 -Os -Wall -Wextra -Wno-unused-parameter -Wno-return-type -Wno-infinite-recursion -Wno-array-bounds -Wno-clobbered -g0 -fno-ident -ffile-prefix-map=$PWD=. -ffunction-sections -Wl,--gc-sections -Wl,--build-id=none"
bare="-ffreestanding -fno-builtin -nostdlib -static -fno-pie -no-pie -fno-stack-protector -fcf-protection=none
  -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-strict-aliasing -Wl,-z,noexecstack"
[ -n "$native" ] || bare=$(printf '%s' "$bare" | sed 's/-fcf-protection=none//')

wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }
build() { # NAME FLAGS… : compiles and strips one program
  name=$1
  shift
  wanted "$name" || return 0
  echo "$name"
  # shellcheck disable=SC2086
  $cc $flags $arch "$@" -o "$out/$name"
  $strip --strip-all -R .comment -R .riscv.attributes "$out/$name"
}
# shellcheck disable=SC2086
{
  build hello $bare boot/hello.c
  for source in boot/*.c; do
    name=$(basename "$source" .c)
    [ "$name" = hello ] || build "$name" $bare "$source" lib/rt.c
  done
  for source in *.c; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .c)
    case $name in
      libc) ;;
      *) build "$name" $bare "$source" lib/rt.c ;;
    esac
  done
  if [ -e libc.c ]; then
    build libc-static -static libc.c -lm
    build libc-pie -pie -fPIE libc.c -lm
    build libc-nopie -no-pie -fno-pie libc.c -lm
  fi
}
