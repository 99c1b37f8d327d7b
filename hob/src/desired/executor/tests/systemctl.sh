#!/bin/sh
# Stands in for systemctl: a unit is a directory beside the link by which this is called.
here=$(dirname "$0")
order=
unit=
while [ $# -gt 0 ]; do
    case $1 in
        --property) shift ;;
        -*) ;;
        *) if [ -z "$order" ]; then order=$1; else unit=$1; fi ;;
    esac
    shift
done
dir=$here/units/$unit
[ "$order" = show ] || echo "$order $unit" >>"$here/log"
case $order in
    show)
        if [ ! -d "$dir" ]; then echo LoadState=not-found; exit 0; fi
        echo LoadState=loaded
        if [ -e "$dir/active" ]; then echo ActiveState=active; else echo ActiveState=inactive; fi
        if [ -e "$dir/enabled" ]; then echo UnitFileState=enabled; else echo UnitFileState=disabled; fi
        echo NeedDaemonReload=no ;;
    daemon-reload) ;;
    start | restart)
        if [ -e "$dir/broken" ]; then echo "Job for $unit failed." >&2; exit 1; fi
        touch "$dir/active" ;;
    stop) rm -f "$dir/active" ;;
    enable) touch "$dir/enabled" ;;
    disable) rm -f "$dir/enabled" ;;
    *) exit 64 ;;
esac
