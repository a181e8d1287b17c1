/*
 * The stream half of the layer contract: pull down, notify up.
 *
 * Data is pulled by calls that go down: recv, send. Knowledge travels up as event bits: a layer
 * raises them, the connection delivers them from the loop, bottom first, never from inside
 * a call. So a layer is never re-entered, and back-pressure is simply not pulling.
 *
 *  1. READY: everything up to and including this layer is ready and verified. A layer's start() is
 *     called when the one below is READY; it raises READY itself, once.
 *  2. RX is level-like: after raising it, a layer owes no further RX until recv said AGAIN. Whoever
 * stops reading before AGAIN asks again by itself.
 *  3. send() takes what it can. A short count or AGAIN owes exactly one TX. No unbounded queue.
 *  4. FIN closes the sending direction after the bytes of the same call; recv 0 is the peer's FIN.
 *     TX_DONE: FIN and all before it are delivered (for kernel transports: to the kernel).
 *  5. The first error sticks: stk_layer_fail(). recv gives the bytes received before it, then its
 * code.
 *  6. Exactly one CLOSED, always last, delivered by the connection. destroy() follows, top first.
 *  7. Layers can be inserted on top of a live stack.
 *  8. query() falls down the stack until a layer answers.
 *  9. A layer's struct is part of the connection's one zeroed block. Buffers exist while bytes do.
 */
#ifndef STK_STACK_LAYER_H
#define STK_STACK_LAYER_H

#include "reactor.h"
#include "recipe.h"

#include <sys/uio.h>

struct stk_conn;
struct stk_layer;
struct stk_listener;

enum stk_event {
    STK_READY = 1,
    STK_RX = 2,     /* recv would give bytes, the end, or the error */
    STK_TX = 4,     /* send would take bytes again */
    STK_RX_EOF = 8, /* the end is known; it may stand behind unread bytes */
    STK_TX_DONE = 16,
    STK_ERROR = 32,
    STK_CLOSED = 64,
};

enum stk_send_flag {
    STK_MORE = 1, /* more follows at once: a layer may wait to fill its packet or record */
    STK_FIN = 2, /* with the last byte of this call the direction ends; sent only if all is taken */
};

/* What query() can be asked, and the type behind `out`. */
enum stk_query_key {
    STK_QUERY_LOCAL_ADDR,  /* struct stk_addr */
    STK_QUERY_PEER_ADDR,   /* struct stk_addr */
    STK_QUERY_PEER_KEY,    /* uint8_t[32]: the Ed25519 key of a sealed peer */
    STK_QUERY_ALPN,        /* char[], NUL-terminated */
    STK_QUERY_TLS_VERSION, /* char[] */
    STK_QUERY_CIPHER,      /* char[] */
    STK_QUERY_PEER_NAME,   /* char[]: the verified name of a TLS peer */
    STK_QUERY_STATS,       /* struct stk_stats */
    STK_QUERY_UNSENT,      /* uint64_t: bytes taken by send() and not yet delivered */
    STK_QUERY_MTU,         /* uint64_t: bytes of the largest datagram the path is known to carry */
    STK_QUERY_EXIT_STATUS, /* int: wait status of a child that ended */
    STK_QUERY_RESUMED,     /* int: 1 if the TLS session was resumed */
    STK_QUERY_PATH,        /* char[]: the path in words, such as "direct 192.0.2.1:4001" */
    STK_QUERY_ASSOCIATION, /* struct stk_association: the sealed relation that carries it */
    STK_QUERY_USER = 1000, /* from here on: keys of layers outside the library */
};

/* What control() can change. */
enum stk_control_key {
    STK_CONTROL_PRIORITY, /* among connections on one association: 0 goes first, 7 last */
    STK_CONTROL_UNREAD,   /* 1: nobody reads what comes any more, and a child is to notice */
    STK_CONTROL_USER = 1000,
};

/* How a path does. Unknown values are 0. */
struct stk_stats {
    uint64_t rtt_us, min_rtt_us, rtt_variance_us;
    uint64_t cwnd_bytes;
    uint64_t rate_bytes_per_s;           /* delivery rate, latest estimate */
    uint64_t bytes_sent, bytes_received; /* of the stream, first transmissions only */
    uint64_t packets_sent, packets_received, packets_lost, bytes_retransmitted;
    uint64_t ecn_ce; /* marks the peer reported */
    uint32_t mtu;
    char congestion_control[16];
};

/*
 * The operations of a layer. Slots left NULL pass through to the layer below (recv, peek, consume,
 * send, abort, query, control), raise the same bits above (on_below), raise READY (start), or do
 * nothing.
 */
struct stk_stream_type {
    size_t size; /* of the layer's struct, which starts with struct stk_layer */
    /* Bottom layers: a close waits for the peer's end, as long as its deadline allows. Ending
     * before would reset what is still under way to the peer (TCP with unread bytes), and fail a
     * peer that still has its own goodbye to say (close_notify). Elsewhere a close ends once all is
     * delivered.
     */
    bool lingers;

    /* Once per connect or listen, before anything opens: reads options, loads files. `*shared` is
     * what all connections of a listener have in common (a TLS context); unprepare() frees it. */
    int (*prepare)(const struct stk_segment *segment, bool listening, void **shared,
                   struct stk_error *error);
    void (*unprepare)(void *shared);

