/*
 * What a connection tells to whoever watches it: a const vtable, so that the core writes no files
 * and a connection that nobody watches pays one comparison with NULL a packet.
 *
 * The watcher has a clock of its own, that of the loop which drives the endpoint. It may read
 * everything in the connection, changes nothing, and calls nothing of the core.
 */
#ifndef STK_PTCP_TRACE_H
#define STK_PTCP_TRACE_H

#include "packet.h"
#include "sent.h"
#include "state.h"

struct ptcp_conn;
struct ptcp_trace;

/* A packet that came, without its tag. */
struct ptcp_trace_packet {
    uint8_t type;    /* enum ptcp_packet_type */
    uint64_t number; /* of all 64 bits */
    size_t size;     /* as the connection's statistics count it */
    uint8_t ecn;     /* enum stk_ecn */
    struct ptcp_frames frames;
};

enum ptcp_trace_timer {
    PTCP_TRACE_LOSS,      /* a packet is overdue */
    PTCP_TRACE_PROBE,     /* nothing is acknowledged: probes follow */
    PTCP_TRACE_KEEPALIVE, /* silence: a PING follows */
    PTCP_TRACE_BLOCKED,   /* no window: the question for it is repeated */
};

struct ptcp_trace_type {
    void (*moved)(struct ptcp_trace *trace, const struct ptcp_conn *conn, enum ptcp_state old);
    /* `start`, `len`: the packet with its header and without its tag, before it is sealed. */
    void (*sent)(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                 const struct ptcp_sent *record, const uint8_t *start, size_t len);
    /* Before its frames take effect. `again`: a copy of one that was here, and is dropped. */
    void (*received)(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                     const struct ptcp_trace_packet *packet, bool again);
    /* One of ours; its state is PTCP_SENT_LOST if it had been given up. */
    void (*acked)(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                  const struct ptcp_sent *record);
    /* Its state is PTCP_SENT_LOST; or another, if it was given up without being late. */
    void (*lost)(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                 const struct ptcp_sent *record);
    /* RTT, window, rate, MTU may have changed. */
    void (*updated)(struct ptcp_trace *trace, const struct ptcp_conn *conn);
    void (*expired)(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                    enum ptcp_trace_timer timer);
    void (*migrated)(struct ptcp_trace *trace, const struct ptcp_conn *conn);
    /* The last call: the trace goes. */
    void (*ended)(struct ptcp_trace *trace, const struct ptcp_conn *conn);
};

struct ptcp_trace {
    const struct ptcp_trace_type *type;
};

/* Whoever watches the connections of an endpoint. */
struct ptcp_tracer {
    /* A connection begins. Its trace, or NULL to leave it alone. */
    struct ptcp_trace *(*begin)(struct ptcp_tracer *tracer, const struct ptcp_conn *conn);
};

/* Calls one of them, where somebody watches: PTCP_TRACE(conn->trace, lost, conn, record). */
#define PTCP_TRACE(trace_, event, ...)                                                             \
    do {                                                                                           \
        if (trace_)                                                                                \
            (trace_)->type->event(trace_, __VA_ARGS__);                                            \
    } while (0)

#endif
