#!/usr/bin/env bash
# Goal: a durable stream between two processes outlives a cut of every path, and a new address after
# it; one that is not durable does not. Method: two network namespaces and an emulated link.
# CUT is how many seconds the path is gone; "make durable" takes 60.
cut=${CUT:-4}
patience=$((100 + 3 * cut))
. "$top_srcdir/tests/lab/p2pcat.sh" || exit 1

head -c 4000000 /dev/urandom >file
input=file
lab_up delay=10 rate=20 || {
    echo "FAILED: the lab does not come up"
    exit 1
}

# Time-outs of one second make the cut as good as a minute with the usual ones.
short=,user-timeout=1s,keepalive=500ms
waits mortal $short
sends mortal $short
await is_larger mortal.out 500000
lab_link loss=100
reap $sender
check "without it, a cut ends the stream" 5 $status
reap $listener
lab_link loss=0

waits cut $short,durable=1h
sends cut $short,durable=1h
await is_larger cut.out 500000
lab_link loss=100
sleep "$cut"
lab_move b 10.9.0.22
lab_link loss=0
reap $sender
check "with it, the sender goes on after $cut s, from another address" "0 " "$status $(cat cut-b.err)"
reap $listener
check_file "and nothing is lost" file cut.out

# The same by --durable and a ticket.
on_a "$p2pcat" listen --durable --bind 10.9.0.1 --ticket-file ticket --recv-only >opt.out 2>opt.err &
listener=$!
await test -s ticket
on_b "$p2pcat" connect --ephemeral --durable --ticket-file ticket <file >opt-b.out 2>opt-b.err &
sender=$!
await is_larger opt.out 500000
lab_link loss=100
sleep "$cut"
lab_link loss=0
reap $sender
check "--durable does it with a ticket" "0 " "$status $(cat opt-b.err)"
reap $listener
check_file "whole, too" file opt.out

"$p2pcat" --durable - /ip4/127.0.0.1/udp/1/ptcp </dev/null >usage.out 2>usage.err
check "--durable with a stack is a usage error" 2 $?
check_says "that tells what to write" usage.err 'durable=24h'
exit $failed
