#!/usr/bin/env bash
# Shows that the simulator finds what it should: puts each bug of bugs/*.patch into a
# copy of the sources, one at a time, and runs seeds until one fails.
#
#   find-bugs.sh [NAME...]    only the bugs whose names contain one of these
#
# SEEDS (default 0..20000) is where it looks. Exit status 1 if a bug is not found.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(git -C "$here" rev-parse --show-toplevel)
seeds=${SEEDS:-0..20000}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# One target directory for all: only what a patch touches is built again.
export CARGO_TARGET_DIR=${FIND_BUGS_TARGET:-$root/target/find-bugs}
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

git -C "$root" ls-files -z | (cd "$root" && xargs -0 -I{} sh -c 'test -f "{}" && echo "{}"') |
    tar -C "$root" -cf - -T - | tar -C "$copy" -xf -
# Compiled files know their sources by their path: it has to be the same every time.
sources=$CARGO_TARGET_DIR/sources
mkdir -p "$CARGO_TARGET_DIR"
exec 9> "$CARGO_TARGET_DIR/find-bugs.lock"
flock 9
rm -rf "$sources"
mv "$copy" "$sources"
mkdir "$copy"

field() { sed -n "s/.*\"$1\":\([0-9]*\)[,}].*/\1/p" <<< "$2" | head -1; }

wanted() {
    [ "$#" -gt 1 ] || return 0
    local part
    for part in "${@:2}"; do
        case $1 in *"$part"*) return 0 ;; esac
    done
    return 1
}

status=0
printf '%-36s %8s %12s %6s  %s\n' bug seed steps lines 'what the simulator says'
for patch in "$here"/bugs/*.patch; do
    name=$(basename "$patch" .patch)
    wanted "$name" "$@" || continue
    if ! patch -s -f -d "$sources" -p1 < "$patch" > /dev/null; then
        printf '%-36s does not apply\n' "$name"
        find "$sources" \( -name '*.rej' -o -name '*.orig' \) -delete
        status=1
        for file in $(sed -n 's|^+++ b/||p' "$patch"); do
            cp "$root/$file" "$sources/$file"
        done
        continue
    fi
    if cargo build -q --release --manifest-path "$sources/Cargo.toml" -p interop-tests \
        --bin simulate 2> "$copy/build.log"; then
        out=$(timeout 600 "$CARGO_TARGET_DIR/release/simulate" --seeds "$seeds" --first --json \
            2> /dev/null | tail -1 || true)
        seed=$(sed -n 's/.*"failures":\[{.*"seed":\([0-9]*\).*/\1/p' <<< "$out")
        if [ -n "$seed" ]; then
            # The first line of it, as far as it fits.
            what=$(sed -n 's/.*"what":"\(\([^"\\]\|\\"\)*\).*/\1/p' <<< "$out" | tr -d '\\')
            [ "${#what}" -le 80 ] || what="${what:0:79}…"
            printf '%-36s %8s %12s %6s  %s\n' "$name" "$seed" "$(field steps_before "$out")" \
                "$(field lines "$out")" "$what"
        else
            printf '%-36s NOT FOUND\n' "$name"
            status=1
        fi
    else
        printf '%-36s does not build\n' "$name"
        cat "$copy/build.log" >&2
        status=1
    fi
    for file in $(sed -n 's|^+++ b/||p' "$patch"); do
        cp "$root/$file" "$sources/$file"
    done
done
exit "$status"
