#!/usr/bin/env bash
# Goal: the examples do what they say. Method: runs each and compares what it prints.
set -euo pipefail

examples=$top_builddir/examples
dir=$(mktemp -d)
running=
clean() {
    [ -z "$running" ] || kill $running 2>/dev/null || true
    rm -rf "$dir"
}
trap clean EXIT

fail() {
    echo "$*"
    exit 1
}

# expect NAME GOT WANTED
expect() { [ "$2" = "$3" ] || fail "$1: got"$'\n'"$2"$'\n'"instead of"$'\n'"$3"; }

# Starts a server that says "listening on ADDRESS:PORT" in its first line; sets $port.
serve() {
    local line
    exec {server}< <(exec "$@" 2>&1)
    running="$running $!"
    read -r line <&"$server" || fail "$*: ended without a word"
    case $line in
    *"listening on "*:*) port=${line##*:} ;;
    *) fail "$*: $line" ;;
    esac
}

own_layer_turns_letters() {
    expect own_layer "$("$examples/own_layer")" \
        '/memory/a          sees "Uryyb, ynlre" (rot saw 0 bytes)
/memory/b/rot,by=5 sees "Hello, layer" (rot saw 12 bytes)'
}

starttls_encrypts_what_follows() {
    local stack
    for stack in /memory/x "/unix/${dir//\//%2F}%2Fsocket"; do
        "$examples/starttls" "$stack" >"$dir/talk"
        expect "starttls $stack" "$(wc -l <"$dir/talk")" 4
        grep -q '^server reads "this is secret" from .*/tls,cert=' "$dir/talk" || fail "$(cat "$dir/talk")"
        grep -q '^client reads "go ahead" from ' "$dir/talk" || fail "$(cat "$dir/talk")"
    done
}

stacked_http_answers() {
    local page
    page=$("$examples/stacked_http")
    grep -Eq '^200 /hello was asked for by 127.0.0.1:[0-9]+, over TLSv1.3 \(TLS_' <<<"$page" ||
        fail "stacked_http: $page"
}

stacked_http_takes_files() {
    command -v openssl >/dev/null || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=files.example -addext subjectAltName=DNS:files.example \
        -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
    "$examples/stacked_http" "$dir/cert.pem" "$dir/key.pem" files.example >"$dir/page"
    grep -q '^200 ' "$dir/page" || fail "$(cat "$dir/page")"
    ! "$examples/stacked_http" "$dir/cert.pem" "$dir/key.pem" other.example >"$dir/page" 2>&1 ||
        fail "stacked_http: a wrong name is accepted"
    grep -q 'other.example' "$dir/page" || fail "$(cat "$dir/page")"
}

echo_sends_back() {
    local line
    serve "$examples/echo" /ip4/127.0.0.1/tcp/0
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    echo "hello, echo" >&3
    read -r line <&3
    exec 3>&-
    expect echo "$line" "hello, echo"
}

three_requests_are_added() {
    printf 'one two three\n' >"$dir/a"
    printf 'four' >"$dir/b"
    printf ' five  six ' >"$dir/c"
    serve "$examples/http_server" "$dir" /ip4/127.0.0.1/tcp/0
    local base=http://127.0.0.1:$port
    expect three_requests "$("$examples/three_requests" "$base/a" "$base/b" "$base/c")" "6 words"
}

a_simulated_run_repeats() {
    local one two
    one=$("$examples/simulated_link" 7)
    two=$("$examples/simulated_link" 7)
    expect simulated_link "$two" "$one"
    grep -q '^200000 bytes' <<<"$one" || fail "simulated_link: $one"
}

own_layer_turns_letters
starttls_encrypts_what_follows
stacked_http_answers
stacked_http_takes_files
echo_sends_back
three_requests_are_added
a_simulated_run_repeats
