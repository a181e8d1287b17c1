#!/usr/bin/env bash
# Goal: p2pcat does its work between two hosts with a real link between them, and says so when the
# link or the other host dies. Method: two network namespaces and an emulated link.
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

head -c 4000000 /dev/urandom >file
"$p2pcat" id >own.key

on_a() { exec nsenter --net=/run/netns/a "$@"; }
on_b() { exec nsenter --net=/run/netns/b "$@"; }
is_printed() { grep -q '^listening' "$1"; }

# Host a waits; host b connects and sends.
waits() { # NAME OPTIONS
    rm -f "$1.err"
    on_a "$p2pcat" "listen:/ip4/10.9.0.1/udp/0/seal/ptcp$2" - </dev/null >"$1.out" 2>"$1.err" &
    listener=$!
    await is_printed "$1.err"
    port=$(port_of "$1.err")
}
sends() { # NAME OPTIONS
    on_b "$p2pcat" --ephemeral - "/ip4/10.9.0.1/udp/$port/seal,peer=$(cat own.key)/ptcp$2" \
        <"$input" >"$1-b.out" 2>"$1-b.err" &
    sender=$!
}

lab_up delay=10 rate=100 loss=1 || {
    echo "FAILED: the lab does not come up"
    exit 1
}

input=file
waits lossy ''
sends lossy ''
reap $sender
check "a file over a link that loses one per cent" "0 " "$status $(cat lossy-b.err)"
reap $listener
check_file "arrives whole" file lossy.out

lab_link loss=0 rate=20
waits moved ''
sends moved ''
await is_larger moved.out 500000
lab_move b 10.9.0.22
reap $sender
check "a sender whose address changes goes on" "0 " "$status $(cat moved-b.err)"
reap $listener
check_file "and nothing is lost" file moved.out

waits dead ,user-timeout=1s,keepalive=500ms
sends dead ,user-timeout=1s,keepalive=500ms
await is_larger dead.out 500000
lab_link loss=100
reap $sender
check "a link that dies is told to the sender" 5 $status
reap $listener
check "and to the receiver" 5 $status
check_says "in words" dead.err '.'

run_on_b() {
    on_b "$p2pcat" --ephemeral --timeout 1 - "/ip4/10.9.0.1/udp/4001/seal,peer=$(cat own.key)/ptcp" \
        </dev/null 2>nobody.err &
    reap $!
}
run_on_b
check "a host that is not there" 3 $status
check_says "in words" nobody.err 'no answer|unreachable'
exit $failed
