/*
 * The datagram half of the layer contract.
 *
 * A port is one datagram stack: a socket (or a simulated one) and the datagram layers on it, for
 * example udp and seal. Many connections share a port. Datagrams go down by send(), come up by
 * input(), in runs: equal-size datagrams for or from one address, kept together so that
 * segmentation offload, batch encryption and batch acknowledgement survive every layer.
 *
 * A datagram is used now or dropped: nothing here queues without a bound, and whoever needs
 * reliability builds it above (PTCP).
 */
#ifndef STK_STACK_DGRAM_H
#define STK_STACK_DGRAM_H

#include "reactor.h"

#include <string.h>
#include <sys/uio.h>

struct stk_segment;
struct stk_port;
struct stk_dgram_layer;

enum {
    STK_DGRAM_MAX = 65507,     /* bytes of one UDP/IPv4 datagram */
    STK_RUN_COUNT_MAX = 64,    /* datagrams in one run */
    STK_RUN_BYTES_MAX = 65507, /* bytes in one run of more than one datagram */
    STK_GATHER_ROOM = 32,      /* bytes before a tail that lies elsewhere: see struct stk_run */
};

/* RFC 3168 code points. */
enum stk_ecn { STK_ECN_NOT = 0, STK_ECN_ECT1 = 1, STK_ECN_ECT0 = 2, STK_ECN_CE = 3 };

/*
 * A run of datagrams for one destination. Datagram i is at data + i * stride. All have `size`
 * bytes but the last, which has `last_size` (<= size). For sending, head/tail bytes of room lie
 * before and behind *each* datagram (so stride >= head + size + tail where count > 1), and layers
 * below may write there and encrypt the datagrams in place: the bytes are spent by the call. A
 * layer that adds a header and a tag moves `data` back and grows `size`; at the bottom the
 * datagrams are contiguous when the room was used up exactly. Memory is the caller's and valid
 * during the call only.
 *
 * For sending, the end of each datagram may lie elsewhere: the last gather[i].iov_len (<= its size)
 * bytes of datagram i are then at gather[i].iov_base and get to their place in the packet by
 * whoever first works through its bytes: encryption reads them where they are. For layers that
 * don't say `gathers`, the port copies them before the call. The STK_GATHER_ROOM bytes before a
 * tail are memory too: they may be written during the call, and are as before after it, so that the
 * datagram's start can stand before its end. A run that was not taken may come back with some or
 * all of its tails in place and the same `gather`, or with all of them in place and none.
 */
struct stk_run {
    uint8_t *data;
    uint32_t stride;
    uint16_t size;
    uint16_t last_size;
    uint16_t count;
    uint8_t ecn;          /* enum stk_ecn; on input that of the whole run */
    uint8_t probe;        /* a path probe: set Don't Fragment, and losing it for size is no error */
    uint8_t early;        /* on input: the association is not READY, so this may be a recording */
    uint8_t way;          /* below a layer with several transports: which; 0: the port's own */
    uint64_t association; /* 0: none; else the sealed association that carried or shall carry it */
    const struct stk_addr *peer;  /* where to, or from; may be NULL when an association is set */
    const struct stk_addr *local; /* which local address; NULL: the kernel's choice */
    uint64_t time_us; /* on input, when it arrived; for sending, not before this (0: now) */
    const struct iovec *gather; /* `count` tails that lie elsewhere; NULL: all is in place */
};

static inline uint8_t *stk_run_at(const struct stk_run *run, unsigned i)
{
    return run->data + (size_t)i * run->stride;
}

static inline uint16_t stk_run_size(const struct stk_run *run, unsigned i)
{
    return i + 1 == run->count ? run->last_size : run->size;
}

static inline size_t stk_run_bytes(const struct stk_run *run)
{
    return (size_t)(run->count - 1) * run->size + run->last_size;
}

/* Puts the tail of datagram i into its place. */
static inline void stk_run_place(const struct stk_run *run, unsigned i)
{
    if (!run->gather || run->gather[i].iov_len == 0)
        return;
    const struct iovec tail = run->gather[i];
    memcpy(stk_run_at(run, i) + stk_run_size(run, i) - tail.iov_len, tail.iov_base, tail.iov_len);
}

/* Puts all tails into their places. */
static inline void stk_run_flatten(struct stk_run *run)
{
    for (unsigned i = 0; run->gather && i < run->count; i++)
        stk_run_place(run, i);
    run->gather = NULL;
}

enum stk_association_event {
    STK_ASSOCIATION_READY,  /* authenticated: anything may be sent */
    STK_ASSOCIATION_FAILED, /* it will never be ready, or is gone; the error says why */
    STK_ASSOCIATION_MOVED,  /* another path is in use, a validated one: nothing is known of the way
                             */
    /* This side has another address, and learns so when the peer has followed: nothing is known of
     * the way, but for what was sent in the last two round trips, which took it already. */
    STK_ASSOCIATION_READDRESSED,
    STK_ASSOCIATION_REBOUND, /* the peer's port changed (a NAT forgot it): the path is the same */
};

