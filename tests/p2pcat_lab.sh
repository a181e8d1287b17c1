#!/usr/bin/env bash
# Goal: p2pcat does its work between two hosts with a real link between them, and says so when the
# link or the other host dies. Method: two network namespaces and an emulated link.
. "$top_srcdir/tests/lab/p2pcat.sh" || exit 1

head -c 4000000 /dev/urandom >file
input=file
lab_up delay=10 rate=100 loss=1 || {
    echo "FAILED: the lab does not come up"
    exit 1
}

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

# Who listens on all addresses has answered from the one that was called.
host=::
waits roamed ''
sends roamed ''
await is_larger roamed.out 500000
lab_move a 10.9.0.11
reap $sender
check "a listener whose address changes goes on" "0 " "$status $(cat roamed-b.err)"
reap $listener
check_file "without a loss, either" file roamed.out
lab_move a 10.9.0.1
host=10.9.0.1

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
