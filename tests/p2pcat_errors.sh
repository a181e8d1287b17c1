#!/usr/bin/env bash
# Goal: whatever goes wrong, p2pcat says what, ends with the right code, and tells the other side;
# nothing is lost in silence. Method: wrong words, wrong peers, full disks, killed processes, and a
# proxy that forges, cuts and replays datagrams of a running transfer.
. "$top_srcdir/tests/p2pcat_common.sh" || exit 1
require openssl jq socat

head -c 3000000 /dev/urandom >big
"$p2pcat" id >own.key
"$p2pcat" id --identity alice >alice.key
"$p2pcat" id --identity bob >bob.key

refuses() { # NAME CODE PATTERN ARGUMENT…
    local name=$1 code=$2 pattern=$3
    shift 3
    run refuses "$@"
    check "$name" "$code 0" "$status $(size_of refuses.out)"
    check_says "$name: it says why" refuses.err "$pattern"
}

words() {
    refuses "an unknown option" 2 'no option' --colour
    refuses "an unknown letter before another one" 2 'no option "-x"' --stats -xv
    refuses "an option without its value" 2 'lacks its value: "--ticket-file"' connect --ticket-file
    refuses "a letter without its value" 2 'lacks its value: "-o"' http -o
    refuses "a value too many" 2 'takes no value: "--durable=yes"' listen --durable=yes
    refuses "an unknown command" 2 'no command "liste"' liste
    refuses "a word too many" 2 '--port' listen 4001
    refuses "a key in place of a ticket" 2 'not where it is' connect "$(cat own.key)"
    refuses "an address in place of a ticket" 2 'p2pcat - example.org:80' connect example.org:80
    refuses "a name in place of a URL" 2 'https://' http www.example.org
    refuses "connect without a ticket" 2 'one ticket' connect
    refuses "a ticket file that is not there" 2 'No such file' connect --ticket-file none
    refuses "a stack that is none, without a layer to blame" 2 '^p2pcat: at character 2' connect /tcp/80
    refuses "one stack alone" 2 'two stacks' /ip4/127.0.0.1/tcp/1
    refuses "--keep-open without listen:" 2 'listen:' - /ip4/127.0.0.1/tcp/1 --keep-open
    refuses "a port that is none" 2 'from 0 to 65535' listen --port 65536
    refuses "a time that is none" 2 'expected a number' connect --timeout soon x
    refuses "an address that is none" 2 'IPv4 or IPv6' listen --bind localhost
    refuses "a key that is none" 2 'key' listen --allow abc
    refuses "an unknown layer" 2 'no layer' layers nonsense
    refuses "an option of another command" 2 'output means nothing to listen' listen -o photo.jpg
    refuses "an option that no stack heeds" 2 'exec means nothing to two stacks' - /memory/x --exec cat
    refuses "a command that is too long" 2 'too long' listen --exec "$(printf 'true; %.0s' {1..1000})"
    refuses "a stack that is too long" 2 'longer' connect "/process/$(printf 'true;%.0s' {1..1000})"
    refuses "an identity in a place that can't be" 6 '/proc/none' listen --identity /proc/none/here
    mkdir shut
    refuses "an identity that is a directory" 6 'shut' id --identity shut
    echo garbage >broken
    chmod 600 broken
    refuses "an identity file that holds something else" 6 'broken' id --identity broken
}

addresses() {
    local address
    for address in / // /ip4 /ip4/ /ip4/1.2.3/tcp/1 /ip4/127.0.0.1/tcp /ip4/127.0.0.1/tcp/99999 \
        /ip4/127.0.0.1/tcp/1/ /ip4/127.0.0.1/tcp/1/nonsense /ip6/127.0.0.1/tcp/1 \
        /ip4/127.0.0.1/tcp/1/tls,colour=red /ip4/127.0.0.1/tcp/1/tls,min=9 /unix /fd/x \
        '/ip4/127.0.0.1/udp/1/seal,peer=abc/ptcp' '/process/%zz'; do
        refuses "malformed: $address" 2 . - "$address"
    done
    for address in /ip4/127.0.0.1/tcp/1/ptcp /ip4/127.0.0.1/udp/1 /ip4/127.0.0.1/udp/1/seal \
        /ip4/127.0.0.1/udp/1/tls /tls /ptcp /ip4/127.0.0.1/tcp/1/tcp/2 /ip4/127.0.0.1/tcp/1/seal/ptcp \
        /ip4/127.0.0.1/tcp/1/http/x; do
        refuses "impossible: $address" 2 . - "$address"
    done
}

