#!/usr/bin/env bash
# Goal: curl finds our server right, over TCP and TLS. Method: the file server of examples/ serves a
# directory of random and text files; what curl gets is compared with the files.
. "$top_srcdir/tests/http_common.sh" || exit 1
require curl openssl sha256sum
server=${STK_HTTP_SERVER:-$top_builddir/examples/http_server}

mkdir -p www/sub
printf 'hello, world\n' >www/hello.txt
printf '<p>index\n' >www/sub/index.html
head -c 1000000 /dev/urandom >www/random.bin
big=${STK_HTTP_BIG:-100}
head -c $((big * 1024 * 1024)) /dev/urandom >www/big.bin
ln -s /etc/passwd www/out
ln -s hello.txt www/in
certify

common() { # URL, and curl's options behind it
    local url=$1
    shift
    get() { curl -sS --max-time 100 "$@"; }
    code() { get -o /dev/null -w '%{http_code}' "$@"; }

    check "a file" "$(sum <www/hello.txt)" "$(get "$@" "$url/hello.txt" | sum)"
    check "a megabyte" "$(sum <www/random.bin)" "$(get "$@" "$url/random.bin" | sum)"
    check "$big MB" "$(sum <www/big.bin)" "$(get "$@" "$url/big.bin" | sum)"
    check "HTTP/1.0" "$(sum <www/random.bin)" "$(get "$@" --http1.0 "$url/random.bin" | sum)"
    check "one connection for five" "1 0 0 0 0 " \
        "$(get "$@" -w '%{num_connects} ' -o /dev/null "$url/hello.txt" -o /dev/null "$url/hello.txt" \
            -o /dev/null "$url/random.bin" -o /dev/null "$url/none" -o /dev/null "$url/hello.txt")"
    check "a range" "$(head -c 200 www/random.bin | tail -c 101 | sum)" \
        "$(get "$@" -r 99-199 "$url/random.bin" | sum)"
    check "a range's status" 206 "$(code "$@" -r 99-199 "$url/random.bin")"
    check "a suffix" "$(tail -c 77 www/random.bin | sum)" "$(get "$@" -r -77 "$url/random.bin" | sum)"
    check "an impossible range" 416 "$(code "$@" -r 2000000- "$url/random.bin")"
    check "two ranges" 2 "$(get "$@" -r 0-9,20-29 "$url/random.bin" | grep -ac '^Content-Range: bytes')"
    head -c 300000 www/random.bin >part
    get "$@" -C - -o part "$url/random.bin"
    check "a resumed download" "$(sum <www/random.bin)" "$(sum <part)"
    check "HEAD" "1000000" "$(get "$@" -I "$url/random.bin" | tr -d '\r' | sed -n 's/^Content-Length: //p')"
    local etag
    etag=$(get "$@" -I "$url/hello.txt" | tr -d '\r' | sed -n 's/^ETag: //p')
    check "If-None-Match" 304 "$(code "$@" -H "If-None-Match: $etag" "$url/hello.txt")"
    check "If-Match" 412 "$(code "$@" -H 'If-Match: "other"' "$url/hello.txt")"
    check "If-Modified-Since" 304 "$(code "$@" -z www/hello.txt "$url/hello.txt")"
    check "no such file" 404 "$(code "$@" "$url/none")"
    check "a directory's slash" 301 "$(code "$@" "$url/sub")"
    check "an index behind it" "$(sum <www/sub/index.html)" "$(get "$@" -L "$url/sub" | sum)"
    check "a method" 405 "$(code "$@" -X DELETE "$url/hello.txt")"
    check "a link inside" 200 "$(code "$@" "$url/in")"
    check "a link out" 404 "$(code "$@" "$url/out")"
    check "dots" 404 "$(code "$@" --path-as-is "$url/sub/../../etc/passwd")"
    check "encoded dots" 404 "$(code "$@" --path-as-is "$url/%2e%2e/%2e%2e/etc/passwd")"
    check "an encoded slash" 404 "$(code "$@" --path-as-is "$url/sub%2findex.html")"
    check "an encoded zero" 400 "$(code "$@" --path-as-is "$url/hello.txt%00")"
    check "an upload that is refused" 405 \
        "$(code "$@" -T www/random.bin -H 'Expect: 100-continue' "$url/up")"
    check "a chunked upload that is refused" 405 \
        "$(code "$@" -T - -H 'Expect: 100-continue' "$url/up" <www/random.bin)"
    check "a slow reader" "$(head -c 3000000 www/big.bin | sum)" \
        "$(get "$@" --limit-rate 3M -r 0-2999999 "$url/big.bin" | sum)"
}

echo "TCP:"
start "$server" "$dir/www" /ip4/127.0.0.1/tcp/0
common "http://127.0.0.1:$port"
exec 3<>/dev/tcp/127.0.0.1/$port
printf 'GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\nGET /in HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&3
check "pipelined" "200 404 200 " "$(tr -d '\r' <&3 | sed -n 's/^HTTP\/1.1 \([0-9]*\).*/\1/p' | tr '\n' ' ')"
exec 3>&-

echo "TLS:"
start "$server" "$dir/www" "/ip4/127.0.0.1/tcp/0/tls,cert=$dir/cert.pem,key=$dir/key.pem"
common "https://localhost:$port" --cacert cert.pem --resolve "localhost:$port:127.0.0.1"

exit $failed
