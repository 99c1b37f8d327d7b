#!/bin/sh
# Gets the kernel that the test guest boots: Debian's own for virtual machines, taken
# from the package, which is not installed. Needs apt-get, dpkg-deb and busybox.
#
#     interop-tests/guest/kernel.sh [DIRECTORY]      # target/guest, if none is given
#
# Leaves in the directory: `vmlinuz`, and `modules` with what the guest loads.
set -eu
here=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)
out=${1:-$here/../../target/guest}
[ ! -e "$out/vmlinuz" ] || exit 0
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d "$out/kernel.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p')
apt-get -qq download "$package"
dpkg-deb -x "$package"_*.deb .
version=${package#linux-image-}
rm -f "lib/modules/$version/modules.dep"
busybox depmod -b . "$version"

# What each module needs is said by modules.dep, on one line with it.
wanted='virtio_pci virtio_blk virtio_net virtio-rng vfat nls_cp437 nls_ascii nls_utf8 nls_iso8859-1'
rm -rf "$out/modules"
mkdir -p "$out/modules/$version"
for name in $wanted; do
    line=$(grep "/$name\.ko:" "lib/modules/$version/modules.dep")
    for file in ${line%%:*} ${line#*:}; do
        mkdir -p "$out/modules/$version/$(dirname "$file")"
        cp "lib/modules/$version/$file" "$out/modules/$version/$file"
    done
    printf '%s\n' "$line"
done >"$work/dep"
cp "$work/dep" "$out/modules/$version/modules.dep"
# Last, since it says that all is there.
mv "boot/vmlinuz-$version" "$out/vmlinuz"
