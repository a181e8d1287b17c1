#!/usr/bin/env bash
# What p2pcat does, in two acts: a file of more than 100 MB goes from one machine to another, sealed,
# and a page is fetched with HTTP over TLS over PTCP over UDP. The machines are two network
# namespaces joined by a virtual cable; where namespaces are forbidden both live on loopback.
# Needs neither root nor a network. Exits with 0 if every byte arrived, and leaves nothing behind.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
top_builddir=${top_builddir:-$here/build}
p2pcat=$top_builddir/p2pcat
http_server=$top_builddir/examples/http_server
file_bytes_min=100000000
patience_s=50

# shellcheck source=../tests/lab/lab.sh
. "$here/tests/lab/lab.sh"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\e[1m' dim=$'\e[2m' good=$'\e[32m' bad=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' good='' bad='' plain=''
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
typed() { printf '  %s%s%s %s\n' "$dim" "$1>" "$plain" "$2"; }
fact() { printf '    %-9s %s\n' "$1" "$2"; }
die() {
    printf '\n%sdemo: %s%s\n' "$bad" "$*" "$plain" >&2
    exit 1
}

# --- Outside: what is needed, the file, the namespaces --------------------------------------------

need() {
    local tool
    for tool in openssl sha256sum tar find awk timeout; do
        command -v "$tool" >/dev/null || die "the program \"$tool\" is missing: install it"
    done
    for tool in "$p2pcat" "$http_server"; do
        [ -x "$tool" ] || die "$tool is not built: ./bootstrap builds it"
    done
}

# Files that every system has, largest ones left out, until the sum is enough.
make_file() {
    find /usr/bin /usr/lib /usr/share -xdev -type f -readable -size -20M -printf '%s %p\0' 2>/dev/null |
        awk -v RS='\0' -v ORS='\0' -v enough=$((file_bytes_min + 10000000)) \
            'sum < enough { sum += $1; sub(/^[0-9]+ /, ""); print }' >"$dir/names"
    tar -cf "$dir/files.tar" --null --ignore-failed-read -T "$dir/names" 2>/dev/null || true
    [ "$(stat -c %s "$dir/files.tar")" -ge $file_bytes_min ] ||
        die "there are not enough files in /usr to make a file of 100 MB"
}

make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=left.example -addext subjectAltName=DNS:left.example \
        -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>"$dir/openssl.err" ||
        die "openssl made no certificate: $(cat "$dir/openssl.err")"
}

outside() {
    need
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    make_file
    make_certificate
    local way=namespaces status=0
    lab_is_possible || way=loopback
    if [ $way = namespaces ]; then
        timeout --foreground -k 5 $patience_s "${BASH}" -c '. "$1"; shift; lab_enter "$@"' - \
            "$here/tests/lab/lab.sh" "$0" --inside "$way" "$dir" || status=$?
    else
        timeout --foreground -k 5 $patience_s "${BASH}" "$0" --inside "$way" "$dir" || status=$?
    fi
    [ $status != 124 ] || die "it took more than $patience_s seconds"
    return $status
}

# --- Inside: the two machines ---------------------------------------------------------------------

on() { # left or right, COMMAND…
    local machine=$1
    shift
    case $way-$machine in
    namespaces-left) exec nsenter --net=/run/netns/a "$@" ;;
    namespaces-right) exec nsenter --net=/run/netns/b "$@" ;;
    *) exec "$@" ;;
    esac
}

# Until a condition holds or the process behind it is gone.
await() { # PID CONDITION…
    local pid=$1
    shift
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.02
    done
}

value() { sed -n "s/^$1  *//p" "$2" | head -1; } # NAME FILE

move_the_file() {
    local size sum_left sum_right listener rate
    size=$(stat -c %s "$dir/files.tar")
    title "1. A file of $((size / 1000000)) MB goes from right to left"
    typed left 'p2pcat listen > copy.tar'
    on left env XDG_CONFIG_HOME="$dir/left" "$p2pcat" listen --bind "$left" \
        --ticket-file "$dir/ticket" --stats >"$dir/copy.tar" 2>"$dir/listen.err" </dev/null &
    listener=$!
    await $listener test -s "$dir/ticket" || die "p2pcat listen failed: $(cat "$dir/listen.err")"
    typed right "p2pcat connect $(cut -c 1-24 "$dir/ticket")... < files.tar"
    (on right env XDG_CONFIG_HOME="$dir/right" "$p2pcat" connect --ticket-file "$dir/ticket" --stats \
        <"$dir/files.tar" 2>"$dir/connect.err") ||
        die "p2pcat connect failed: $(cat "$dir/connect.err")"
    wait $listener || die "p2pcat listen failed: $(cat "$dir/listen.err")"

    rate=$(value moved "$dir/connect.err")
    fact stack "$(value stack "$dir/connect.err")"
    fact rate "${rate##*: } (${rate%%,*})"
    fact RTT "$(value RTT "$dir/connect.err")"
    fact loss "$(value loss "$dir/connect.err")"
    sum_right=$(sha256sum <"$dir/files.tar") sum_left=$(sha256sum <"$dir/copy.tar")
    fact SHA-256 "${sum_right%% *}  right"
    fact '' "${sum_left%% *}  left"
    [ "$sum_left" = "$sum_right" ] || die "the file that arrived is not the one that was sent"
    printf '    %sidentical%s\n' "$good" "$plain"
}

fetch_the_page() {
    local server port stack
    mkdir "$dir/site"
    printf '<h1>Served over four layers</h1>\n' >"$dir/site/index.html"
    title "2. A page comes over HTTP, TLS, PTCP and UDP"
    stack=/ip4/$left/udp/4433/ptcp/tls,cert=cert.pem,key=key.pem
    [ "$way" = namespaces ] || stack=${stack/4433/0}
    typed left "http_server site $stack"
    cd "$dir"
    on left "$http_server" site "$stack" >server.out 2>server.err &
    server=$!
    await $server grep -q listening server.out || die "the server failed: $(cat server.err)"
    port=$(sed -n 's/.*:\([0-9]*\)$/\1/p' server.out)
    stack=/ip4/$left/udp/$port/ptcp/tls,ca=cert.pem,sni=left.example/http/index.html
    typed right "p2pcat http $stack"
    (on right "$p2pcat" http --stats "$stack" >page 2>http.err) ||
        die "p2pcat http failed: $(cat http.err)"
    kill $server
    wait $server || die "the server failed: $(cat server.err)"
    fact page "$(cat page)"
    fact stack "$(value stack http.err)"
    fact RTT "$(value RTT http.err)"
    cmp -s page site/index.html || die "the page that arrived is not the one that was served"
    printf '    %sidentical%s\n' "$good" "$plain"
}

inside() {
    way=$1 dir=$2 left=127.0.0.1
    trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
    if [ "$way" = namespaces ]; then
        lab_up
        left=10.9.0.1
        echo "Two machines, left and right: network namespaces with a virtual cable between them."
    else
        echo "Two machines, left and right: both on loopback, since namespaces are forbidden here."
    fi
    move_the_file
    fetch_the_page
    printf '\n%sAll bytes arrived, after %s s.%s\n' "$good" "$SECONDS" "$plain"
}

if [ "${1:-}" = --inside ]; then
    inside "$2" "$3"
else
    outside
fi
