#!/usr/bin/env bash
# Goal: p2pcat does what its help says when all goes well. Method: runs of the program itself over
# loopback, with what arrived compared with what was sent.
. "$top_srcdir/tests/p2pcat_common.sh" || exit 1
require openssl jq socat

head -c 3000000 /dev/urandom >big
head -c 2000000 /dev/urandom >other

identities() {
    run id1 id
    run id2 id
    check "id prints a key" 1 "$(grep -Ec '^[a-z2-7]{52}$' id1.out)"
    check "id is the same the next time" "$(cat id1.out)" "$(cat id2.out)"
    check "its file is ours alone" 600 "$(stat -c %a .config/libstack/identity)"
    check "talk is not on stdout" 1 "$(wc -l <id1.out)"
    XDG_CONFIG_HOME=$dir/xdg "$p2pcat" id >id3.out
    check "XDG_CONFIG_HOME is honoured" 600 "$(stat -c %a xdg/libstack/identity)"
    run id4 id --identity mine
    check "--identity makes a file" 600 "$(stat -c %a mine)"
    check "and another key" 3 "$(cat id1.out id3.out id4.out | sort -u | wc -l)"
    chmod 640 mine
    run id5 id --identity mine
    check "a file that others can read is refused" 6 $status
    check_says "and the cure is told" id5.err 'chmod'
    chmod 600 mine
    run id6 id --json --identity mine
    check "id --json" "$(cat id4.out)" "$(jq -r .key id6.out)"
    run id7 id --json --identity 'a "quoted" \name'
    check "id --json quotes what it must" 'a "quoted" \name' "$(jq -r .identity id7.out)"
    "$p2pcat" id --identity alice >alice.key
    "$p2pcat" id --identity bob >bob.key
}

both_directions() {
    cp other both.in
    listen both
    input=big run both-connect --identity alice connect --ticket-file both.ticket
    check "connect ends well" 0 $status
    reap $listener
    check "listen ends well" 0 $status
    check_file "from connect to listen" big both.out
    check_file "and back at the same time" other both-connect.out
    check "stderr is quiet" "" "$(cat both-connect.err both.err)"
}

# The answer comes after the question's end: a half-close must not end the other direction.
half_closes() {
    listen half --exec 'wc -c'
    input=big run half-connect --ephemeral connect "$(cat half.ticket)"
    check "an answer after our end" 3000000 "$(cat half-connect.out)"
    reap $listener
    mkfifo late
    : >half2.in
    listen half2
    "$p2pcat" --ephemeral connect "$(cat half2.ticket)" <late >half2-connect.out 2>half2-connect.err &
    local connector=$!
    exec 7>late
    cat other >&7
    await is_larger half2.out 1999999
    exec 7>&-
    reap $connector
    check "bytes after the other's end" 0 $status
    reap $listener
    check_file "they are all there" other half2.out
}

tickets() {
    "$p2pcat" listen --bind 127.0.0.1 </dev/null >t1.out 2>t1.err &
    listener=$!
    await grep -q '^stk' t1.err
    check "without --ticket-file it is on stderr" 1 "$(grep -c '^stk[a-z2-7]*$' t1.err)"
    input=big run t1-connect --ephemeral connect "  $(grep ^stk t1.err | tr a-z A-Z) "
    check "blanks and capitals do no harm" 0 $status
    reap $listener
    check_file "and the bytes arrive" big t1.out
    mkfifo t3.fifo
    exec 7<>t3.fifo
    ln -s t3.fifo t3.link
    "$p2pcat" listen --bind 127.0.0.1 --ticket-file t3.link </dev/null >t3.out 2>t3.err &
    listener=$!
    read -r -t $((deadline - SECONDS)) <&7
    exec 7>&-
    input=big run t3-connect --ephemeral connect "$REPLY"
    check "--ticket-file may be a pipe" 0 $status
    reap $listener
    check "and is one still" "t3.fifo fifo" "$(readlink t3.link) $(stat -c %F t3.fifo)"
    listen t2 --port 0 -v
    check_says "-v tells the addresses" t2.err 'reachable at 127.0.0.1:[0-9]+'
    local key
    key=$("$p2pcat" id)
    input=big run t2-connect --ephemeral --peer "$key" -v connect "$(cat t2.ticket)"
    check "--peer takes the right peer" 0 $status
    reap $listener
    check_says "-v tells the stack" t2-connect.err '^\* stack /ip4/127.0.0.1/udp/[0-9]+/seal,peer=[a-z2-7]+/ptcp'
    check_says "and the path" t2-connect.err '^\* path direct 127.0.0.1'
    check_says "and the peer" t2-connect.err "^\* peer $key"
    check "and nothing on stdout" 0 "$(size_of t2-connect.out)"
}

