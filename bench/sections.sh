# The parts of the benchmark. To be sourced by bench/run, whose settings and `sample` they use.

all_sections="bulk latency file move handshakes connections"

is_section() {
    case " $all_sections " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

each_round() { # FUNCTION ARGUMENT…
    for ((round = 1; round <= rounds; round++)); do "$@"; done
    round=
}

is_built() { # PROGRAM
    [ -x "$programs/$1" ] || {
        echo "bench: $1 is not built" >&2
        return 1
    }
}

# --- One stream --------------------------------------------------------------------------------

can_bbr() { grep -qw bbr /proc/sys/net/ipv4/tcp_available_congestion_control; }
has_ipsec_mb() { "$programs/bulk" --list | grep -q ipsec-mb; }
has_iperf() { command -v iperf3 >/dev/null && command -v jq >/dev/null; }

bulk_cases() { # NETWORK
    if [ -n "$cases" ]; then
        echo $cases
        return
    fi
    echo tcp-reference tls-reference udp-gso udp-gso-openssl
    ! has_ipsec_mb || echo udp-gso-ipsec-mb
    echo /udp/seal/ptcp /udp/ptcp /udp/ptcp/tls
    ! has_ipsec_mb || echo /udp/seal,provider=openssl/ptcp
    [ "$1" = veth ] || echo /udp/ptcp,mtu=1472 /udp/seal/ptcp,mtu=1472 udp-64k udp-64k-openssl
    [ "$1" = veth ] || ! has_ipsec_mb || echo udp-64k-ipsec-mb
    echo /tcp /tcp/tls
    [ "$1" = veth ] || echo /unix
    ! can_bbr || echo tls-reference,cc=bbr
    ! has_iperf || echo iperf3
}

bulk_round() {
    local network name
    for network in $networks; do
        for name in $(bulk_cases "$network"); do
            case $name in
            iperf3) sample bulk "$network" iperf3 "$here/iperf" "$seconds" ;;
            *) sample bulk "$network" "$name" "$programs/bulk" "$name" "$seconds" ;;
            esac
        done
    done
}

measure_bulk() { each_round bulk_round; }

# --- Small messages ----------------------------------------------------------------------------

latency_round() {
    local network name
    for network in $networks; do
        for name in ${cases:-tcp-reference tls-reference /tcp/tls /udp/ptcp /udp/seal/ptcp}; do
            sample latency "$network" "$name" "$programs/latency" "$name" 0.5
        done
    done
}

measure_latency() {
    is_built latency || return 0
    each_round latency_round
}

# --- A file, by programs -----------------------------------------------------------------------

make_file() { # PATH
    local mib=${BENCH_FILE_MIB:-2048} i
    head -c 16777216 /dev/urandom >"$1.piece"
    for ((i = 0; i < mib / 16; i++)); do cat "$1.piece"; done >"$1"
    rm "$1.piece"
    cat "$1" >/dev/null
}

file_round() {
    local network how
    for network in $file_networks; do
        for how in p2pcat $(command -v socat >/dev/null && echo socat socat-tuned); do
            sample file "$network" "$how" "$here/file" "$how" "$work/file"
        done
    done
}

# Over veth, where there is a choice.
measure_file() {
    local file_networks=$networks
    case $networks in *veth*) file_networks=veth ;; esac
    say "writing a file"
    make_file "$work/file"
    each_round file_round
    rm "$work/file"
}

# --- Another address ---------------------------------------------------------------------------

move_round() {
    sample move "$1" rebinding "$programs/move" rebinding /udp/seal/ptcp 2.5
    [ "$1" != veth ] || {
        sample move veth address "$programs/move" address /udp/seal/ptcp 2.5
        ip -n b addr flush dev eth0 scope global
        ip -n b addr add 10.9.0.2/24 dev eth0
    }
}

# Over veth, where there is a choice.
measure_move() {
    case $networks in
    *veth*) each_round move_round veth ;;
    *) each_round move_round loopback ;;
    esac
}

# --- Many peers, many connections --------------------------------------------------------------

handshakes_round() {
    local peers
    for peers in new returning; do
        sample handshakes loopback "$peers" "$programs/handshakes" "$peers" 1.5 128
    done
}

measure_handshakes() {
    is_built handshakes || return 0
    each_round handshakes_round
}

connections_round() {
    local count
    sample streams loopback streams "$programs/connections" streams 1 64
    for count in 1 10 100 1000; do
        sample connections loopback "bulk-$count" "$programs/connections" bulk 1.5 "$count"
    done
    for count in 1 1000; do
        sample connections loopback "bulk-$count-1472" "$programs/connections" bulk 1.5 "$count" 1472
    done
}

measure_connections() {
    is_built connections || return 0
    sample memory loopback idle "$programs/connections" idle 10000
    sample memory loopback apart "$programs/connections" apart 10000
    sample memory loopback beside "$programs/connections" beside 10000
    each_round connections_round
}
