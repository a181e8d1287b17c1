#!/usr/bin/env bash
# Goal: a gigabyte goes through p2pcat unchanged, either way and both ways at once, in little memory.
# Method: the bytes come from openssl's generator and are hashed at both ends, so no disk is needed;
# the kernel keeps the largest memory each process had.
patience=280
. "$top_srcdir/tests/p2pcat_common.sh" || exit 1
require openssl sha256sum

bytes=$((1024 * 1024 * 1024 / (slowness * slowness)))
memory_kb=$((64 * 1024))
[ "$slowness" = 1 ] || memory_kb=0 # a sanitizer's shadow is not our memory

# Different bytes for each key, as fast as the processor encrypts.
stream() { openssl enc -aes-128-ctr -K "$1" -iv 0 -in /dev/zero 2>/dev/null | head -c $bytes; }
sum() { sha256sum | cut -d' ' -f1; }
a_sum=$(stream a1 | sum)
b_sum=$(stream b2 | sum)
none=$(sum </dev/null)

mkfifo to-listen from-listen to-connect from-connect

# Keeps the peak while the process lives: it is gone from /proc afterwards.
watch_memory() { # PID FILE
    local line
    while line=$(grep VmHWM "/proc/$1/status" 2>/dev/null) && [ -n "$line" ]; do
        echo "$line" >"$2"
        sleep 0.1
    done
}

check_memory() { # NAME FILE
    local peak
    peak=$(awk '{ print $2 }' "$2")
    echo "   $1: at most $peak kB of memory"
    [ $memory_kb = 0 ] || check "$1 needs less than 64 MB" 1 $((peak < memory_kb))
}

transfer() { # NAME FEED-OF-LISTEN FEED-OF-CONNECT SUM-AT-LISTEN SUM-AT-CONNECT
    local name=$1 pids connector start=$SECONDS
    rm -f ticket
    sum <from-listen >listen.sum &
    pids=$!
    sum <from-connect >connect.sum &
    pids="$pids $!"
    $2 >to-listen &
    $3 >to-connect &
    "$p2pcat" listen --bind 127.0.0.1 --ticket-file ticket <to-listen >from-listen 2>listen.err &
    listener=$!
    await ticket_is_there
    "$p2pcat" --ephemeral connect --ticket-file ticket <to-connect >from-connect 2>connect.err &
    connector=$!
    watch_memory $listener listen.memory &
    pids="$pids $!"
    watch_memory $connector connect.memory &
    pids="$pids $!"
    reap $connector
    check "$name: connect ends well" "0 " "$status $(cat connect.err)"
    reap $listener
    check "$name: listen ends well" "0 " "$status $(cat listen.err)"
    wait $pids
    check "$name: what listen got" "$4" "$(cat listen.sum)"
    check "$name: what connect got" "$5" "$(cat connect.sum)"
    check_memory "$name: listen" listen.memory
    check_memory "$name: connect" connect.memory
    echo "   $name: $bytes bytes in about $((SECONDS - start)) s"
}
ticket_is_there() { [ -s ticket ]; }

transfer "to listen" true "stream a1" "$a_sum" "$none"
transfer "from listen" "stream b2" true "$none" "$b_sum"
transfer "both at once" "stream b2" "stream a1" "$a_sum" "$b_sum"
exit $failed