allowed_peers() {
    listen allow --keep-open --exec 'echo welcome' --allow "$(cat alice.key)" --allow "$(cat mine.key)"
    run allow1 --identity alice connect "$(cat allow.ticket)"
    check "the first of the list may come" "0 welcome" "$status $(cat allow1.out)"
    run allow2 --identity mine connect "$(cat allow.ticket)"
    check "so may the second" "0 welcome" "$status $(cat allow2.out)"
    run allow3 --identity bob connect "$(cat allow.ticket)"
    check "a stranger may not" 4 $status
    check_says "and is told so" allow3.err 'refuse|not allow'
    run allow4 --identity alice --peer "$(cat bob.key)" connect "$(cat allow.ticket)"
    check "a ticket of another than --peer" 4 $status
    kill $listener
    reap $listener
    check "SIGTERM ends it" 143 $status
}

kept_open() {
    listen many --keep-open --exec 'cat' --json
    local pids='' pid i
    for i in 1 2 3 4 5; do
        "$p2pcat" --ephemeral connect "$(cat many.ticket)" <big >many$i.out 2>many$i.err &
        pids="$pids $!"
    done
    i=0
    for pid in $pids; do
        reap "$pid"
        i=$((i + 1))
        check "side by side: $i ends well" 0 $status
        check_file "side by side: $i has its bytes" big many$i.out
    done
    kill $listener
    reap $listener
    check "one line of JSON for each" 5 "$(jq -s 'map(select(.sent_bytes == 3000000)) | length' many.err)"

    has_ended() { [ "$(grep -c 'B sent and' "$1")" -ge "$2" ]; } # FILE STREAMS
    mkfifo feed
    rm -f row.in
    ln -s feed row.in
    exec 7<>feed
    listen row --keep-open
    for i in 1 2 3; do
        echo "line $i" >row-input
        echo "answer $i" >&7
        "$p2pcat" --ephemeral connect "$(cat row.ticket)" <row-input >row$i.out 2>row$i.err &
        pid=$!
        await grep -q "answer $i" row$i.out
        await grep -q "line $i" row.out
        kill -INT $pid
        reap $pid
        check "^C is exit code 130" 130 $status
        await has_ended row.err $i # or it would still take the next answer
    done
    check "one after the other" "line 1 line 2 line 3" "$(tr '\n' ' ' <row.out | sed 's/ $//')"
    exec 7>&-
    kill $listener
    reap $listener
}

commands() {
    listen exec --exec 'read x; echo "got $x"; exit 3'
    echo hello >exec-input
    input=exec-input run exec-connect --ephemeral connect "$(cat exec.ticket)"
    check "a command's answer" "got hello" "$(cat exec-connect.out)"
    reap $listener
    check "its failure is ours" 6 $status
    check_says "and told" exec.err 'exit|status'
    listen recv --recv-only
    cp other recv.in
    input=big run recv-connect --ephemeral connect "$(cat recv.ticket)"
    check "--recv-only sends nothing" "0 0" "$status $(size_of recv-connect.out)"
    reap $listener
}

