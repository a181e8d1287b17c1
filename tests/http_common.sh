# What the tests of HTTP with real peers share. To be sourced; leaves the test in an empty directory
# of its own, which goes with it, as do the programs in $pids.
set -uo pipefail
. "$top_srcdir/tests/shell_common.sh" || exit 1

pids=
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

sum() { sha256sum | cut -d' ' -f1; }

# key.pem and cert.pem, for localhost.
certify() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout key.pem -out cert.pem 2>/dev/null
}

# Starts a server and sets $port from the line by which it says that it is ready.
start() { # COMMAND…
    local line
    mkfifo ready
    "$@" >ready 2>server.err &
    pids="$pids $!"
    read -r line <ready
    rm ready
    port=${line##*:}
    [[ $port =~ ^[0-9]+$ ]] || {
        echo "FAILED: no server: $(cat server.err)"
        exit 1
    }
}