    /* Per connection; -ENOMEM, or stk_layer_fail(). The struct is zeroed but for its head. */
    int (*init)(struct stk_layer *layer);
    /* The layer below is ready. A bottom layer begins to connect here. */
    void (*start)(struct stk_layer *layer);
    /* Bytes > 0, 0 at the peer's FIN (again and again), STK_AGAIN, or the error. */
    long (*recv)(struct stk_layer *layer, const struct iovec *iov, int count);
    /* Unread bytes in place: fills up to `count` slices; returns how many, or as recv when there
     * are none. Slices are valid until consume or recv; send leaves them alone. Both or neither. */
    int (*peek)(struct stk_layer *layer, struct iovec *slices, int count);
    void (*consume)(struct stk_layer *layer, size_t len);
    /* Bytes taken (0 for none asked), STK_AGAIN, or the error. */
    long (*send)(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags);
    void (*on_below)(struct stk_layer *layer, unsigned events); /* without READY */
    void (*on_timer)(struct stk_layer *layer);
    /* At once and without waiting: the peer shall see a reset where the protocol has one. */
    void (*abort)(struct stk_layer *layer);
    int (*query)(struct stk_layer *layer, int key, void *out,
                 size_t len); /* 0, or -ENOENT: ask below */
    int (*control)(struct stk_layer *layer, int key,
                   uint64_t value); /* 0 or an error; -ENOENT: ask below */
    /* Also after an init or start that failed half-way. */
    void (*destroy)(struct stk_layer *layer);

    /* Bottom layers that can listen. */
    size_t listener_size; /* bytes of the transport's state in a listener, zeroed */
    int (*listen)(struct stk_listener *listener, void *state, struct stk_error *error);
    void (*unlisten)(struct stk_listener *listener, void *state);
    /* Takes over what listen() accepted: the argument of stk_listener_accept(). */
    int (*accept)(struct stk_layer *layer, void *accepted);
    int (*listen_addr)(struct stk_listener *listener, void *state, struct stk_addr *addr);
    /* Makes a bottom layer of a new connection beside the one of a live connection (a PTCP
     * connection on the same port and association); start() follows. */
    int (*sibling)(struct stk_layer *layer, struct stk_layer *of);
};

struct stk_layer {
    const struct stk_stream_type *type;
    const struct stk_segment *segment;
    struct stk_conn *conn;
    struct stk_layer *below, *above; /* NULL at the ends */
    void *shared;
    unsigned raised;         /* for the layer above, not yet delivered */
    bool ready;              /* READY was raised */
    bool own_block;          /* inserted later: not in the connection's block */
    struct stk_timer *timer; /* behind the layer's struct; NULL without on_timer() */
};

/* --- Upward --------------------------------------------------------------------------------- */

void stk_layer_raise(struct stk_layer *layer, unsigned events);
/* Something will soon be raised for it: what that needs to know is fetched into the cache. */
void stk_layer_fetch(const struct stk_layer *layer);
/* Sets the connection's error if it is the first, raises ERROR and returns `code`. */
int stk_layer_fail(struct stk_layer *layer, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same without raising ERROR: the layer says goodbye to its peer first, and raises it soon. */
int stk_layer_set_error(struct stk_layer *layer, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The code of the sticky error, 0 if there is none. */
int stk_layer_error(const struct stk_layer *layer);

/* --- Downward: these call the layer below `layer` ------------------------------------------- */

long stk_layer_recv_below(struct stk_layer *layer, const struct iovec *iov, int count);
long stk_layer_send_below(struct stk_layer *layer, const struct iovec *iov, int count,
                          unsigned flags);
int stk_layer_peek_below(struct stk_layer *layer, struct iovec *slices, int count); /* -ENOTSUP */
void stk_layer_consume_below(struct stk_layer *layer, size_t len);
void stk_layer_abort_below(struct stk_layer *layer);

/* --- The layer's surroundings ------------------------------------------------------------------
 */

struct stk_loop *stk_layer_loop(const struct stk_layer *layer);
/* One timer a layer: on_timer() is called at `due_us`; 0 stops it. */
void stk_layer_set_timer(struct stk_layer *layer, uint64_t due_us);
/* The recipe that the connection was built from; not that of layers inserted later. */
const struct stk_recipe *stk_layer_recipe(const struct stk_layer *layer);
/* True for the side that was accepted, not the one that connects. */
bool stk_layer_is_listening(const struct stk_layer *layer);

/* --- For listening transports ----------------------------------------------------------------- */

struct stk_loop *stk_listener_loop(const struct stk_listener *listener);
const struct stk_segment *stk_listener_segment(const struct stk_listener *listener);
const struct stk_recipe *stk_listener_recipe(const struct stk_listener *listener);
/* Builds a connection on `accepted`; on error that stays the caller's. */
int stk_listener_accept(struct stk_listener *listener, void *accepted, struct stk_conn **out);
/* The listener can't go on; its owner is told. */
void stk_listener_fail(struct stk_listener *listener, const struct stk_error *error);

#endif
