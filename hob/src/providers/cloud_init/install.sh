# Fetches hob, checks it, and only then puts it in its place. If one is there already,
# perhaps a newer one, it stays.
[ ! -x "$program" ] || exit 0

fetch() {
    if command -v curl >/dev/null; then
        curl -fsSL --proto '=http,https' --connect-timeout 20 --max-time 600 -o "$1" "$url"
    else
        wget -q -T 20 -O "$1" "$url"
    fi
}

part=$(mktemp "$program.XXXXXX")
trap 'rm -f "$part"' EXIT
for pause in 2 5 10 20 40; do
    if fetch "$part"; then
        sum=$(sha256sum <"$part")
        if [ "${sum%% *}" = "$sha256" ]; then
            chmod 0755 "$part"
            sync
            mv -f "$part" "$program"
            exit 0
        fi
        echo "hob: what is at $url has the SHA-256 ${sum%% *}, not $sha256" >&2
    fi
    sleep "$pause"
done
echo "hob: can't fetch $url" >&2
exit 1
