# What the tests of p2pcat share. To be sourced; leaves the test in an empty directory of its own.
#
# Waits are for conditions, with one deadline for the whole test.
set -uo pipefail
. "$top_srcdir/tests/shell_common.sh" || exit 1

p2pcat=${STK_P2PCAT:-$top_builddir/p2pcat}
server=$top_builddir/examples/http_server
slowness=${STK_TEST_SLOWNESS:-1}
deadline=$((SECONDS + ${patience:-100} * slowness))

dir=$(mktemp -d)
leave() {
    local left
    left=$(jobs -p)
    [ -z "$left" ] || kill -9 $left 2>/dev/null
    rm -rf "$dir"
}
trap leave EXIT
cd "$dir" || exit 1
unset XDG_CONFIG_HOME NO_COLOR
export HOME=$dir TERM=dumb

# The whole of stderr is shown when a line is missing.
check_says() { # NAME FILE PATTERN
    if grep -Eq -- "$3" "$2"; then
        echo "ok: $1"
    else
        echo "FAILED: $1: \"$3\" is not in: $(cat "$2")"
        failed=1
    fi
}

check_file() { # NAME EXPECTED-FILE GOT-FILE
    if cmp "$2" "$3"; then
        echo "ok: $1"
    else
        echo "FAILED: $1: $2 ($(stat -c %s "$2")) and $3 ($(stat -c %s "$3")) differ"
        failed=1
    fi
}

# Until a condition holds. A test that waits too long fails and ends here.
await() { # CONDITION…
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || {
            echo "FAILED: waited in vain for: $*"
            tail -n 3 $(ls -t ./*.err | head -4)
            exit 1
        }
        sleep 0.02
    done
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }
is_listening() { grep -q '^listening on' "$1"; }
port_of() { sed -n 's/^listening on [^ ]*:\([0-9]*\)\( .*\)*$/\1/p' "$1" | head -1; }
size_of() { stat -c %s "$1"; }
is_larger() { [ "$(size_of "$1")" -gt "$2" ]; } # FILE BYTES

# Waits for a process and sets $status.
reap() {
    await is_gone_or_zombie "$1"
    status=0
    wait "$1" || status=$?
}
is_gone_or_zombie() {
    local state
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat") || return 0
    [ "$state" = Z ]
}

# listen NAME ARGUMENT…: "p2pcat listen" with standard input NAME.in (or none) and output NAME.out;
# sets $listener once NAME.ticket is there.
listen() {
    local name=$1
    shift
    [ -e "$name.in" ] || : >"$name.in"
    rm -f "$name.ticket"
    "$p2pcat" listen --bind 127.0.0.1 --ticket-file "$name.ticket" "$@" \
        <"$name.in" >"$name.out" 2>"$name.err" &
    listener=$!
    await ticket_or_gone "$name" $listener
}
ticket_or_gone() { [ -s "$1.ticket" ] || is_gone_or_zombie "$2"; }

# join NAME STACK STACK ARGUMENT…: sets $joiner, and $port once it listens.
join() {
    local name=$1
    shift
    rm -f "$name.err"
    "$p2pcat" "$@" <"${input:-/dev/null}" >"$name.out" 2>"$name.err" &
    joiner=$!
    await listening_or_gone "$name.err" $joiner
    port=$(port_of "$name.err")
}
listening_or_gone() { is_listening "$1" || is_gone_or_zombie "$2"; }

run() { # NAME ARGUMENT…: sets $status
    local name=$1
    shift
    "$p2pcat" "$@" <"${input:-/dev/null}" >"$name.out" 2>"$name.err" &
    reap $!
}

make_certificate() { # NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
        -addext "subjectAltName=DNS:$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
