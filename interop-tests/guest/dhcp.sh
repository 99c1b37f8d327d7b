#!/bin/sh
# What the test guest's udhcpc calls: sets the address that it has been given.
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/${mask:-24}" dev "$interface"
[ -z "${router:-}" ] || ip route replace default via "${router%% *}" dev "$interface"
