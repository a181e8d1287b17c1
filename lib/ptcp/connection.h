/*
 * One connection: the state machine and the halves that work in it.
 *
 * A connection belongs to its endpoint; its user holds a handle until ptcp_conn_release().
 * Nothing here calls out: what the user should know is gathered in `events`.
 */
#ifndef STK_PTCP_CONNECTION_H
#define STK_PTCP_CONNECTION_H

#include "dgram.h"
#include "durable.h"
#include "engine.h"
#include "list.h"
#include "paths.h"
#include "ptcp.h"
#include "schedule.h"
#include "state.h"
#include "table.h"
#include "trace.h"

#include <assert.h>

struct ptcp_endpoint;

/* The same meaning as in layer.h. */
enum ptcp_event {
    PTCP_READY = 1,
    PTCP_RX = 2,
    PTCP_TX = 4,
    PTCP_RX_EOF = 8,
    PTCP_TX_DONE = 16,
    PTCP_ERROR = 32,
    PTCP_CLOSED = 64, /* nothing follows; the handle may be released */
    PTCP_SEEK = 256,  /* for who drives it: ptcp_durable_carry() another association */
    PTCP_DOUBT = 128, /* for who drives the endpoint: the association's path may be dead */
};

/* What the layer hands on as it is. */
enum { PTCP_LAYER_EVENTS = PTCP_READY | PTCP_RX | PTCP_TX | PTCP_RX_EOF | PTCP_TX_DONE };

/* What waits to be put into a packet. */
enum ptcp_due {
    PTCP_DUE_PARAMS = 1, /* a SYN or SYN_ACK */
    PTCP_DUE_PING = 2,
    PTCP_DUE_BLOCKED = 4,
    PTCP_DUE_FREQUENCY = 8,
    PTCP_DUE_PATH_RESPONSE = 16,
};

/* A listener's cookie, until the handshake is done. */
struct ptcp_held_cookie {
    uint8_t len;
    uint8_t bytes[PTCP_COOKIE_MAX_BYTES];
};

/* There may be very many that rest: what only few need, or only for a while, stands elsewhere. */
struct ptcp_conn {
    struct ptcp_slot slot; /* holds the local id */
    struct ptcp_endpoint *endpoint;
    struct ptcp_trace *trace; /* NULL: nobody watches */
    void *user;
    struct stk_node ready;    /* in endpoint->ready while it may have packets to send */
    struct stk_node eventful; /* in endpoint->eventful while events are set */
    /* In endpoint->opening, then (passive) in endpoint->accepting; later maybe in ->starving. */
    struct stk_node queue;
    struct ptcp_alarm alarm;
    struct ptcp_path *path;  /* shared with the other connections of the association */
    struct stk_node on_path; /* in path->connections until it is over */
    struct ptcp_turn turn;   /* at the path, while it has stream bytes to send */

    uint64_t peer_id;

    uint16_t events; /* enum ptcp_event */
    uint8_t state;   /* enum ptcp_state */
    uint8_t due;     /* enum ptcp_due */
    bool passive;    /* came from a SYN to a listener */
    bool confirmed;  /* the peer has used our id */
    bool queued;     /* counts in the listener's backlog */
    bool owned;      /* a user has the handle */
    bool released;   /* a user had the handle, and gave it back */
    bool buried;     /* out of the endpoint's table, in endpoint->buried */
    bool early;      /* SYN may carry data */
    bool told_eof, told_done, wants_room, was_busy;
    bool was_full; /* the send buffer, when the user came last */
    uint8_t retries;
    uint8_t blocked_count;
    int error;
    const char *error_text;          /* static */
    struct ptcp_held_cookie *cookie; /* for SYNs to come; NULL: none was asked for */

    struct ptcp_engine *engine;   /* NULL: it rests */
    struct ptcp_rest rest;        /* for who has no engine */
    struct ptcp_durable *durable; /* NULL: it ends with its association */

