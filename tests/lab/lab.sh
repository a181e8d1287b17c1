# Two hosts with a link between them, in network namespaces that nobody else sees. To be sourced.
#
#   lab_is_possible       whether this machine lets us make namespaces
#   lab_enter SCRIPT ARG… runs SCRIPT where the rest of this file works; all it starts ends with it
#   lab_up [KEY=VALUE…]   hosts "a" (10.9.0.1, fd09::1) and "b" (10.9.0.2, fd09::2); with settings
#                         the link between them is played by tests/lab/link
#   lab_link KEY=VALUE…   changes these settings while it runs
#   lab_on HOST COMMAND…  runs a command on a host
#   lab_move HOST ADDRESS the host's IPv4 address becomes another one
#
# No root is needed: the namespaces belong to a user namespace of their own.

lab_unshare() { unshare --user --map-root-user --net --mount --pid --fork --kill-child "$@"; }

lab_is_possible() {
    lab_unshare sh -c 'mount -t tmpfs tmpfs /run && ip netns add probe &&
        ip link add probe type veth peer name other' >/dev/null 2>&1
}

lab_enter() { lab_unshare bash "$@"; }

lab_host() { # NAME NUMBER
    ip -n "$1" link set lo up
    ip -n "$1" link set eth0 up
    ip -n "$1" addr add "10.9.0.$2/24" dev eth0
    ip -n "$1" addr add "fd09::$2/64" dev eth0 nodad
}

lab_on() {
    local host=$1
    shift
    nsenter --net="/run/netns/$host" "$@"
}

lab_up() {
    mount -t tmpfs tmpfs /run
    # The leak checker looks itself up in /proc, by a number of this PID namespace.
    mount -t proc proc /proc 2>/dev/null || export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
    ip netns add a
    ip netns add b
    if [ $# = 0 ]; then
        ip -n a link add eth0 type veth peer name eth0 netns b
    else
        lab_up_emulated "$@"
    fi
    lab_host a 1
    lab_host b 2
}

# The middle is a namespace whose two interfaces only tests/lab/link reads and writes.
lab_up_emulated() {
    local host line
    ip netns add middle
    for host in a b; do
        ip -n "$host" link add eth0 type veth peer name "to-$host" netns middle
        lab_on middle sh -c "[ ! -d /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/to-$host/disable_ipv6" \
            2>/dev/null
        ip -n middle link set "to-$host" up
    done
    mkfifo /run/link.in /run/link.out
    lab_on middle "$top_builddir/tests/lab/link" to-a to-b "$@" </run/link.in >/run/link.out &
    exec 8>/run/link.in 9</run/link.out
    read -r line <&9 && [ "$line" = ready ]
}

lab_link() {
    local line
    echo "$*" >&8
    read -r line <&9 && [ "$line" = set ]
}

lab_move() { # HOST ADDRESS
    local old
    old=$(ip -n "$1" -4 -o addr show dev eth0 | awk '{ print $4; exit }')
    ip -n "$1" addr del "$old" dev eth0
    ip -n "$1" addr add "$2/24" dev eth0
}
