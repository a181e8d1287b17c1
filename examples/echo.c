/*
 * An echo server on any stack: echo [STACK]
 *
 *   echo /ip4/127.0.0.1/tcp/7007
 *   echo /ip4/127.0.0.1/udp/7007/ptcp
 *   echo /ip4/127.0.0.1/udp/7007/ptcp/tls,cert=server.pem
 *
 * The protocol is the ten lines of received() and echo. What does not fit into the write buffer
 * stays unused, and nothing more is read until there is room: a peer that sends without reading is
 * slowed down, not stored.
 */
#include "stack.h"

#include <stdio.h>

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    const long taken = stk_conn_write(conn, data, len);

    if (taken < (long)len)
        stk_conn_pause(conn);
    return taken > 0 ? (size_t)taken : 0;
}

static const struct stk_protocol echo = {
    .received = received, .writable = stk_conn_resume, .finished = stk_conn_finish};

int main(int argc, char **argv)
{
    const char *stack = argc > 1 ? argv[1] : "/ip4/127.0.0.1/tcp/7007";
    struct stk_loop *loop;
    struct stk_listener *listener;
    struct stk_error error;
    struct stk_addr addr;
    char text[STK_ADDR_TEXT_MAX];

    if (stk_loop_new(NULL, &loop) < 0)
        return 1;
    if (stk_listen(loop, stack, &echo, NULL, &listener, &error) < 0)
        return fprintf(stderr, "%s: %s\n", error.layer, error.text), 1;
    if (stk_listener_addr(listener, &addr) == 0)
        fprintf(stderr, "listening on %s\n", stk_addr_format(&addr, text));
    return stk_loop_run(loop) < 0;
}
