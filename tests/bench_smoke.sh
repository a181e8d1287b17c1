#!/usr/bin/env bash
# Goal: the programs of bench/ still do what 'make bench' wants of them. Method: every kind of case
# for 0.1 s, on loopback and, where namespaces are possible, between two of them; the line that
# each prints must hold numbers. How large these are does not matter here.
set -uo pipefail
failed=0

is_sane() { # WANTED-NAME LINE: a name, then KEY=NUMBER…
    [[ $2 =~ ^[^\ ]+(\ [a-z0-9_]+=[0-9.]+)+$ ]] && [ "${2%% *}" = "$1" ]
}

try() { # NAME COMMAND…
    local line name=$1
    shift
    if line=$("$@" 2>&1) && is_sane "$name" "$line"; then
        echo "ok: $line"
    else
        echo "FAILED: $*: $line"
        failed=1
    fi
}

try_bulk() {
    local name
    for name in $("$top_builddir/bench/bulk" --list) /udp/ptcp /udp/seal/ptcp,mtu=1472 \
        /udp/ptcp/tls /tcp/tls /unix; do
        try "$name" "$top_builddir/bench/bulk" "$name" 0.1
    done
}

try_latency() {
    local name
    for name in tcp-reference tls-reference /tcp/tls /udp/ptcp /udp/seal/ptcp; do
        try "$name" "$top_builddir/bench/latency" "$name" 0.02
    done
}

try_file() {
    head -c 1000000 /dev/zero >"$work/file"
    try p2pcat bash "$top_srcdir/bench/file" p2pcat "$work/file"
    ! command -v socat >/dev/null || try socat bash "$top_srcdir/bench/file" socat "$work/file"
}

try_move() { try /udp/seal/ptcp "$top_builddir/bench/move" rebinding /udp/seal/ptcp 0.5; }

# The transfer holds and somebody gets in: what of it is kept, bench/floods measures.
try_floods() {
    local kind line
    for kind in initiations mixed plain-syns plain-forged plain-replays; do
        line=$("$top_builddir/bench/floods" $kind 2000 1 10)
        if is_sane $kind "$line" && [[ $line =~ entered=[1-9] && $line =~ turned_away=0 ]]; then
            echo "ok: $line"
        else
            echo "FAILED: floods $kind: $line"
            failed=1
        fi
    done
}

try_handshakes() {
    try new "$top_builddir/bench/handshakes" new 0.1 4
    try returning "$top_builddir/bench/handshakes" returning 0.1 4
}

# The whole of bench/run, with its namespaces.
try_run() {
    local table
    table=$(cd "$work" && BENCH_SECONDS=0.1 bash "$top_srcdir/bench/run" --quick \
        tcp-reference tls-reference /udp/seal/ptcp 2>&1) || failed=1
    echo "$table"
    grep -q '^bulk, loopback:$' <<<"$table" || failed=1
    grep -q 'veth is skipped' <<<"$table" || grep -q '^bulk, veth:$' <<<"$table" || failed=1
    [ "$(jq '.rows | map(select(.gbit_per_s.median > 0)) | length >= 3' \
        "$BENCH_OUTPUT/bench-results.json")" = true ] || failed=1
}

command -v jq >/dev/null || {
    echo "jq is missing"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export BENCH_OUTPUT=$work
try_bulk
try_latency
try_move
try_file
try_floods
try_handshakes
try_run
exit $failed