/* One relation of a port; the port is borrowed. */
struct stk_association {
    struct stk_port *port;
    uint64_t id;
};

/* Who sits on top of a port, and what it is told. Input is called inside the loop's turn, never
 * inside send(). */
struct stk_port_user {
    void (*input)(void *user, const struct stk_run *runs, int count);
    void (*writable)(void *user); /* after send() came back short */
    void (*association)(void *user, uint64_t association, enum stk_association_event event,
                        const struct stk_error *error);
    /* The socket said that this peer can't be reached (ICMP); advice only, anyone can forge it. */
    void (*unreachable)(void *user, const struct stk_addr *peer, int code);
    /*
     * The socket, or ICMP, said that payloads of more than `size` bytes don't get to this peer: a
     * hint at best, anyone can forge it. `peer` is NULL where an association is meant.
     */
    void (*too_big)(void *user, uint64_t association, const struct stk_addr *peer, uint32_t size);
    void (*failed)(void *user, const struct stk_error *error); /* the port is dead */
};

struct stk_dgram_type {
    const char *name;
    size_t size;         /* of the layer's struct, which starts with struct stk_dgram_layer */
    uint16_t head, tail; /* bytes it adds to each datagram */
    bool gathers;        /* send() takes runs with tails that lie elsewhere */
    /* Reads its own options. 0 or an error set with stk_dgram_fail(). The struct is zeroed. */
    int (*init)(struct stk_dgram_layer *layer, const struct stk_segment *segment);
    /* Opens: binds the socket. Bottom layers only; called once all layers are initialised. */
    int (*open)(struct stk_dgram_layer *layer);
    /*
     * Returns how many runs were taken; the rest were not touched, and `writable` follows once. A
     * run is taken whole or not at all. Runs that can't be sent for good are dropped and count as
     * taken.
     */
    int (*send)(struct stk_dgram_layer *layer, struct stk_run *runs, int count);
    /* From below. NULL: passed up as it is. May change the bytes in place. */
    void (*input)(struct stk_dgram_layer *layer, struct stk_run *runs, int count);
    void (*writable)(struct stk_dgram_layer *layer);
    void (*unreachable)(struct stk_dgram_layer *layer, const struct stk_addr *peer, int code);
    void (*too_big)(struct stk_dgram_layer *layer, const struct stk_addr *peer, uint32_t size);
    /*
     * Would this layer be the same for a connecting stack that says `segment`? Then that stack may
     * use this port instead of opening one. NULL: no.
     */
    bool (*serves)(struct stk_dgram_layer *layer, const struct stk_segment *segment);
    /*
     * A keyed relation to the peer at `peer`. `segment`, which the layer serves, says which key;
     * the relation is a new one, or `*association` again (0: none) where it still leads there.
     * NULL: as the segment says that the port was opened with, and any that is there is shared.
     * 0 and the id, or an error.
     */
    int (*associate)(struct stk_dgram_layer *layer, const struct stk_segment *segment,
                     const struct stk_addr *peer, uint64_t *association);
    /* The user above needs it no more / again; unused associations end by themselves. */
    void (*release)(struct stk_dgram_layer *layer, uint64_t association);
    void (*retain)(struct stk_dgram_layer *layer, uint64_t association);
    /* What was sent is not answered: is there another path? */
    void (*doubt)(struct stk_dgram_layer *layer, uint64_t association);
    /* New keys: the peer may have lost its own. */
    void (*renew)(struct stk_dgram_layer *layer, uint64_t association);
    /* Datagrams that begin with this byte may wait. Told before open(); bottom layers only. */
    void (*part)(struct stk_dgram_layer *layer, uint8_t first);
    void (*on_timer)(struct stk_dgram_layer *layer);
    /* As in stk_layer: 0, or -ENOENT to let the layer below answer. `association` may be 0. */
    int (*query)(struct stk_dgram_layer *layer, int key, uint64_t association, void *out,
                 size_t len);
    void (*destroy)(struct stk_dgram_layer *layer);
};

struct stk_dgram_layer {
    const struct stk_dgram_type *type;
    struct stk_port *port;
    struct stk_dgram_layer *below, *above; /* NULL at the ends */
    struct stk_timer timer;
};

/* --- For layers ---------------------------------------------------------------------------- */

/* Down to the layer below; at most once per call of its own. */
int stk_dgram_send_below(struct stk_dgram_layer *layer, struct stk_run *runs, int count);
/*
 * Datagrams from below that begin with this byte may wait, and are the first to be lost when too
 * much comes. To be said in init(), of one byte at most; layers between that change it undo it.
 */
void stk_dgram_part_below(struct stk_dgram_layer *layer, uint8_t first);
/* Up to the layer above or the user. */
void stk_dgram_input_above(struct stk_dgram_layer *layer, struct stk_run *runs, int count);
void stk_dgram_writable_above(struct stk_dgram_layer *layer);
void stk_dgram_unreachable_above(struct stk_dgram_layer *layer, const struct stk_addr *peer,
                                 int code);
