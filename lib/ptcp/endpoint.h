/*
 * The sans-I/O core: many connections over one datagram port.
 *
 * It reads no clock, no socket and no random source of its own. Drive it like this:
 *
 *   after datagrams came          ptcp_input()
 *   when the time has come        ptcp_timeout()
 *   after these, and after calls
 *   on connections                while (ptcp_output()) send the run
 *                                 while ((conn = ptcp_next_event())) look at its events
 *                                 while ((conn = ptcp_accept())) greet it
 *                                 arm a timer for ptcp_next_timeout_us()
 *
 * Times are microseconds that never go back. Output may stop at any point (the socket is full)
 * and go on later.
 */
#ifndef STK_PTCP_ENDPOINT_H
#define STK_PTCP_ENDPOINT_H

#include "connection.h"
#include "cookie.h"
#include "timewait.h"

enum {
    PTCP_BACKLOG_DEFAULT = 128,
    PTCP_CONNECTIONS_MAX = 1 << 20,
    PTCP_CONNECTIONS_DEFAULT = 1 << 16, /* of a listener that was told nothing */
    PTCP_REPLIES_MAX = 64,              /* stateless answers that wait for output */
    PTCP_RECORDS_SHARE = 8, /* memory for records of packets: this part of that for stream bytes */
    PTCP_SOURCES = 3,       /* of runs: answers, connections that are ready, paths */
    PTCP_SOURCE_RUNS = 8,   /* of one, before others that wait get theirs */
    PTCP_OUTPUT_GATHER_BYTES = STK_RUN_COUNT_MAX * sizeof(struct iovec),
    PTCP_RETRY_US = 10000, /* what was due, and could not be done, is tried again */
    PTCP_OUTPUT_BYTES_MIN = 65536 + 1024 + PTCP_OUTPUT_GATHER_BYTES,
};

struct ptcp_endpoint_options {
    uint64_t (*random)(void *context); /* unpredictable 64-bit values */
    /* The key of an association's peer; 0, or an error. NULL: no connection is durable. */
    int (*peer_key)(void *context, uint64_t association, uint8_t key[32]);
    /* An association has connections, or had some lately; and not any more. May be NULL. */
    void (*retain)(void *context, uint64_t association);
    void (*release)(void *context, uint64_t association);
    /*
     * Who the association's peer is and where, as a hash that is the same for the next association
     * with it, and that nobody can foresee; 0: not known. Needed with a history.
     */
    uint64_t (*who)(void *context, uint64_t association);
    struct ptcp_history *history; /* not owned; NULL: every path begins as if new */
    void *context;
    uint16_t head, tail;      /* room that each datagram of a run gets for lower layers */
    uint16_t max_datagram;    /* the largest UDP payload, with head and tail; 0: 65507 */
    bool sealed;              /* packets without an association are ignored, else those with one */
    uint32_t max_connections; /* 0: PTCP_CONNECTIONS_MAX */
    uint64_t memory_bytes;    /* of stream buffers of all connections; 0: 1 GiB */
    uint64_t time_wait_us;    /* 0: 30 s */
    uint32_t time_wait_max;   /* entries; 0: 1024 */
};

/* An answer that needs no connection: sent when output comes to it. */
struct ptcp_reply {
    uint8_t type; /* RETRY, REFUSE or DATA */
    bool reset;   /* DATA: carries RESET, else an ACK of `acked` */
    uint64_t destination, source;
    uint64_t packet, acked, code;
    uint64_t association;
    struct stk_addr peer, local;
};

struct ptcp_endpoint {
    struct ptcp_endpoint_options options;
    struct stk_ptcp_options listen_options;
    bool listening;
    uint32_t backlog, waiting; /* connections before accept */
    uint32_t connections;
    uint32_t suspended;      /* durable connections without an association */
    uint64_t now_us;         /* the latest time that it was told */
    struct ptcp_table table; /* connections */
    struct ptcp_table paths; /* by association */
    struct ptcp_schedule schedule;
    struct ptcp_pool pool;
    struct ptcp_spares engines;
    uint64_t
        windows; /* of all connections that do not rest: the sum of what they grant at a time */
    struct ptcp_records records; /* of packets sent */
    struct ptcp_timewaits timewaits;
    struct stk_node ready, eventful, opening, accepting, buried;
    struct stk_node starving;   /* whom the memory of the port refused their first byte, in order */
    struct stk_node active;     /* paths at which somebody waits, and may send */
    struct ptcp_reply *replies; /* a ring; NULL before the first one */
    uint32_t reply_first, reply_count;
    struct ptcp_reply *sending;   /* the one whose addresses a run points to; NULL: not yet */
    struct iovec *gather;         /* in the buffer of ptcp_output(): the run's stream bytes */
    uint8_t served[PTCP_SOURCES]; /* runs of each since all had theirs: endpoint_output.c */
    uint8_t cookie_key[PTCP_COOKIE_KEY_BYTES], id_key[16];
    struct ptcp_tracer *tracer; /* watches connections to come; NULL: nobody does */
};

