# What hob does on a machine that is to be one of its fleet, run by a POSIX shell there.
# What comes before this text sets action, key, name, fleet, base, init, sum, present,
# url, enrolment, unit, listen, public and grace; see provisioner.rs.
#
# It may be run again at any point, and beside another run that has lost its master.
set -eu
umask 022
LC_ALL=C
export LC_ALL

refuse() {
    printf '%s\n' "$*" >&2
    exit 3
}

later() {
    printf '%s\n' "$*" >&2
    exit 75
}

tell() {
    printf 'hob: %s\n' "$*"
}

user=$(id -u)
if [ -z "$base" ]; then
    if [ "$user" = 0 ]; then base=/opt/hob; else base=$HOME/.local/lib/hob; fi
fi
home=$base/machines/$key
hob=${present:-$base/bin/hob-$sum}
service=hob-$key.service
if [ "$user" = 0 ]; then
    units=/etc/systemd/system
else
    units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
fi

manager() {
    if [ "$user" = 0 ]; then systemctl "$@"; else systemctl --user "$@"; fi
}

choose_init() {
    [ "$init" = auto ] || return 0
    init=process
    if [ -d /run/systemd/system ] && manager show --property=Version >/dev/null 2>&1; then
        init=systemd
    fi
}

sum_of() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1" | cut -d ' ' -f 1
    else
        openssl dgst -sha256 <"$1" | sed 's/.* //'
    fi
}

has_hob() {
    if [ -n "$present" ]; then [ -x "$present" ]; return; fi
    [ -f "$hob" ] && [ "$(sum_of "$hob")" = "$sum" ]
}

# The processes of the machine, and what they have started: each has this in its
# environment, which no file can forget and no other process has.
marked() {
    grep -lxzF "HOB_MACHINE=$key" /proc/[0-9]*/environ 2>/dev/null | tr -cd '0-9\n' || :
}

# The machine's own process, and not what it has left behind.
own() {
    for id in $(marked); do
        if tr '\0' '\n' <"/proc/$id/cmdline" 2>/dev/null | grep -qxF "$home/state"; then
            printf '%s\n' "$id"
        fi
    done
}

running() {
    [ -n "$(own)" ]
}

# Waits for one that came before; where there is no flock, hob's own lock on its state
# directory still keeps a second one out.
alone() {
    if command -v flock >/dev/null; then
        exec 9>>"$home/busy"
        flock -w 60 9 || later "somebody else is at work in $home"
    fi
}

probe() {
    choose_init
    tell "base $base"
    tell "init $init"
    tell "user $user"
    tell "machine $(uname -m)"
    if has_hob; then tell "hob yes"; else tell "hob no"; fi
    if running; then tell "running yes"; else tell "running no"; fi
}

fetch() {
    draft=$hob.$key
    mkdir -p "$base/bin"
    if [ -n "$url" ]; then
        if command -v curl >/dev/null; then
            curl -fsSL --retry 3 -o "$draft" "$url" || later "can't download hob"
        else
            wget -q -O "$draft" "$url" || later "can't download hob"
        fi
    fi
    [ -f "$draft" ] || later "hob has not arrived"
    if [ "$(sum_of "$draft")" != "$sum" ]; then
        rm -f "$draft"
        if [ -n "$url" ]; then refuse "what is at the URL is not the hob with that SHA-256"; fi
        later "hob has not arrived whole"
    fi
    chmod 755 "$draft"
    "$draft" --version >/dev/null || refuse "the hob that was installed does not run here"
    mv -f "$draft" "$hob"
}

start_unit() {
    mkdir -p "$units"
    printf '%s' "$unit" >"$units/$service"
    if [ "$user" != 0 ]; then loginctl enable-linger 2>/dev/null || :; fi
    manager daemon-reload
    manager enable --quiet "$service"
    # It is ready when it has registered, for which nobody waits here.
    manager restart --no-block "$service"
}