void stk_dgram_too_big_above(struct stk_dgram_layer *layer, uint64_t association,
                             const struct stk_addr *peer, uint32_t size);
void stk_dgram_association_above(struct stk_dgram_layer *layer, uint64_t association,
                                 enum stk_association_event event, const struct stk_error *error);
/* Sets the port's first error; the user is told from the loop. Returns `code`. */
int stk_dgram_fail(struct stk_dgram_layer *layer, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void stk_dgram_set_timer(struct stk_dgram_layer *layer, uint64_t due_us); /* 0 stops it */
struct stk_loop *stk_dgram_loop(const struct stk_dgram_layer *layer);
/* True where the port was opened to listen: the bottom layer binds its segment's address. */
bool stk_dgram_is_listening(const struct stk_dgram_layer *layer);

/* --- Counters of one UDP socket --------------------------------------------------------------- */

/* stk_port_query(port, STK_QUERY_UDP_STATS, 0, …), and stk_conn_query() of what stands on udp. */
enum { STK_QUERY_UDP_STATS = 700 };

/*
 * A snapshot. Counters count from the opening of the socket and are never reset: whoever wants a
 * rate keeps the last snapshot and subtracts.
 */
struct stk_udp_stats {
    uint64_t datagrams_sent, bytes_sent; /* that the kernel took; payload bytes */
    uint64_t datagrams_received, bytes_received;
    uint64_t send_calls, receive_calls; /* system calls that moved something */
    uint64_t segmented;                 /* runs that the kernel cut into datagrams (UDP_SEGMENT) */
    uint64_t coalesced;                 /* runs that came as one (UDP_GRO) */
    uint64_t unsent;                    /* datagrams that the kernel refused: dropped here */
    uint64_t malformed;                 /* datagrams that came empty or cut: dropped here */
    uint64_t blocked;                   /* times that the send buffer was full */
    uint64_t unreachable;               /* ICMP reports */
    uint64_t too_big;                   /* reports that a datagram was too long */
    /* Datagrams that the kernel dropped before they were read, mostly for want of room in the
     * receive buffer; it counts modulo 2^32. */
    uint32_t overflowed;
    uint32_t fallbacks; /* times that segmentation was given up, since a device refuses it */
    bool segmentation;  /* now: runs are handed to the kernel whole */
    /* What the kernel grants now, and what was asked for. */
    uint32_t receive_buffer_bytes, receive_buffer_asked_bytes;
    uint32_t send_buffer_bytes, send_buffer_asked_bytes;
};

/* --- For users ------------------------------------------------------------------------------ */

struct stk_recipe;

/*
 * Opens the datagram segments of a recipe. `listening`: the address is the one to bind; otherwise
 * it is the peer's, and the port binds any. One reference is the caller's.
 */
int stk_port_open(struct stk_loop *loop, const struct stk_recipe *recipe, bool listening,
                  struct stk_port **out, struct stk_error *error);
struct stk_port *stk_port_ref(struct stk_port *port);
void stk_port_unref(struct stk_port *port); /* the last one closes, at the end of the turn */
void stk_port_set_user(struct stk_port *port, const struct stk_port_user *type, void *user);
void *stk_port_user(const struct stk_port *port);
struct stk_loop *stk_port_loop(const struct stk_port *port);
/* Bytes that all layers add before and behind each datagram. */
uint16_t stk_port_head(const struct stk_port *port);
uint16_t stk_port_tail(const struct stk_port *port);
/* The largest datagram the socket takes, less what the layers add. */
uint16_t stk_port_max_size(const struct stk_port *port);

int stk_port_send(struct stk_port *port, struct stk_run *runs, int count);
/* True where some layer authenticates peers: datagrams then carry associations. */
bool stk_port_is_sealed(const struct stk_port *port);
/*
 * Could a connecting stack of this recipe use the port as if it had opened it? No for a port that
 * listens or is dead, and where some layer would not be the same.
 */
bool stk_port_serves(const struct stk_port *port, const struct stk_recipe *recipe);
int stk_port_associate(struct stk_port *port, const struct stk_addr *peer, uint64_t *association);
/* One of its own for a stack of this recipe, which the port serves; it has `*association`, or 0. */
int stk_port_associate_for(struct stk_port *port, const struct stk_recipe *recipe,
                           const struct stk_addr *peer, uint64_t *association);
void stk_port_retain(struct stk_port *port, uint64_t association);
void stk_port_release(struct stk_port *port, uint64_t association);
void stk_port_doubt(struct stk_port *port, uint64_t association);
void stk_port_renew(struct stk_port *port, uint64_t association);
int stk_port_query(struct stk_port *port, int key, uint64_t association, void *out, size_t len);
int stk_port_local(const struct stk_port *port, struct stk_addr *local);

#endif
