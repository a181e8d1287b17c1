/*
 * A join: two connections whose bytes go over to one another, both ways, until both directions
 * have ended. Half-closes pass through, back-pressure too, and an error on one side ends the other.
 */
#ifndef P2PCAT_JOIN_H
#define P2PCAT_JOIN_H

#include "stats.h"

struct join;

struct join_side {
    struct join *join;
    struct join_side *other;
    struct stk_conn *conn; /* NULL before it is there and after it is closed */
    bool opened, finished, closed, blocked;
    bool finish_other; /* the other side's end shall be sent when this one is there */
    bool keep;         /* outlives the join: never finished, closed or aborted by it */
    bool stillborn;    /* it could not even begin */
    bool local;        /* a pipe, file or child of this machine: gets what came before an error */
    bool exited;       /* a command that ended by itself */
    uint64_t received; /* bytes */
    struct stk_error error;
};

struct join {
    struct join_side a, b;
    void (*opened)(struct join *join, struct join_side *side); /* may be NULL */
    /* Exactly once; the join may be freed. */
    void (*done)(struct join *join);
    void *user;
    struct stk_task task;
    bool finish_with_peer; /* the end of one side is the end of both: nobody types on */
    uint64_t started_us;
    struct stats stats;             /* of the first side that has any, taken before it closes */
    const struct join_side *of;     /* that side */
    const struct join_side *failed; /* the one whose error explains the end */
    bool ended;
};

extern const struct stk_protocol join_protocol;

void join_init(struct join *join, struct stk_loop *loop, void (*done)(struct join *), void *user);
/* `conn` becomes this side; if it is open already, say so. The protocol is set. */
void join_attach(struct join_side *side, struct stk_conn *conn, bool is_open);
/* The side can't come to be: the other one ends too. */
void join_side_failed(struct join_side *side, const struct stk_error *error);
/* Nothing more is read from this side: the other one gets its end. */
void join_stop_reading(struct join_side *side);
/* Ends both sides at once; done() follows. */
void join_abort(struct join *join);
/* The latest statistics. */
void join_take_stats(struct join *join);
/* The error that explains the end: NULL if all ended in order. */
const struct stk_error *join_error(const struct join *join, const struct join_side **side);

#endif
