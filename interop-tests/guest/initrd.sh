#!/bin/sh
# Makes the root file system of the test guest: busybox, the program `hob` with the
# libraries it needs, `mke2fs`, and kernel modules from where kernel.sh has put them.
#
#     interop-tests/guest/initrd.sh HOB FILE [DIRECTORY]
#
# HOB is the program, FILE what is made. Not compressed: an emulated processor would
# need seconds to undo that. Needs busybox, cpio, mke2fs, strip and ldd.
set -eu
here=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)
hob=$(realpath "$1")
file=$(realpath "$2")
kernel=$(realpath "${3:-$here/../../target/guest}")
PATH=$PATH:/usr/sbin:/sbin
root=$(mktemp -d "$file.XXXXXX")
trap 'rm -rf "$root" "$file.part"' EXIT INT TERM
cd "$root"
mkdir -p bin dev etc lib/modules mnt/kept mnt/seed proc run sys tmp
cp -r "$kernel"/modules/. lib/modules/
cp "$(command -v busybox)" bin/busybox
for name in $(busybox --list); do
    [ "$name" = busybox ] || ln -s busybox "bin/$name"
done
strip -o bin/hob "$hob"
rm -f bin/mke2fs
cp "$(command -v mke2fs)" bin/mke2fs
ldd bin/hob bin/mke2fs | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | sort -u | while read -r library; do
    mkdir -p ".$(dirname "$library")"
    cp -L "$library" ".$library"
done
cp "$here/init" init
cp "$here/dhcp.sh" "$here/write-files.awk" etc/
chmod 755 init etc/dhcp.sh bin/hob
find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible >"$file.part"
mv "$file.part" "$file"