int ptcp_endpoint_new(const struct ptcp_endpoint_options *options, struct ptcp_endpoint **out);
/* Ends all connections at once, without a word to peers. Handles become invalid. */
void ptcp_endpoint_free(struct ptcp_endpoint *endpoint);

/* `options` (may be NULL) are for the connections to come; `backlog` 0: the default. */
void ptcp_listen(struct ptcp_endpoint *endpoint, const struct stk_ptcp_options *options,
                 uint32_t backlog);
/* Connections that nobody accepted, or that were about to open, are reset. */
void ptcp_unlisten(struct ptcp_endpoint *endpoint, uint64_t now_us);
/* The next connection whose handshake is done; its handle is the caller's. NULL: none. */
struct ptcp_conn *ptcp_accept(struct ptcp_endpoint *endpoint);

struct ptcp_open {
    const struct stk_addr *peer; /* plain mode: needed */
    uint64_t association;        /* sealed mode: needed */
    bool ready;                  /* the association is authenticated: SYN may carry data */
    const struct stk_ptcp_options *options; /* NULL: defaults */
};

/* 0, or -ENOMEM, STK_ELIMIT, -EINVAL. PTCP_READY or PTCP_ERROR follow. */
int ptcp_open(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct ptcp_open *open,
              struct ptcp_conn **out);

void ptcp_input(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *runs,
                int count);
/*
 * Fills `buffer` (at least PTCP_OUTPUT_BYTES_MIN, aligned for pointers) with one run of datagrams.
 * 1, or 0 if there is nothing to send now. The run's addresses, and stream bytes that it gathers,
 * are valid until the next call.
 */
int ptcp_output(struct ptcp_endpoint *endpoint, uint64_t now_us, struct stk_run *run, void *buffer,
                size_t capacity);
/* UINT64_MAX: no timer. */
uint64_t ptcp_next_timeout_us(struct ptcp_endpoint *endpoint, uint64_t now_us);
void ptcp_timeout(struct ptcp_endpoint *endpoint, uint64_t now_us);
/* A connection with events that were not taken, or NULL. Taking them removes it. */
struct ptcp_conn *ptcp_next_event(struct ptcp_endpoint *endpoint);

/* Advice from below: advice.c. */
/* The port is about to close: what entries in TIME_WAIT would answer is said once more. */
void ptcp_say_goodbye(struct ptcp_endpoint *endpoint);
void ptcp_unreachable(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_addr *peer);
/* Datagrams of more than `size` bytes don't get there, it is said: on an association, or to a peer.
 */
void ptcp_too_big(struct ptcp_endpoint *endpoint, uint64_t association, const struct stk_addr *peer,
                  uint32_t size);
/* Connections that came with an early SYN are real. */
void ptcp_association_ready(struct ptcp_endpoint *endpoint, uint64_t now_us, uint64_t association);
/* docs/ptcp.md section 7, "Another path". */
enum ptcp_move {
    PTCP_MOVE_PORT, /* a NAT forgot it: what was learnt holds */
    PTCP_MOVE_PATH, /* another path is in use from now on */
    PTCP_MOVE_SELF, /* this side has moved; what it sent in the last two round trips went that way
                     */
};
void ptcp_association_moved(struct ptcp_endpoint *endpoint, uint64_t now_us, uint64_t association,
                            enum ptcp_move move);
void ptcp_association_failed(struct ptcp_endpoint *endpoint, uint64_t now_us, uint64_t association,
                             int code, const char *text);
/* The port is dead: all connections end with this error. */
void ptcp_fail_all(struct ptcp_endpoint *endpoint, uint64_t now_us, int code, const char *text);
/* Connections that are not over, and entries in TIME_WAIT. */
uint32_t ptcp_connections(const struct ptcp_endpoint *endpoint);
uint32_t ptcp_time_waits(const struct ptcp_endpoint *endpoint);

/* --- For connections -------------------------------------------------------------------------- */

/* It may have something to send, or another deadline. */
void ptcp_endpoint_touch(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn);
/* It is over: out of the table; freed if released. With an entry that answers for it. */
void ptcp_endpoint_bury(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t now_us,
                        bool reset, uint64_t code);
/*
 * A connection that begins; NULL: no memory. Its owner sets what it knows before it is watched by a
 * tracer.
 */
struct ptcp_conn *ptcp_endpoint_add(struct ptcp_endpoint *endpoint, uint64_t id, uint64_t now_us,
                                    uint64_t association, const struct stk_ptcp_options *options);
void ptcp_endpoint_watch(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn);
/* For its next deadline. What is due now, and was not done, lacks memory or a socket: later. */
void ptcp_endpoint_set_alarm(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn,
                             uint64_t now_us);
void ptcp_endpoint_reply(struct ptcp_endpoint *endpoint, const struct ptcp_reply *reply);
/* late.c: what an entry in TIME_WAIT says; an ACK is of `packet`. */
struct ptcp_reply ptcp_late_reply(struct ptcp_timewait *entry, uint64_t packet);
/* Over another path or association, with nothing in flight. */
void ptcp_endpoint_go_on(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn);
uint64_t ptcp_endpoint_random(struct ptcp_endpoint *endpoint);

#endif