# Every character is one that something depends on.
tickets() {
    listen good
    kill $listener
    reap $listener
    local ticket wrong='' at other
    ticket=$(cat good.ticket)
    for ((at = 0; at < ${#ticket}; at++)); do
        other=a
        [ "${ticket:at:1}" != a ] || other=b
        run flip --ephemeral connect "${ticket:0:at}$other${ticket:at+1}"
        [ "$status" = 2 ] && [ -s flip.err ] || wrong="$wrong $at:$status"
    done
    check "a ticket with any character changed" "" "$wrong"
    for ((at = 0; at < ${#ticket}; at += 7)); do
        run cut --ephemeral connect "${ticket:0:at}"
        [ "$status" = 2 ] && [ -s cut.err ] || wrong="$wrong $at:$status"
    done
    check "a ticket cut short anywhere" "" "$wrong"
    refuses "a ticket twice" 2 ticket --ephemeral connect "$ticket$ticket"
    refuses "a ticket of other characters" 2 ticket --ephemeral connect "stk0189!"
}

peers() {
    refuses "nobody listens on tcp" 3 'refused' - /ip4/127.0.0.1/tcp/1
    refuses "nobody listens on udp" 3 'no answer|refused|nobody listens' --timeout 1 - /ip4/127.0.0.1/udp/1/ptcp
    listen dead
    kill -9 $listener
    wait $listener 2>/dev/null
    local start=${EPOCHREALTIME/./}
    refuses "a dead host" 3 'no answer|refused|timed out|time' --ephemeral --timeout 1 connect "$(cat dead.ticket)"
    check "within the connect time-out" 1 $((${EPOCHREALTIME/./} - start < 2500000 * slowness))

    join sealed listen:/ip4/127.0.0.1/udp/0/seal/ptcp - --identity alice
    refuses "another key than the peer's" 3 'another key than' --identity bob --timeout 2 \
        - "/ip4/127.0.0.1/udp/$port/seal,peer=$(cat bob.key)/ptcp"
    kill $joiner
    reap $joiner
    join choosy "listen:/ip4/127.0.0.1/udp/0/seal,peer=$(cat bob.key)/ptcp" - --identity alice
    refuses "a key that the listener does not name" 4 'refused this key' --ephemeral \
        - "/ip4/127.0.0.1/udp/$port/seal,peer=$(cat alice.key)/ptcp"
    kill $joiner
    reap $joiner

    make_certificate right.example
    make_certificate wrong.example
    local below
    for below in tcp udp/0/ptcp; do
        below=${below%%/*}/0${below#*/0}
        below=${below/tcp\/0tcp/tcp/0}
        join tls "listen:/ip4/127.0.0.1/$below/tls,cert=right.example.pem,key=right.example.key" \
            /process/cat --keep-open
        refuses "a certificate nobody vouches for" 4 'cert' \
            - "/ip4/127.0.0.1/${below/\/0//$port}/tls,ca=wrong.example.pem,sni=right.example"
        refuses "a certificate of another name" 4 'cert' \
            - "/ip4/127.0.0.1/${below/\/0//$port}/tls,ca=right.example.pem,sni=wrong.example"
        input=big run tls-good - \
            "/ip4/127.0.0.1/${below/\/0//$port}/tls,ca=right.example.pem,sni=right.example"
        check "and the right one is taken" 0 $status
        kill $joiner
        reap $joiner
    done
    refuses "a CA file that is not there" 2 'none.pem' \
        - "/ip4/127.0.0.1/tcp/1/tls,ca=none.pem,sni=a.example"
}

# The name server takes every question, and answers none for half a minute.
names() {
    printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:1\n' >resolv.conf
    unshare -rmn true 2>/dev/null || {
        echo "no namespaces here: names are left out"
        return
    }
    cat >in-namespace <<-'EOF'
		mount --bind resolv.conf /etc/resolv.conf && ip link set lo up || exit 99
		socat -u UDP-RECV:53,bind=127.0.0.1 OPEN:/dev/null &
		until grep -q ':0035 ' /proc/net/udp; do sleep 0.02; done
		"$1" --timeout 0.2 - /dns/nobody.example/tcp/80 </dev/null
		status=$?
		kill %1
		exit $status
	EOF
    local start=${EPOCHREALTIME/./}
    unshare -rmn bash in-namespace "$p2pcat" 2>names.err
    check "a name server that does not answer" 3 $?
    check_says "it says so" names.err 'no answer'
    check "nobody waits for it" 1 $((${EPOCHREALTIME/./} - start < 8000000 * slowness))
}

disks() {
    listen full
    "$p2pcat" --ephemeral connect "$(cat full.ticket)" <big >/dev/full 2>full-connect.err &
    local connector=$!
    reap $connector # nothing came, so nothing was written
    check "a full disk that gets nothing does no harm" 0 $status
    reap $listener

    cp big full2.in
    listen full2
    "$p2pcat" --ephemeral connect "$(cat full2.ticket)" <big >/dev/full 2>full2-connect.err &
    connector=$!
    reap $connector
    check "a full disk on the connecting side" 6 $status
    check_says "it says so" full2-connect.err '[Nn]o space left'
    reap $listener
    check "the listening side learns of it" 5 $status
    check_says "in words" full2.err 'reset'

    rm -f full3.ticket
    "$p2pcat" listen --bind 127.0.0.1 --ticket-file full3.ticket </dev/null >/dev/full 2>full3.err &
    listener=$!
    await test -s full3.ticket
    input=big run full3-connect --ephemeral connect "$(cat full3.ticket)"
    check "a full disk on the listening side" 5 $status
    check_says "the connecting side learns of it" full3-connect.err 'reset'
    reap $listener
    check "and the listening side says so" 6 $status
    check_says "in words" full3.err '[Nn]o space left'

    cp big closed.in
    listen closed
    "$p2pcat" --ephemeral connect "$(cat closed.ticket)" </dev/null 2>closed-connect.err >&- &
    connector=$!
    reap $connector
    check "a closed stdout" 6 $status
    check_says "in words" closed-connect.err 'descriptor'
    kill $listener 2>/dev/null
    reap $listener

    cp big pipe.in
    listen pipe
    ("$p2pcat" --ephemeral connect "$(cat pipe.ticket)" </dev/null 2>pipe-connect.err
        echo $? >pipe.status) | head -c 10 >/dev/null
    check "a pipe that nobody reads any more" 6 "$(cat pipe.status)"
    check_says "in words" pipe-connect.err 'pipe|Pipe'
    reap $listener
    check "the other side learns of it" 5 $status

    "$p2pcat" id >/dev/full 2>id-full.err
    check "id on a full disk" 6 $?
    "$p2pcat" --version >/dev/full
    check "--version on a full disk" 6 $?
    join stranger listen:/ip4/127.0.0.1/tcp/0 '/process/echo SSH-2.0-nobody' --keep-open
    refuses "a server that speaks something else" 5 'http:' http "http://127.0.0.1:$port/"
    kill $joiner
    reap $joiner
    echo precious >kept
    refuses "a page that can't be had" 3 'refused' http http://127.0.0.1:1/ -o kept
    check "leaves the file as it was" precious "$(cat kept)"
    mkdir www
    cp big www/big
    rm -f server.out
    "$server" www /ip4/127.0.0.1/tcp/0 >server.out 2>server.err &
    local pid=$!
    await is_listening server.out
    port=$(port_of server.out)
    "$p2pcat" http "http://127.0.0.1:$port/big" >/dev/full 2>http-full.err
    check "http on a full disk" 6 $?
    refuses "http into a directory that is not there" 6 'No such file' \
        http "http://127.0.0.1:$port/big" -o none/here
    kill $pid
    reap $pid
}

killed_peers() {
    mkfifo held
    exec 7<>held
    join killed listen:/ip4/127.0.0.1/udp/0/seal/ptcp,user-timeout=1s,keepalive=500ms - <held
    "$p2pcat" --ephemeral - \
        "/ip4/127.0.0.1/udp/$port/seal,peer=$(cat own.key)/ptcp,user-timeout=1s,keepalive=500ms" \
        <held >killed-connect.out 2>killed-connect.err &
    local connector=$! start
    echo "one line" >&7
    await lines_are_there killed.out killed-connect.out
    start=${EPOCHREALTIME/./}
    kill -9 $connector
    wait $connector 2>/dev/null
    reap $joiner
    check "a killed peer is reported" 5 $status
    check_says "in words" killed.err 'silent|no answer|acknowledge|timed out|time|refused'
    check "within the user time-out" 1 $((${EPOCHREALTIME/./} - start < 4000000 * slowness))
    exec 7>&-

    mkfifo held2
    exec 7<>held2
    rm -f int.in
    ln -s held2 int.in
    listen int
    "$p2pcat" --ephemeral connect "$(cat int.ticket)" </dev/zero >int-connect.out 2>int-connect.err &
    connector=$!
    await is_larger int.out 100000
    kill -INT $connector
    reap $connector
    check "^C is exit code 130" 130 $status
    check "and silent" "" "$(cat int-connect.err)"
    reap $listener
    check "the other side learns at once" 5 $status
    check_says "in words" int.err 'reset'
    exec 7>&-
}
lines_are_there() { [ -s "$1" ] || [ -s "$2" ]; }

forgeries() {
    local proxy
    join forged listen:/ip4/127.0.0.1/udp/0/seal/ptcp -
    rm -f proxy.out
    "$top_builddir/tests/udp_proxy" "$port" dup=5 flip=10 cut=10 replay=20 garbage=10 forge=10 \
        drop=1 >proxy.out 2>proxy.err &
    proxy=$!
    await is_listening proxy.out
    input=big run forged-connect --ephemeral - \
        "/ip4/127.0.0.1/udp/$(port_of proxy.out)/seal,peer=$(cat own.key)/ptcp,mtu=1200"
    check "a transfer among forged, cut and repeated datagrams" "0 " "$status $(cat forged-connect.err)"
    reap $joiner
    check "both sides end well" 0 $status
    check_file "not a byte is wrong" big forged.out
    kill $proxy
    reap $proxy
    check "and there were many of them" 1 "$(awk '/flip|forge|replay|garbage/ { sum += $2 } END { print (sum > 100) }' proxy.out)"
}

words
addresses
tickets
peers
names
disks
killed_peers
forgeries
exit $failed
