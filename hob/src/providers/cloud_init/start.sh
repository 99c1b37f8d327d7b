# The address that this machine has on its way out is where others reach it. Nothing is
# sent to the address asked about, which is nobody's.
address=$(ip -4 -o route get 192.0.2.1 | sed -n 's/.* src \([0-9.]*\).*/\1/p')
if [ -z "$address" ]; then
    echo 'hob: this machine has no route to the outside yet' >&2
    exit 5
fi
exec "$program" join --state "$state" --enrol "$enrolment" \
    --listen "tcp-tls:0.0.0.0:$port" --public-address "$address:$port"
