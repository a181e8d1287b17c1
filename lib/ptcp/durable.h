/*
 * A connection that outlives its association: no path for minutes, new addresses on both sides, a
 * peer whose association got lost. docs/ptcp.md section 11 specifies it.
 *
 * The listener gives the opener a token. When the association fails, or nothing is acknowledged
 * for a while, the opener seeks: it asks for an association, and shows the token over it until
 * the peer answers. What was not acknowledged stays in the send buffers meanwhile.
 */
#ifndef STK_PTCP_DURABLE_H
#define STK_PTCP_DURABLE_H

#include "packet.h"

struct ptcp_conn;
struct ptcp_endpoint;
struct stk_run;

enum {
    PTCP_DURABLE_KEY_BYTES = 32,
    PTCP_DURABLE_DOUBT_TIMEOUTS = 4, /* probe time-outs in a row, then the opener seeks */
    PTCP_DURABLE_TRIES = 8,          /* RESUMEs over one association, then another is asked for */
    PTCP_DURABLE_FIRST_US = 250000,  /* between two of them, doubled each time, … */
    PTCP_DURABLE_MOST_US = 4000000,  /* up to this, and up to a quarter of chance */
    PTCP_SUSPENDED_MAX = 1024,       /* connections of one endpoint without an association */
};

enum ptcp_seek {
    PTCP_SEEK_NOT,
    PTCP_SEEK_WAIT, /* until next_us, then an association is asked for */
    PTCP_SEEK_ASK,  /* the owner is told to, and has not said yet */
    PTCP_SEEK_HOLD, /* there is one, which is not ready */
    PTCP_SEEK_SHOW, /* RESUME goes out at next_us */
    PTCP_SEEK_COUNT,
};

/* Who shows the token over an association with that key is the peer. */
struct ptcp_proof {
    uint64_t token[2]; /* below 2^62 each */
    uint8_t peer_key[PTCP_DURABLE_KEY_BYTES];
};

struct ptcp_durable {
    struct ptcp_proof proof;
    uint64_t time_out_us;
    uint64_t next_us; /* UINT64_MAX: nothing to do by the clock */
    uint8_t seek;     /* enum ptcp_seek; the opener's */
    uint8_t tries, rounds;
    bool agreed; /* both sides want it, and the peer's key is known */
    bool lost;   /* its association is gone */
};

/* -ENOMEM. Needs a sealed endpoint. */
int ptcp_durable_new(struct ptcp_conn *conn, uint64_t time_out_us);
void ptcp_durable_free(struct ptcp_conn *conn);
void ptcp_durable_offer(const struct ptcp_conn *conn, struct ptcp_params *params);
/* The peer's parameters have come. */
void ptcp_durable_agree(struct ptcp_conn *conn, const struct ptcp_params *params);

/* The association is gone. False where the connection ends with it. */
bool ptcp_durable_suspend(struct ptcp_conn *conn, uint64_t now_us);
/* Nothing is acknowledged: the opener begins to seek. */
void ptcp_durable_doubt(struct ptcp_conn *conn, uint64_t now_us);
/* The owner has one, or not (0): for who was told PTCP_SEEK. */
void ptcp_durable_carry(struct ptcp_conn *conn, uint64_t now_us, uint64_t association);
/* The association it holds is ready. */
void ptcp_durable_ready(struct ptcp_conn *conn, uint64_t now_us);
/* The peer has answered over the association: on with the stream. */
void ptcp_durable_resumed(struct ptcp_conn *conn, uint64_t now_us);
void ptcp_durable_timeout(struct ptcp_conn *conn, uint64_t now_us);
uint64_t ptcp_durable_due_us(const struct ptcp_conn *conn);
/* A RESUME shall leave now. */
bool ptcp_durable_shows(const struct ptcp_conn *conn, uint64_t now_us);
void ptcp_durable_shown(struct ptcp_conn *conn, uint64_t now_us);
/* Nothing but RESUME may be sent: it seeks, or waits for the opener to come. */
bool ptcp_durable_is_silent(const struct ptcp_conn *conn);
/* The token came over `association`. */
bool ptcp_durable_proves(const struct ptcp_endpoint *endpoint, const struct ptcp_proof *proof,
                         uint64_t association, const uint64_t token[2]);
/* A RESUME for this connection came over `association` with this token. */
bool ptcp_durable_takes(struct ptcp_conn *conn, uint64_t association, const uint64_t token[2]);

#endif