stacks() {
    socat -u UNIX-LISTEN:unix.sock,unlink-early=0 CREATE:unix.out &
    local peer=$!
    await test -S unix.sock
    join tu listen:/ip4/127.0.0.1/tcp/0 "/unix/$(sed 's|/|%2f|g' <<<"$dir")%2funix.sock"
    socat -u FILE:big "TCP:127.0.0.1:$port"
    reap $joiner
    check "tcp to unix" 0 $status
    reap $peer
    check_file "all of it" big unix.out

    for layers in tcp/0 udp/0/ptcp udp/0/seal/ptcp tcp/0/tls,cert=host.example.pem,key=host.example.key \
        tcp/0/chaos,seed=5 udp/0/ptcp/chaos/limit,rate=20M; do
        join st "listen:/ip4/127.0.0.1/$layers" -
        local to=${layers/\/0//$port}
        to=${to/seal/seal,peer=$(cat id1.out)}
        to=${to/tls,*/tls,ca=host.example.pem,sni=host.example}
        input=big run st-connect - "/ip4/127.0.0.1/$to" -v
        check "- to $layers" 0 $status
        check_says "with its name" st-connect.err "stack /ip4/127.0.0.1/${layers%%/*}/$port"
        reap $joiner
        check "$layers to -" 0 $status
        check_file "all of it" big st.out
    done

    join pr listen:/ip4/127.0.0.1/tcp/0 /process/tr%20a-z%20A-Z
    echo process >pr-input
    input=pr-input run pr-connect "/ip4/127.0.0.1/tcp/$port" -
    check "a process" PROCESS "$(cat pr-connect.out)"
    reap $joiner

    # As in "yes | head": who writes on is told, and not asked to end when time is over.
    local command='trap "" PIPE; trap "echo asked >ending" TERM; while echo y; do :; done; '
    command+='echo told >ending'
    command=${command//' '/%20}
    "$p2pcat" "/process/$command,stderr=null" - </dev/null 2>head.err | head -n 1 >head.out
    check "a command whose output is not read to the end" told "$(cat ending)"
    check_says "says who has had enough" head.err 'stdio: nobody reads'

    join pair listen:/ip4/127.0.0.1/tcp/0 listen:/unix/"$(sed 's|/|%2f|g' <<<"$dir")%2fpair.sock"
    await test -S pair.sock
    socat -u FILE:big "TCP:127.0.0.1:$port" &
    peer=$!
    socat -u UNIX-CONNECT:pair.sock CREATE:pair.result
    reap $peer
    reap $joiner
    check_file "two that listen" big pair.result

    # Who leaves before the other one is there is not joined to the next one.
    join left listen:/ip4/127.0.0.1/tcp/0 listen:/unix/"$(sed 's|/|%2f|g' <<<"$dir")%2fleft.sock" \
        --keep-open -v
    await test -S left.sock
    mkfifo open
    exec 7<>open
    "$p2pcat" - "/ip4/127.0.0.1/tcp/$port" <open >left1.out 2>left1.err &
    peer=$!
    await grep -q '^. stack' left.err
    kill -INT $peer # a reset
    reap $peer
    exec 7>&-
    input=big run left2 - "/ip4/127.0.0.1/tcp/$port" &
    peer=$!
    socat -u UNIX-CONNECT:left.sock CREATE:left.result
    reap $peer
    check_file "with one that left before" big left.result
    kill $joiner
    reap $joiner

    local long
    long=$(printf 'x%.0s' {1..3000})
    run long connect "/process/echo%20$long"
    check "a long stack is not cut" "$long" "$(cat long.out)"

    join keep listen:/ip4/127.0.0.1/udp/0/ptcp /process/cat --keep-open
    for i in 1 2 3; do
        input=big run keep$i - "/ip4/127.0.0.1/udp/$port/ptcp"
        check_file "--keep-open serves number $i" big keep$i.out
    done
    kill $joiner
    reap $joiner
}

pages() {
    mkdir www
    cp big www/big
    local below
    for below in tcp/0 udp/0/ptcp tcp/0/tls udp/0/ptcp/tls udp/0/ptcp/tls/tls; do
        local at=${below//tls/tls,cert=host.example.pem,key=host.example.key}
        rm -f server.out server.err
        "$server" www "/ip4/127.0.0.1/$at" >server.out 2>server.err &
        local pid=$!
        await is_listening server.out
        port=$(port_of server.out)
        at=${below/\/0//$port}
        run page http "/ip4/127.0.0.1/${at//tls/tls,ca=host.example.pem,sni=host.example}/http/big"
        check "http over $below" 0 $status
        check_file "the page" big page.out
        run none http "/ip4/127.0.0.1/${at//tls/tls,ca=host.example.pem,sni=host.example}/http/none"
        check "404 is exit code 7" 7 $status
        kill $pid
        reap $pid
    done
    rm -f server.out server.err
    "$server" www /ip4/127.0.0.1/tcp/0 >server.out 2>server.err &
    pid=$!
    await is_listening server.out
    run url http "http://127.0.0.1:$(port_of server.out)/big" -o saved --json
    check "a URL, into a file" "0 0" "$status $(size_of url.out)"
    check_file "the file" big saved
    check "--json" 3000000 "$(jq .received_bytes url.err)"
    run head http -I "http://127.0.0.1:$(port_of server.out)/big"
    check_says "-I" head.out '^HTTP/1.1 200'
    kill $pid
    reap $pid
}

statistics() {
    listen stats --stats
    input=big run stats-connect --ephemeral --json connect "$(cat stats.ticket)"
    reap $listener
    check "--json is JSON, and right" "3000000 true true" \
        "$(jq -r '"\(.sent_bytes) \(.rtt_us > 0) \(.stack | contains("seal"))"' stats-connect.err)"
    check "--json tells of every layer" "true true true true true true true" \
        "$(jq -r '"\(.packets_sent > 50) \(.cpu_seconds > 0) \(.handshake_us > 0) \(.cipher | length > 3)",
            "\(.seal.handshakes == 1) \(.udp.bytes_sent > 3000000) \(.pacing_bytes_per_s > 0)"' \
            stats-connect.err | paste -sd ' ')"
    for word in stack cipher moved RTT loss cwnd rate recovery path CPU; do
        check_says "--stats has $word" stats.err "^$word "
    done
    input=big run stats-lines --ephemeral --stats connect "$(cat stats.ticket)" --timeout 1
    check "--stats of what never opened is nothing" 0 "$(grep -c '^moved' stats-lines.err)"
}

words() {
    run help --help
    check "--help" "0 0" "$status $(size_of help.err)"
    run version --version
    check_says "--version" version.out '^p2pcat .*[0-9]'
    run layers layers
    check_says "layers" layers.out '^/ptcp'
    run nothing
    check "no words are a mistake" "2 0" "$status $(size_of nothing.out)"
}

identities
cp id4.out mine.key
make_certificate host.example
both_directions
half_closes
tickets
allowed_peers
kept_open
commands
stacks
pages
statistics
words
exit $failed
