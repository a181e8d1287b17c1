# The parts of the benchmark. To be sourced by bench/run, whose settings and `sample` they use.

all_sections="bulk"

is_section() {
    case " $all_sections " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

bulk_cases() { # NETWORK
    if [ -n "$cases" ]; then
        echo $cases
        return
    fi
    echo tcp-reference tls-reference udp-gso udp-gso-openssl /tcp /tcp/tls \
        /udp/ptcp /udp/seal/ptcp /udp/ptcp/tls
    ! can_bbr || echo tcp-reference,cc=bbr tls-reference,cc=bbr
    [ "$1" = veth ] || echo udp-64k udp-64k-openssl /unix /udp/ptcp,mtu=1472 /udp/seal/ptcp,mtu=1472
}

can_bbr() { grep -qw bbr /proc/sys/net/ipv4/tcp_available_congestion_control; }

measure_bulk() {
    local network name
    for ((round = 1; round <= rounds; round++)); do
        for network in $networks; do
            for name in $(bulk_cases "$network"); do
                sample bulk "$network" "$programs/bulk" "$name" "$seconds"
            done
        done
    done
}
