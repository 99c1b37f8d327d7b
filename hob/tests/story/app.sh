#!/bin/sh
# The application, for a machine that has no more than busybox and hob: asks its database
# over and over, tries what it may not, and looks at what it is given. It speaks
# PostgreSQL's protocol 3 by hand; who it is and by which password, hob sees to.

# Says what is said to a statement, as far as that is one of a few things.
ask() {
    length=$(printf %03o $((${#1} + 5)))
    said=$({
        printf '\000\000\000\011\000\003\000\000\000'
        printf "Q\\000\\000\\000\\$length%s\\000" "$1"
        printf 'X\000\000\000\004'
    } | busybox nc 127.0.0.1 5432 2>&1 | tr -c ' -~' '\n' | grep -oE "$answers" | head -n 1)
    echo "${said:-no answer}"
}

# The exit code of hob for what is bound under a name.
code() {
    hob get-binding "$@" >/dev/null 2>&1
    echo $?
}

answers='shop has [0-9]+ orders|cannot execute INSERT in a read-only transaction'
while :; do
    echo "app: select: $(ask "SELECT 'shop has ' || count(*) || ' orders' FROM orders")"
    echo "app: insert: $(ask "INSERT INTO orders VALUES (4, 'nails')")"
    echo "app: codes: db $(code db), spare $(code spare describe)"
    sleep 0.2
done
