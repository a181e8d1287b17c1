#!/usr/bin/env bash
# Goal: beside the kernel's CUBIC and BBR neither side falls below a quarter of its half.
# Method: two network namespaces and an emulated bottleneck of 50 Mbit/s and 40 ms; p2pcat sends
# without end, and iperf3 beside it for a while.
# It takes minutes and a quiet machine: 'make lab-fairness' runs it, 'make check' does not.
patience=200
. "$top_srcdir/tests/lab/p2pcat.sh" || exit 1
require iperf3

seconds=${SECONDS_EACH:-20}
rate=50
product_kb=250

starts_ptcp() {
    rm -f got listen.err
    : >got
    on_b "$p2pcat" listen:/ip4/10.9.0.2/udp/0/seal/ptcp - </dev/null >got 2>listen.err &
    listener=$!
    await is_printed listen.err
    on_a "$p2pcat" --ephemeral - \
        "/ip4/10.9.0.2/udp/$(port_of listen.err)/seal,peer=$(cat own.key)/ptcp" \
        </dev/zero >/dev/null 2>send.err &
    sender=$!
    await is_larger got 1000000
}

ends_ptcp() {
    kill $sender $listener 2>/dev/null
    wait $sender $listener 2>/dev/null
}

# Mbit/s that the kernel's TCP got, without its first three seconds.
tcp_rate() { # CONGESTION-CONTROL
    on_b iperf3 -s -1 --forceflush >server.out 2>&1 &
    local server=$!
    await grep -q listening server.out
    lab_on a iperf3 -c 10.9.0.2 -C "$1" -t "$seconds" -O 3 -f m >client.out 2>&1
    wait $server
    awk '/receiver/ { print $7; exit }' client.out
}

beside() { # CONGESTION-CONTROL QUEUE-IN-PRODUCTS
    local before from ours theirs
    lab_link "queue=$(($2 * product_kb))"
    starts_ptcp
    before=$(size_of got)
    from=$EPOCHREALTIME
    theirs=$(tcp_rate "$1")
    ours=$(awk -v bytes="$(($(size_of got) - before))" -v from="$from" -v to="$EPOCHREALTIME" \
        'BEGIN { printf "%.1f", bytes * 8 / 1e6 / (to - from) }')
    ends_ptcp
    echo "beside the kernel's $1, queue $2 products: PTCP $ours Mbit/s, TCP ${theirs:-none} of $rate"
    check "neither is below an eighth of the rate" yes "$(awk -v a="$ours" -v b="${theirs:-0}" \
        -v least=$((rate / 8)) 'BEGIN { print (a >= least && b >= least) ? "yes" : "no" }')"
}

lab_up delay=20 rate=$rate "queue=$product_kb" || {
    echo "FAILED: the lab does not come up"
    exit 1
}
for queue in 1 3; do
    beside cubic $queue
    beside bbr $queue
done
exit $failed