    uint32_t connect_timeout_ms, user_timeout_ms, idle_timeout_ms, keepalive_ms, linger_ms;
    uint32_t send_buffer_max;
    uint64_t opened_us, heard_us, progress_us, released_us;
    uint32_t handshake_us;
    uint16_t path_changes;
    uint16_t asked_every;  /* packets per ACK that the peer was last asked for */
    uint64_t blocked_us;   /* repeat DATA_BLOCKED then; UINT64_MAX: not blocked */
    uint64_t silence_at;   /* offset of the peer's stream when its silence was asked about last */
    uint64_t ended_packet; /* the peer's FIN had come in one below; UINT64_MAX: not yet */
    uint64_t skip_at;      /* packet number to leave out */
    uint64_t challenge;    /* to be echoed in a PATH_RESPONSE */
    uint64_t frequency_sequence;
    uint64_t packets_sent, packets_received, bytes_sent, bytes_received, bytes_resent;
};

static_assert(sizeof(struct ptcp_conn) <= 520, "a resting connection is to cost little");

/* --- For users ------------------------------------------------------------------------------ */

/* Bytes taken, STK_AGAIN (then PTCP_TX follows once), or the error. Nothing else blocks. */
long ptcp_conn_send(struct ptcp_conn *conn, uint64_t now_us, const struct iovec *iov, int count);
/* No more bytes will be sent. 0 or the error. */
int ptcp_conn_finish(struct ptcp_conn *conn, uint64_t now_us);
/* Slices of unread bytes: how many; 0 at the end; STK_AGAIN; the error once all is read. */
int ptcp_conn_peek(struct ptcp_conn *conn, struct iovec *slices, int max);
void ptcp_conn_consume(struct ptcp_conn *conn, uint64_t now_us, size_t len);
/* The same with copying: bytes, 0 at the end, STK_AGAIN or the error. */
long ptcp_conn_recv(struct ptcp_conn *conn, uint64_t now_us, const struct iovec *iov, int count);
/* Resets the connection with that code (enum ptcp_reset_code). */
void ptcp_conn_abort(struct ptcp_conn *conn, uint64_t now_us, uint64_t code);
/* Gives the handle back. What was sent is still delivered; unread bytes reset the connection. */
void ptcp_conn_release(struct ptcp_conn *conn, uint64_t now_us);
/* The events since the last call. */
unsigned ptcp_conn_take_events(struct ptcp_conn *conn);
/* The first error: its code, or 0; the text is static. */
int ptcp_conn_error(const struct ptcp_conn *conn, const char **text);
void ptcp_conn_stats(const struct ptcp_conn *conn, struct stk_ptcp_stats *stats);

/* Time-outs are kept in milliseconds, rounded up, and at most 49 days. */
static inline uint32_t ptcp_conn_ms(uint64_t time_us)
{
    const uint64_t time_ms = time_us / 1000 + (time_us % 1000 > 0);

    return time_ms < UINT32_MAX ? (uint32_t)time_ms : UINT32_MAX;
}
static inline uint64_t ptcp_ms(uint32_t time_ms) { return (uint64_t)time_ms * 1000; }

static inline uint64_t ptcp_conn_id(const struct ptcp_conn *conn) { return conn->slot.id; }
/* The association that it belongs to; 0: plain mode. */
static inline uint64_t ptcp_conn_association(const struct ptcp_conn *conn)
{
    return conn->path->slot.id;
}
/* Urgency among the connections of its path, 0 (first) to PTCP_PRIORITIES - 1. */
void ptcp_conn_set_priority(struct ptcp_conn *conn, uint8_t priority);
/* Bytes taken by send and not acknowledged. */
static inline uint64_t ptcp_conn_unsent(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->out.end - conn->engine->out.una : 0;
}

/* The number of its next packet, and what the peer's next one must have at least. */
static inline uint64_t ptcp_conn_next_packet(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->recovery.ring.next : conn->rest.next_packet;
}
static inline uint64_t ptcp_conn_expected(const struct ptcp_conn *conn)
{
    return conn->engine ? ptcp_acks_expected(&conn->engine->acks) : conn->rest.expected_packet;
}

/* Bytes of the stream that have come, without a hole. */
static inline uint64_t ptcp_conn_received(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->in.contiguous : conn->rest.received;
}

/* --- For the endpoint ------------------------------------------------------------------------- */

