#!/bin/sh
# Builds the benchmark programs: riscv64 ELFs into bench/guest/bin (committed), and with --native DIR the same
# programs for this machine (x86-64 Linux with gcc), which the benchmark measures beside them.
set -eu
cd "$(dirname "$0")"
out=bin cc=${CC:-riscv64-linux-gnu-gcc} strip=${STRIP:-riscv64-linux-gnu-strip}
arch="-march=rv64gc -mabi=lp64d -msmall-data-limit=0"
if [ "${1:-}" = --native ]; then
  out=$2 cc=${CC:-gcc} strip=strip arch="-fcf-protection=none"
fi
mkdir -p "$out"
for source in *.c; do
  name=$(basename "$source" .c)
  # shellcheck disable=SC2086
  $cc -std=gnu17 -O2 -Wall -Wextra -g0 -fno-ident -ffp-contract=off -fno-math-errno -ffile-prefix-map="$PWD"=. $arch \
    -ffreestanding -fno-builtin -nostdlib -static -fno-pie -no-pie -fno-stack-protector \
    -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-strict-aliasing -fno-tree-loop-distribute-patterns \
    -ffunction-sections -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,noexecstack \
    "$source" ../../test/guest/lib/rt.c -o "$out/$name"
  $strip --strip-all -R .comment -R .riscv.attributes "$out/$name"
done
