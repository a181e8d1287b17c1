# What tests of p2pcat between two hosts share. To be sourced first, by a test without arguments: it
# runs once more, inside of the lab. Hosts come up with lab_up; `patience` is set before.
. "$top_srcdir/tests/lab/lab.sh" || exit 1
if [ "${1:-}" != --inside ]; then
    lab_is_possible || {
        echo "namespaces are forbidden here"
        exit 77
    }
    lab_enter "$0" --inside
    exit
fi
. "$top_srcdir/tests/p2pcat_common.sh" || exit 1
# This is another process namespace than /proc speaks of.
is_gone_or_zombie() { ! kill -0 "$1" 2>/dev/null; }

on_a() { exec nsenter --net=/run/netns/a "$@"; }
on_b() { exec nsenter --net=/run/netns/b "$@"; }
is_printed() { grep -q '^listening' "$1"; }

# Host a waits on $host; host b connects and sends the file $input.
host=10.9.0.1
waits() { # NAME OPTIONS
    local family=ip4
    [ "$host" = "${host#*:}" ] || family=ip6
    rm -f "$1.err"
    on_a "$p2pcat" "listen:/$family/$host/udp/0/seal/ptcp$2" - </dev/null >"$1.out" 2>"$1.err" &
    listener=$!
    await is_printed "$1.err"
    port=$(port_of "$1.err")
}
sends() { # NAME OPTIONS
    on_b "$p2pcat" --ephemeral - "/ip4/10.9.0.1/udp/$port/seal,peer=$(cat own.key)/ptcp$2" \
        <"$input" >"$1-b.out" 2>"$1-b.err" &
    sender=$!
}

"$p2pcat" id >own.key
