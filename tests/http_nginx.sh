#!/usr/bin/env bash
# Goal: our client understands nginx, over TCP and TLS: lengths, chunks, ranges, keep-alive, large
# bodies, uploads. Method: an nginx of our own in a temporary directory.
. "$top_srcdir/tests/http_common.sh" || exit 1
PATH=$PATH:/usr/sbin:/sbin
require nginx openssl sha256sum
fetch=${STK_HTTP_FETCH:-$top_builddir/tests/http_fetch}
trap '[ -f "$dir/nginx.pid" ] && kill "$(cat "$dir/nginx.pid")" 2>/dev/null; rm -rf "$dir"' EXIT

mkdir -p www tmp
printf 'hello, world\n' >www/hello.txt
head -c 1000000 /dev/urandom >www/random.bin
head -c $((${STK_HTTP_BIG:-100} * 1024 * 1024)) /dev/urandom >www/big.bin
for i in $(seq 20000); do echo "<!--# echo var=\"x\" -->line $i"; done >www/page.shtml
certify

# nginx takes no port from the kernel: free ones are tried until a set of them works.
configure() { # PORT
    local user=
    [ "$(id -u)" = 0 ] && user='user root;' # else its workers can't read our directory
    cat >nginx.conf <<END
$user
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path tmp/a; proxy_temp_path tmp/b; fastcgi_temp_path tmp/c;
  uwsgi_temp_path tmp/d; scgi_temp_path tmp/e;
  client_max_body_size 200m;
  types { text/html html shtml; text/plain txt; }
  server {
    listen 127.0.0.1:$1;
    listen 127.0.0.1:$(($1 + 1)) ssl;
    ssl_certificate $dir/cert.pem; ssl_certificate_key $dir/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    root $dir/www;
    location ~ shtml { ssi on; }
    location /empty { return 204; }
    location /away { return 302 /hello.txt; }
    location /short { return 200 "short"; }
    location /up { proxy_pass http://127.0.0.1:$1/short; proxy_method GET; proxy_pass_request_body off; }
    location /close { keepalive_timeout 0; alias $dir/www/hello.txt; }
  }
}
END
}
port=
for try in $(seq 30); do
    candidate=$((20000 + (RANDOM % 20000)))
    configure $candidate
    if nginx -p "$dir" -c "$dir/nginx.conf" 2>nginx.err; then
        port=$candidate
        break
    fi
done
[ -n "$port" ] || {
    echo "FAILED: nginx does not start: $(cat nginx.err)"
    exit 1
}

get() { "$fetch" "$@" 2>err; }
common() { # BASE
    check "a file" "$(sum <www/hello.txt)" "$(get "$1/hello.txt" | sum)"
    check "a megabyte" "$(sum <www/random.bin)" "$(get "$1/random.bin" | sum)"
    check "a large file" "$(sum <www/big.bin)" "$(get "$1/big.bin" | sum)"
    check "chunks" 20000 "$(get "$1/page.shtml" | grep -c line)"
    check "a range" "$(head -c 200 www/random.bin | tail -c 101 | sum)" \
        "$(get -r bytes=99-199 "$1/random.bin" | sum)"
    check "its status" "status 206" "$(grep status err)"
    check "204" "status 204" "$(get "$1/empty" >body; grep status err)"
    check "HEAD" "status 200 bytes 0" "$(get -X HEAD "$1/big.bin" >body; tr '\n' ' ' <err | sed 's/ $//')"
    check "404" "status 404" "$(get "$1/none" >body; grep status err)"
    check "ten over one connection" 10 "$(get -n 10 "$1/hello.txt" | grep -c hello)"
    check "a server that closes" "$(sum <www/hello.txt)" "$(get "$1/close" | sum)"
    check "an upload of a known length" short "$(get -X POST -d 3000000 "$1/up")"
    check "one that waits for 100" short "$(get -X POST -e -d 3000000 "$1/up")"
    check "a body that the server refuses" "status 405" \
        "$(get -X POST -d 3000 "$1/hello.txt" >body; grep status err)"
}

echo "TCP:"
common "http://127.0.0.1:$port"
echo "TLS:"
common "/ip4/127.0.0.1/tcp/$((port + 1))/tls,sni=localhost,ca=$dir/cert.pem/http"
check "TLS without trust fails" 1 "$(get "https://127.0.0.1:$((port + 1))/hello.txt" >body; echo $?)"

exit $failed
