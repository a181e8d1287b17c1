/*
 * A connection: the layers of one running stack, and the protocol on top. Private to the room.
 *
 * conn.c       birth, states, death
 * deadline.c   the time that opening and closing may take
 * closing.c    its end in order
 * dispatch.c   event bits from the bottom to the top, once a turn
 * reading.c    from the top layer to the protocol
 * writing.c    from the protocol to the top layer
 * insert.c     layers that come in later
 */
#ifndef STK_STACK_CONN_H
#define STK_STACK_CONN_H

#include "blueprint.h"
#include "stack.h"

#include <assert.h>

enum conn_state {
    CONN_OPENING, /* some layer is not ready yet */
    CONN_OPEN,
    CONN_CLOSING, /* stk_conn_close(): delivering, then waiting for the peer's end */
    CONN_ENDING,  /* closed() is due; layers do nothing more */
    CONN_CLOSED,  /* closed() was called */
    CONN_STATES,
};

struct insertion {
    struct stk_recipe *fragment;
    const struct stk_protocol *protocol;
    void *user;
    unsigned flags;
    size_t below; /* bytes of `unwritten` that were written before it: they go out below */
};

/* While a connection opens or closes. */
struct deadline {
    struct stk_timer timer;
    struct stk_conn *conn;
    uint64_t unsent; /* bytes, when it was set: to see whether a close makes progress */
};

/* What is seldom needed stands behind pointers: there may be very many idle connections. */
struct stk_conn {
    struct stk_node loop_node; /* all connections of the loop */
    struct blueprint *blueprint;
    struct blueprint *inserted; /* blueprints of inserted layers, linked */
    struct stk_listener *listener;
    struct stk_node listener_node;
    const struct stk_protocol *protocol;
    void *user;
    struct stk_layer *bottom, *top;
    struct stk_task task;          /* knows the loop */
    struct deadline *deadline;     /* NULL: none */
    struct insertion *insertion;   /* waiting for received() to return, or NULL */
    const struct stk_error *error; /* NULL: none; else of its own, or static */
    uint32_t open_timeout_ms, close_timeout_ms;
    struct stk_fifo unused; /* bytes that received() left */
    struct stk_fifo unwritten;
    uint32_t write_low;

    uint8_t state; /* enum conn_state */
    bool readable; /* recv has not said AGAIN, nor the end */
    bool paused;
    bool peer_finished; /* recv gave 0 */
    bool failing;       /* an error came up: what came before it is read, then this ends */
    bool finished_told;
    bool in_received;
    bool again;
    bool write_blocked; /* the top layer owes TX */
    bool writable_owed; /* the protocol was told AGAIN */
    bool finish_wanted, finish_sent, delivered, delivered_told;
    bool draining; /* all is said; the peer's lower layers are still ending */
    bool listening;
    bool started;
};

static_assert(sizeof(struct stk_conn) <= 224, "an idle connection is to cost little");

static inline struct stk_loop *conn_loop(const struct stk_conn *conn) { return conn->task.loop; }

/* --- conn.c */
int conn_new(struct stk_loop *loop, struct blueprint *blueprint,
             const struct stk_protocol *protocol, void *user, struct stk_conn **out,
             struct stk_error *error);
void conn_start(struct stk_conn *conn);
void conn_move(struct stk_conn *conn, enum conn_state next);
/* Aborts the layers and ends it with the error that is set. */
void conn_break(struct stk_conn *conn);
/* Ends it: closed() follows from the loop with the sticky error, if any. */
void conn_end(struct stk_conn *conn);
void conn_free(struct stk_conn *conn); /* layers top first */
int conn_add_layer(struct stk_conn *conn, struct stk_layer *layer,
                   const struct stk_segment *segment, void *shared);
void conn_set_error(struct stk_conn *conn, int code, const char *layer, const char *text);
static inline int conn_error_code(const struct stk_conn *conn)
{
    return conn->error != NULL ? conn->error->code : 0;
}
static inline bool conn_is_live(const struct stk_conn *conn) { return conn->state < CONN_ENDING; }
void conn_became_ready(struct stk_conn *conn);

/* --- deadline.c */
/* Sets it anew. False without memory; never where there is one already. */
bool deadline_in(struct stk_conn *conn, uint32_t delay_ms);
/* Rounded up, and at most 49 days. */
uint32_t deadline_ms(uint64_t delay_us);
void deadline_stop(struct stk_conn *conn);

/* --- closing.c */
void conn_check_finished(struct stk_conn *conn);
/* The time of a close is over. */
void conn_closing_deadline(struct stk_conn *conn);

/* --- dispatch.c */
void conn_turn(struct stk_task *task);
void conn_schedule(struct stk_conn *conn);
long layer_recv(struct stk_layer *layer, const struct iovec *iov, int count);
long layer_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags);
int layer_query(struct stk_layer *layer, int key, void *out, size_t len);
void layer_abort(struct stk_layer *layer);

/* --- reading.c */
void conn_read(struct stk_conn *conn);

/* --- writing.c */
void conn_flush(struct stk_conn *conn);
void conn_tell_writable(struct stk_conn *conn);

/* --- insert.c */
/* Carries out what stk_conn_insert() asked for inside received(). */
void conn_insert_pending(struct stk_conn *conn);

#endif
