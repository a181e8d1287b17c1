#include "latency.h"
#include "tls_side.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- A connection, with or without TLS ---------------------------------------------------------
 */

struct wire {
    int fd;
    SSL *ssl; /* NULL: none */
};

static bool wire_open(struct wire *wire, int fd, SSL_CTX *ctx, bool server)
{
    const int on = 1;

    *wire = (struct wire){.fd = fd};
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return false;
    return !ctx || (wire->ssl = tls_over(ctx, fd, server));
}

static void wire_close(struct wire *wire)
{
    if (wire->ssl)
        SSL_shutdown(wire->ssl);
    SSL_free(wire->ssl);
    close(wire->fd);
}

static bool wire_send(struct wire *wire, const uint8_t message[MESSAGE_BYTES])
{
    return (wire->ssl ? SSL_write(wire->ssl, message, MESSAGE_BYTES)
                      : write(wire->fd, message, MESSAGE_BYTES)) == MESSAGE_BYTES;
}

static bool wire_receive(struct wire *wire, uint8_t message[MESSAGE_BYTES])
{
    size_t have = 0;

    while (have < MESSAGE_BYTES) {
        const size_t room = MESSAGE_BYTES - have;
        const ssize_t got = wire->ssl ? SSL_read(wire->ssl, message + have, (int)room)
                                      : read(wire->fd, message + have, room);

        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

static bool has_tls(const struct side *side) { return strncmp(side->name, "tls", 3) == 0; }

/* --- Who answers --------------------------------------------------------------------------------
 * Its first connection is the one that stays open: it is told the end there.
 */

static bool answer_one(struct wire *wire)
{
    uint8_t message[MESSAGE_BYTES];

    return wire_receive(wire, message) && wire_send(wire, message);
}

int latency_tcp_answer(struct side *side)
{
    SSL_CTX *ctx = has_tls(side) ? tls_server(side) : NULL;
    const int listener = tcp_listen(side);
    struct wire wire;

    if (listener < 0 || (has_tls(side) && !ctx))
        return side_failed(side, "can't listen");
    for (int i = 0; i <= CONNECTS; i++) {
        if (!wire_open(&wire, accept(listener, NULL, NULL), ctx, true))
            return side_failed(side, "can't accept");
        while (answer_one(&wire))
            ;
        wire_close(&wire);
    }
    SSL_CTX_free(ctx);
    close(listener);
    return 0;
}

/* --- Who asks -----------------------------------------------------------------------------------
 */

static bool ask_one(const struct side *side, struct wire *wire)
{
    uint8_t message[MESSAGE_BYTES];

    return wire_send(wire, side->stage->bytes) && wire_receive(wire, message) &&
           memcmp(message, side->stage->bytes, MESSAGE_BYTES) == 0;
}

static bool ask_often(struct side *side, SSL_CTX *ctx, struct latency *latency)
{
    struct wire wire;
    bool good = wire_open(&wire, tcp_connect_one(side), ctx, false);
    uint64_t end_ns, at_ns;

    for (int i = 0; good && i < WARM_REQUESTS; i++)
        good = ask_one(side, &wire);
    end_ns = clock_now_ns() + latency->window_ns;
    do {
        at_ns = clock_now_ns();
        good = good && ask_one(side, &wire) && lapses_add(&latency->request, at_ns);
    } while (good && at_ns < end_ns);
    wire_close(&wire);
    return good;
}

static bool connect_often(struct side *side, SSL_CTX *ctx, struct latency *latency)
{
    bool good = true;

    for (int i = 0; good && i < CONNECTS; i++) {
        const uint64_t at_ns = clock_now_ns();
        struct wire wire;

        good = wire_open(&wire, tcp_connect_one(side), ctx, false) && ask_one(side, &wire) &&
               lapses_add(&latency->first, at_ns);
        wire_close(&wire);
    }
    return good;
}

int latency_tcp_ask(struct side *side)
{
    SSL_CTX *ctx = has_tls(side) ? tls_client(side) : NULL;

    if (has_tls(side) && !ctx)
        return side_failed(side, "no TLS");
    if (!ask_often(side, ctx, side->shared) || !connect_often(side, ctx, side->shared))
        return side_failed(side, "no answer");
    SSL_CTX_free(ctx);
    return 0;
}