static inline bool ptcp_conn_is_plain(const struct ptcp_conn *conn)
{
    return ptcp_conn_association(conn) == 0;
}

/* In the path of the association; 0: on a path of its own. NULL without memory. */
struct ptcp_conn *ptcp_conn_new(struct ptcp_endpoint *endpoint, uint64_t id, uint64_t now_us,
                                uint64_t association, const struct stk_ptcp_options *options);
void ptcp_conn_free(struct ptcp_conn *conn); /* memory only */
/* What is in flight concerns nobody any more. */
void ptcp_conn_forget_sent(struct ptcp_conn *conn);
void ptcp_conn_move(struct ptcp_conn *conn, enum ptcp_state state);
void ptcp_conn_raise(struct ptcp_conn *conn, unsigned events);
/* Ends the connection with an error; `code` < 0, `text` static. */
void ptcp_conn_fail(struct ptcp_conn *conn, uint64_t now_us, int code, const char *text);
/* The same, and the peer is told by RESET. */
void ptcp_conn_reset(struct ptcp_conn *conn, uint64_t now_us, uint64_t reset, int code,
                     const char *text);
/*
 * The peer is gone, or knows the connection no more. Where all bytes of both sides had arrived, and
 * only the word that our FIN did was missing, that word would change nothing: it ends in order, and
 * this says true. Bytes that were not acknowledged may be lost, and that is an error.
 */
bool ptcp_conn_end_in_order(struct ptcp_conn *conn, uint64_t now_us);
/* It may ask for a larger window, even if it has asked, or was about to. */
void ptcp_conn_ask_anew(struct ptcp_conn *conn);
/* Follows the FINs; then TIME_WAIT comes. */
void ptcp_conn_step(struct ptcp_conn *conn, uint64_t now_us);
void ptcp_conn_take_params(struct ptcp_conn *conn, const struct ptcp_params *params);
void ptcp_conn_offer_params(const struct ptcp_conn *conn, struct ptcp_params *params);
/* Active and passive side: the handshake is done. */
void ptcp_conn_establish(struct ptcp_conn *conn, uint64_t now_us);

/* conn_input.c: frames of an authentic packet for this connection. */
void ptcp_conn_input(struct ptcp_conn *conn, uint64_t now_us, const struct ptcp_header *header,
                     struct ptcp_frames frames, const struct stk_run *run, size_t size);
/* The peer accepts with other parameters, or sends another cookie. */
void ptcp_conn_retry(struct ptcp_conn *conn, uint64_t now_us, const uint8_t *cookie, size_t len);
extern const struct ptcp_recovery_owner ptcp_conn_owner;

/* conn_output.c: 1 and a run of packets, or 0. */
/* With about `allowance` stream bytes; 0: only what needs no turn at the path. */
int ptcp_conn_output(struct ptcp_conn *conn, uint64_t now_us, struct stk_run *run, uint8_t *buffer,
                     size_t capacity, uint32_t allowance);
/* A packet of what is due besides stream bytes, for a run of others' (company.h); 0: nothing is. */
size_t ptcp_conn_control(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t room);
/* Its peer does not answer, and others of the path have bytes to send. */
bool ptcp_conn_stands_aside(const struct ptcp_conn *conn);
/* Has it something to send that needs a turn? */
bool ptcp_conn_wants_turn(const struct ptcp_conn *conn);
/* Something that needs none should have left: it lacked memory, or its turn was to carry it. */
bool ptcp_conn_is_overdue(const struct ptcp_conn *conn, uint64_t now_us);

/* conn_timer.c */
uint64_t ptcp_conn_due_us(const struct ptcp_conn *conn, uint64_t now_us);
/* False if the connection is over: then it may be gone. */
bool ptcp_conn_timeout(struct ptcp_conn *conn, uint64_t now_us);
/* Something of ours waits for the peer, or for memory to be sent; or for the peer to be found. */
bool ptcp_conn_is_busy(const struct ptcp_conn *conn);
/* Something of its own leaves: from now on its clocks run. */
void ptcp_conn_end_wait(struct ptcp_conn *conn);
/* The same, as it waits for no turn any more. */
void ptcp_conn_leave_turn(struct ptcp_conn *conn);

#endif