start_process() {
    if command -v setsid >/dev/null; then by="setsid nohup"; else by="nohup"; fi
    set -- join --state "$home/state" --enrol "$home/enrol.cap" --listen "$listen"
    if [ -n "$public" ]; then set -- "$@" --public-address "$public"; fi
    touch "$home/log"
    chmod 600 "$home/log"
    before=$(wc -l <"$home/log")
    # 9 is the lock of this run.
    HOB_MACHINE=$key $by "$hob" "$@" </dev/null >>"$home/log" 2>&1 9>&- &
    process=$!
    printf '%s\n' "$process" >"$home/pid"
    # One that can't work at all ends before it has taken its state directory.
    tries=50
    while [ "$tries" -gt 0 ]; do
        if [ "$(cat "$home/state/lock" 2>/dev/null)" = "$process" ]; then return 0; fi
        if ! kill -0 "$process" 2>/dev/null; then
            later "it ended at once: $(tail -n "+$((before + 1))" "$home/log" | tail -n 1)"
        fi
        sleep 0.1 2>/dev/null || sleep 1
        tries=$((tries - 1))
    done
}

install() {
    mkdir -p "$home"
    chmod 700 "$home"
    alone
    if [ -f "$home/machine" ]; then
        if ! grep -qx "fleet $fleet" "$home/machine"; then
            refuse "$home is of another fleet"
        fi
    else
        choose_init
        printf 'fleet %s\nname %s\ninit %s\n' "$fleet" "$name" "$init" >"$home/machine.new"
        mv "$home/machine.new" "$home/machine"
    fi
    init=$(sed -n 's/^init //p' "$home/machine")
    if running; then return 0; fi
    if ! has_hob; then
        [ -z "$present" ] || refuse "there is no program $present"
        fetch
    fi
    mkdir -p "$home/state"
    chmod 700 "$home/state"
    rm -f "$home/enrol.cap"
    (umask 077 && printf '%s\n' "$enrolment" >"$home/enrol.cap")
    case $init in
    systemd) start_unit ;;
    *) start_process ;;
    esac
}

end_processes() {
    # The machine's own is asked first: it ends its services in order.
    own | while read -r process; do kill -TERM "$process" 2>/dev/null || :; done
    tries=$((grace * 5))
    while [ "$tries" -gt 0 ] && running; do
        tries=$((tries - 1))
        sleep 0.2 2>/dev/null || sleep 1
    done
    tries=50
    while [ -n "$(marked)" ]; do
        if [ "$tries" -le 0 ]; then later "its processes can't be killed"; fi
        # One that has just ended needs no signal.
        marked | while read -r process; do kill -KILL "$process" 2>/dev/null || :; done
        tries=$((tries - 1))
        sleep 0.2 2>/dev/null || sleep 1
    done
}

remove() {
    if [ -d "$home" ]; then
        alone
        if [ -f "$home/machine" ] && ! grep -qx "fleet $fleet" "$home/machine"; then
            refuse "$home is of another fleet"
        fi
    fi
    if [ -f "$units/$service" ]; then
        manager disable --quiet --now "$service" || later "systemd does not stop $service"
        rm -f "$units/$service"
        manager daemon-reload
    fi
    end_processes
    rm -rf "$home"
    rm -f "$base/bin/hob-"*".$key"
    # With the last machine goes what all of them used.
    if rmdir "$base/machines" 2>/dev/null; then
        rm -f "$base/bin/hob-"*
        rmdir "$base/bin" "$base" 2>/dev/null || :
    fi
}

list() {
    for file in "$base"/machines/*/machine; do
        if grep -qsx "fleet $fleet" "$file"; then
            directory=${file%/machine}
            tell "machine ${directory##*/}"
        fi
    done
}

case $action in
# What it starts must not read on in this text.
probe | install | remove | list) "$action" </dev/null ;;
*) refuse "what is $action?" ;;
esac
