/*
 * What a connection needs while anything is under way: packets, bytes, acknowledgements, grants.
 * Between two such times it rests: the engine goes, and a few numbers stay from which it is made
 * anew. So an idle connection costs a third of a busy one.
 */
#ifndef STK_PTCP_ENGINE_H
#define STK_PTCP_ENGINE_H

#include "acks.h"
#include "flow.h"
#include "reasm.h"
#include "recovery.h"
#include "sendbuf.h"

struct ptcp_conn;
struct ptcp_endpoint;

struct ptcp_engine {
    struct ptcp_recovery recovery;
    struct ptcp_acks acks;
    struct ptcp_sendbuf out;
    struct ptcp_reasm in;
    struct ptcp_flow flow;
};

enum { PTCP_ENGINES_SPARE = 64 };

/*
 * Of an endpoint. Connections that open one after the other pass a few engines on, so that no
 * holes of their size are left between what stays of them.
 */
void ptcp_engines_init(struct ptcp_spares *engines);

/* All packets and bytes up to these numbers are done with, on both sides. */
struct ptcp_rest {
    uint64_t next_packet, expected_packet; /* ours, and the peer's */
    uint64_t sent, received;               /* stream bytes */
    uint64_t granted, peer_limit;          /* the same, at most */
    uint64_t last_eliciting_us;
    uint64_t frequency_sequence; /* the peer's last ACK_FREQUENCY */
    uint32_t window, window_max, send_limit;
    uint32_t ack_delay_us, peer_ack_delay_us;
    uint32_t lost, spurious, timeouts, persistent;
    uint32_t ecn[3], ecn_sent, ecn_ect0,
        ecn_ce; /* marks that came; that we sent, and were told of */
    uint16_t ack_every, reorder_packets;
    uint8_t reorder_eighths;
    bool finished, ended; /* our FIN was acknowledged; the peer's came */
    bool cut;             /* as in acks.h */
};

/* What `rest` stands for; owns no memory. */
void ptcp_engine_make(const struct ptcp_conn *conn, struct ptcp_engine *engine);
/* Makes the engine from `rest` where there is none. False without memory: then nothing changes. */
bool ptcp_conn_wake(struct ptcp_conn *conn);
/* A window of `wish` bytes, or what the port's memory has left, the least window at least. */
uint64_t ptcp_engine_window(const struct ptcp_endpoint *endpoint, uint64_t wish);
/* Nothing is under way, now or by a timer that is set: it may rest. */
bool ptcp_conn_is_quiet(const struct ptcp_conn *conn);
/* Needs a quiet connection. */
void ptcp_conn_rest(struct ptcp_conn *conn);
void ptcp_engine_free(struct ptcp_conn *conn);
/* Its window was `before` and may have grown: only if all windows leave as much of the port's
 * memory for others. */
void ptcp_conn_bound_window(struct ptcp_conn *conn, uint64_t before);

#endif
