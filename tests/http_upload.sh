#!/usr/bin/env bash
# Goal: curl's uploads are accepted in every framing, over TCP and TLS. Method: a server that sends
# back what it gets, while it comes; what curl gets is compared with what it sent.
. "$top_srcdir/tests/http_common.sh" || exit 1
require curl openssl sha256sum
server=${STK_HTTP_ECHO:-$top_builddir/tests/http_echo}

printf 'a=1&b=2' >form
head -c 20000000 /dev/urandom >big.bin
: >empty
certify

common() { # URL, and curl's options behind it
    local url=$1 big
    shift
    big=$(sum <big.bin)
    put() { curl -sS --max-time 60 "$@"; }

    check "a form" "a=1&b=2" "$(put "$@" -d @form "$url/form")"
    check "an empty body" "200 0" "$(put "$@" -o got -w '%{http_code} %{size_download}' -T empty "$url/x")"
    check "a file" "$big" "$(put "$@" -T big.bin "$url/x" | sum)"
    check "a file after 100 Continue" "$big" \
        "$(put "$@" -T big.bin -H 'Expect: 100-continue' "$url/x" | sum)"
    check "a file without Expect" "$big" "$(put "$@" -T big.bin -H 'Expect:' "$url/x" | sum)"
    check "chunks" "$big" "$(put "$@" -T - "$url/x" <big.bin | sum)"
    check "chunks after 100 Continue" "$big" \
        "$(put "$@" -T - -H 'Expect: 100-continue' "$url/x" <big.bin | sum)"
    check "a file over HTTP/1.0" "$big" "$(put "$@" --http1.0 -T big.bin "$url/x" | sum)"
    check "a slow reader of its own upload" "$(head -c 3000000 big.bin | sum)" \
        "$(head -c 3000000 big.bin | put "$@" --limit-rate 3M -T - "$url/x" | sum)"
    check "two over one connection" "1 0 " \
        "$(put "$@" -w '%{num_connects} ' -o got -T form "$url/x" --next "$@" -sS \
            -w '%{num_connects} ' -o got -T form "$url/x")"
    check "an upload that is refused" 405 \
        "$(put "$@" -o got -w '%{http_code}' -X DELETE -T form "$url/x")"
}

echo "TCP:"
start "$server" /ip4/127.0.0.1/tcp/0
common "http://127.0.0.1:$port"
echo "TLS:"
start "$server" "/ip4/127.0.0.1/tcp/0/tls,cert=$dir/cert.pem,key=$dir/key.pem"
common "https://localhost:$port" --cacert cert.pem --resolve "localhost:$port:127.0.0.1"

exit $failed
