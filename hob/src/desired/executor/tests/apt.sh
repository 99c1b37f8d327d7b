#!/bin/sh
# Stands in for apt-get, dpkg and dpkg-query: packages are files beside the link by which
# this is called. A file `available/x` names what `x` needs.
here=$(dirname "$0")
mkdir -p "$here/installed"
case $(basename "$0") in
    dpkg-query)
        for file in "$here"/installed/*; do
            [ -e "$file" ] && printf 'ii \t%s\tamd64\n' "$(basename "$file")"
        done
        exit 0 ;;
    dpkg)
        case $* in
            *--audit*) [ -e "$here/half" ] && cat "$here/half" ;;
            *--configure*) rm -f "$here/half" ;;
        esac
        exit 0 ;;
esac
order=
simulate=
names=
while [ $# -gt 0 ]; do
    case $1 in
        -o) shift ;;
        -s) simulate=yes ;;
        -*) ;;
        *) if [ -z "$order" ]; then order=$1; else names="$names $1"; fi ;;
    esac
    shift
done
[ -n "$simulate" ] || echo "$order$names" >>"$here/log"
case $order in
    update) [ -e "$here/upstream" ] && mkdir -p "$here/available" && cp "$here"/upstream/* "$here/available" ;;
    install)
        for name in $names; do
            [ -e "$here/available/$name" ] || { echo "E: Unable to locate package $name" >&2; exit 100; }
        done
        for name in $names; do cp "$here/available/$name" "$here/installed/$name"; done ;;
    remove)
        for name in $names; do
            for file in "$here"/installed/*; do
                if [ "$(basename "$file")" = "$name" ] || grep -qx "$name" "$file"; then
                    if [ -n "$simulate" ]; then echo "Remv $(basename "$file") [1]"; else rm "$file"; fi
                fi
            done
        done ;;
    *) exit 64 ;;
esac
exit 0
