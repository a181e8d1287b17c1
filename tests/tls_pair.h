/*
 * Two ends of a stack in one loop, each sending a pattern that the other checks by position.
 *
 * Recipes are made from a transport and the options of each side; "%s" in options stands for the
 * directory of the certificates, percent-encoded.
 */
#ifndef STK_TESTS_TLS_PAIR_H
#define STK_TESTS_TLS_PAIR_H

#include "stack.h"

struct pair;

struct side {
    struct pair *pair;
    struct stk_conn *conn;
    uint64_t to_send, sent, received;
    uint64_t abort_at_turn;
    size_t step;              /* bytes a write; 0: 16 KiB */
    bool finish;              /* after the last byte */
    bool keep_reading_closed; /* does not answer the peer's end by its own */
    bool wrong;               /* a byte was not the one expected at its place */
    bool opened, finished, delivered, closed;
    struct stk_error error; /* code 0: closed in order */
    char alpn[32], version[32], name[80];
    int resumed;
};

struct pair {
    struct stk_loop *loop;
    struct stk_listener *listener;
    struct side client, server;
    struct stk_error error; /* of listen or connect */
    unsigned turns;
};

/* The layers of a pair: what follows the transport on either side. */
struct pair_recipe {
    const char *transport;       /* NULL: "/memory/pair" */
    const char *server, *client; /* "/tls,…" */
};

extern const struct stk_protocol pair_protocol;

void pair_init(struct pair *pair);
/* 0, or the error that listening or connecting gave at once. */
int pair_start(struct pair *pair, const struct pair_recipe *recipe);
/* Turns until both have closed, or `turns` turns went by; false then. */
bool pair_run(struct pair *pair, unsigned turns);
void pair_free(struct pair *pair);
/* All of it for a pair that sends `up` and `down` bytes and closes. */
struct pair pair_exchange(const struct pair_recipe *recipe, uint64_t up, uint64_t down);
/* Fails the case unless both opened, closed in order, and every byte was right. */
void pair_expect_good(const struct pair *pair, uint64_t up, uint64_t down);
/* The text of an option string with the certificates' directory put in. */
const char *pair_options(const char *format, char *out, size_t size);
uint8_t pair_byte(uint64_t at);

#endif
