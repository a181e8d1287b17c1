/*
 * A protocol for tests of transports: sends a stream of the oracle's bytes, checks the one that
 * comes, and notes all that happens.
 */
#ifndef STK_TESTS_TALKER_H
#define STK_TESTS_TALKER_H

#include "oracle.h"
#include "stack.h"

enum { TALKER_KEEP_MAX = 4096 };

struct talker {
    uint64_t seed, size; /* of what is sent */
    uint64_t sent;
    bool finish;                   /* half-close behind it */
    bool close_at_end;             /* stk_conn_close() when the peer has finished */
    bool stays_open;               /* half-open: the peer's end changes nothing */
    struct oracle_stream incoming; /* size 0: not checked */
    uint64_t received;
    uint8_t kept[TALKER_KEEP_MAX]; /* the first bytes that came */

    struct stk_conn *conn; /* NULL before it is there and after it closed */
    unsigned accepted, opened, finished, delivered, closed;
    struct stk_error error; /* of closed(); code 0: in order */
};

extern const struct stk_protocol talker_protocol;

/* Connects; the result is that of stk_connect(). */
int talker_connect(struct talker *talker, struct stk_loop *loop, const char *address,
                   struct stk_error *error);
/* Listens; the first connection is `talker`'s, and each one restarts it. */
int talker_listen(struct talker *talker, struct stk_loop *loop, const char *address,
                  struct stk_listener **out, struct stk_error *error);
/* Turns the loop until the talker's connection is closed. */
void talker_wait_closed(struct talker *talker, struct stk_loop *loop);
/* The same until `*counter` is at least `value`. */
void talker_wait(struct stk_loop *loop, const unsigned *counter, unsigned value);

#endif
