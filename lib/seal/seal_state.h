/*
 * What a sealed port keeps: its associations, their sessions (keys) and their paths.
 *
 * An association is the relation to one peer key, named by a tag that the initiator drew. It
 * outlives its sessions (each handshake makes a new one) and its paths (the addresses the peer
 * is heard from). Everything here belongs to one loop and is touched in its thread only.
 */
#ifndef STK_SEAL_STATE_H
#define STK_SEAL_STATE_H

#include "key_cache.h"
#include "limiter.h"
#include "noise.h"
#include "replay.h"
#include "seal.h"
#include "seal_cookie.h"
#include "seal_path.h"
#include "seal_wire.h"

enum {
    SEAL_SECOND_US = 1000 * 1000,
    SEAL_REKEY_AFTER_US = 120 * SEAL_SECOND_US, /* the session's initiator, when it sends */
    SEAL_REKEY_LATE_US = 150 * SEAL_SECOND_US,  /* either side, when it sends or receives */
    SEAL_REJECT_AFTER_US = 180 * SEAL_SECOND_US,
    SEAL_REKEY_GIVE_UP_US = 90 * SEAL_SECOND_US, /* a rekeying without answer starts over later */
    SEAL_RETRY_US = 250 * 1000,
    SEAL_RETRY_MAX_US = SEAL_SECOND_US,
    SEAL_TIMEOUT_US = 15 * SEAL_SECOND_US, /* of the first handshake, by default */
    SEAL_YIELD_US = SEAL_SECOND_US, /* after which who gave way to another initiation tries again */
    SEAL_CONFIRM_US = 10 * SEAL_SECOND_US, /* an initiator that stays silent is forgotten */
    SEAL_IDLE_US = 60 * SEAL_SECOND_US,    /* an association that nobody retains */
    SEAL_LINGER_US = 250 * 1000,           /* packets that a close overtook may still come */
    SEAL_REPORTS_APART_US = 10 * 1000,     /* of unreachable peers, to be looked for */

    SEAL_SESSIONS = 4, /* previous, current, next, and one that is being made */
    SEAL_INDEX_KEY_BITS = 2,
    SEAL_INDEX_SLOT_BITS = 20,
    SEAL_ASSOCIATIONS_MAX = 1 << SEAL_INDEX_SLOT_BITS,
    SEAL_ASSOCIATIONS_DEFAULT = 16384,
    SEAL_ALLOWED_MAX = 256,
    SEAL_LOAD_DEFAULT = 1000, /* initiations a second, from which on cookies are demanded */
    SEAL_UP_RUNS = 16,
    SEAL_REPLIES = 16, /* cookies that go out in one call */
    SEAL_WAITING = 32, /* initiations that wait for the end of a batch */
    SEAL_MARGIN = 64,  /* room before and behind a packet for layers below */
    SEAL_SEND_RUNS = 32,
};

/* WireGuard's margin: room for packets in flight when the last counters are given out. */
#define SEAL_REJECT_AFTER_PACKETS (UINT64_MAX - (UINT64_C(1) << 13) - 1)

static_assert(SEAL_SESSIONS == 1 << SEAL_INDEX_KEY_BITS, "an index names one of the sessions");

struct seal_session {
    struct seal_key send, receive;
    struct seal_replay replay;
    uint64_t counter; /* of the next packet sent */
    uint64_t born_us;
    uint32_t local_index, remote_index;
    bool initiator;
};

/* An initiation that waits for its response. */
struct seal_attempt {
    struct seal_noise noise;
    uint64_t tag; /* the association's when the packet was made */
    uint64_t begun_us, due_us, wait_us;
    uint64_t made_us; /* when the packet was made */
    uint32_t local_index;
    unsigned tries;
    bool made;       /* the packet stands */
    bool yielded;    /* the peer's own counts, if it turns out to be no recording */
    bool light;      /* and goes without the held datagram from now on */
    bool carries;    /* the held datagram is in it */
    bool has_cookie; /* mac2 is worth something */
    uint64_t cookie_born_us;
    uint8_t cookie[SEAL_COOKIE_BYTES];
    uint16_t len;
    uint8_t packet[SEAL_INITIATION_MAX];
};

/* An initiation that was taken and is to be answered, then the answer in case it gets lost. */
struct seal_answer {
    struct seal_noise noise;
    uint8_t ephemeral[SEAL_NOISE_KEY]; /* the initiation's: knows a repeated one */
    uint32_t path;                     /* the id of the one that it came over first */
    bool ambiguous;                    /* and it came over another, too */
    uint32_t remote_index;
    uint16_t initiation_len;
    const struct seal_aead *aead;
    bool sent;
    uint16_t len;
    uint8_t packet[SEAL_RESPONSE_MAX];
};

/* A datagram that waits for a session. */
struct seal_held {
    uint16_t len;
    uint8_t ecn;
    uint8_t data[SEAL_HEADER + SEAL_FIRST_DATAGRAM_MAX + SEAL_TAG]; /* datagram after the header */
};

enum seal_state {
    SEAL_NEW,        /* nothing sent yet */
    SEAL_INITIATING, /* our initiation is out */
    SEAL_ANSWERING,  /* our response is out, or will be at the end of this turn */
    SEAL_READY,      /* the peer has proved its key at least once */
    SEAL_CLOSING,    /* the peer has closed; FAILED follows shortly */
    SEAL_DEAD,       /* FAILED was told; waits for its release */
    SEAL_STATES,
};

struct seal_port;

struct seal_association {
    struct seal_port *port;
    uint64_t id;
    uint64_t tag;
    uint32_t slot;
    enum seal_state state;
    bool initiator;  /* drew the tag */
    bool freed;      /* goes at the end of the turn */
    bool tell_ready; /* associate() found it ready: say so again */
    bool confirm;    /* new keys are ours: the peer waits for a packet under them */
    bool rekey;      /* wanted at the end of this turn */
    bool queued;     /* the task is */
    uint8_t hops;    /* of the task, so that what is above comes first */
    unsigned retained;
    uint8_t peer_key[STK_KEY_BYTES];             /* Ed25519 */
    uint8_t remote_static[SEAL_NOISE_KEY];       /* the same as X25519 */
    uint64_t sent_timestamp, received_timestamp; /* newest of each */
    struct seal_session *sessions[SEAL_SESSIONS];
    struct seal_session *current, *previous, *next;
    struct seal_attempt *attempt;
    struct seal_answer *answer;
    struct seal_held *held;
    struct seal_path first_path; /* heads the list of all */
    struct seal_path *active;    /* the one in use */
    struct seal_path *spoken;    /* the peer speaks over it; NULL: unknown */
    struct seal_path *candidate; /* the peer went there: to be followed once it is validated */
    struct seal_path *wanted;    /* to be used at the end of the turn */
    uint32_t path_ids;
    bool doubted;  /* the path in use may be dead: the first that answers is used */
    bool dropping; /* a path is to be removed at the end of the turn */
    uint64_t made_us;
    uint64_t sent_us; /* anything, probes and keepalives too */
    uint64_t used_us; /* a datagram left or something genuine came */
    int unreachable;  /* the errno that ICMP told during the handshake */
    struct stk_timer timer;
    struct stk_task task;
    struct stk_node bucket;
};

static_assert(sizeof(struct seal_association) + sizeof(struct seal_session) <= 1024,
              "an idle association is to cost little");

/* Cookies for those whose initiations came in one batch. */
struct seal_replies {
    struct stk_run runs[SEAL_REPLIES];
    uint8_t packets[SEAL_REPLIES][SEAL_MARGIN + SEAL_COOKIE_SIZE + SEAL_MARGIN];
    int count;
};

/*
 * Initiations that came in one batch. They wait until the rest of it is done: a flood of handshakes
 * delays nobody's data by more than the batch's own, and keys are exchanged for many at once.
 */
struct seal_waiting {
    struct seal_arrival {
        const struct stk_run *run;
        uint8_t *packet;
        size_t len;
        bool address_proven; /* by a cookie */
    } arrivals[SEAL_WAITING];
    unsigned count;
};

/* A port of datagrams below, beside the layers that seal stands on. */
struct seal_transport {
    struct seal_port *port;
    struct stk_port *below; /* NULL: it has died */
    uint8_t number;
    uint64_t serial; /* the port's transports ever: numbers are used again */
    uint8_t *room;   /* where its layers need room around datagrams: one run */
};

struct seal_port {
    struct stk_dgram_layer layer;
    const struct stk_segment *segment;
    struct stk_key_pair identity;
    struct seal_noise_pair local_static;
    struct seal_mac_keys macs;
    uint8_t (*allowed)[SEAL_NOISE_KEY]; /* X25519; NULL: everybody */
    unsigned allowed_count;
    bool has_peer;
    bool passing; /* the identity is nobody's: made for this port */
    uint8_t peer_key[STK_KEY_BYTES];
    uint64_t timeout_us, keepalive_us;
    uint32_t load;
    unsigned offer; /* cipher bits */
    enum seal_provider provider;
    struct seal_key_cache keys;
    struct seal_association **slots;
    uint32_t slot_count, slot_limit, slot_hint, live;
    uint32_t opening, attempts; /* associations that wait for a first response, or for any */
    uint64_t unreachable_us;    /* when such a report was last looked into */
    uint64_t generation;
    uint64_t hash_seed;
    struct stk_node *buckets; /* as many as slots: associations by key and tag */
    struct seal_meter meter;
    struct seal_limiter *limiter; /* made when first needed */
    struct seal_stamps *stamps;
    struct seal_cookie_jar jar;
    struct stk_seal_stats stats;
    struct stk_run *up; /* SEAL_UP_RUNS, opened and not yet handed up; NULL outside of input */
    int up_count;
    struct seal_replies *replies; /* NULL outside of input, as is the next */
    struct seal_waiting *waiting;
    struct seal_transport *transports[STK_SEAL_TRANSPORTS_MAX];
    uint64_t transport_serials;
    stk_seal_path_fn *watcher; /* NULL: nobody */
    void *watching;
};

static inline struct seal_port *seal_port_of(struct stk_dgram_layer *layer)
{
    return (struct seal_port *)layer;
}

static inline uint64_t seal_now(const struct seal_port *port)
{
    return stk_loop_now_us(stk_dgram_loop(&port->layer));
}

/* --- seal_table.c: associations and where to find them --------------------------------------- */

/* The new association is in the table, its task and timer are stopped. 0, -ENOMEM, STK_ELIMIT. */
int seal_association_new(struct seal_port *port, const uint8_t remote_static[SEAL_NOISE_KEY],
                         uint64_t tag, struct seal_association **out);
/* It is found by this tag from now on. */
void seal_association_tag(struct seal_association *a, uint64_t tag);
/* It is not found by its tag any more: a newer initiation with that tag makes a new one. */
void seal_association_leave(struct seal_association *a);
void seal_association_free(struct seal_association *a);
void seal_association_enter(struct seal_association *a, enum seal_state state);
struct seal_association *seal_association_by_id(struct seal_port *port, uint64_t id);
struct seal_association *seal_association_by_tag(struct seal_port *port,
                                                 const uint8_t remote_static[SEAL_NOISE_KEY],
                                                 uint64_t tag);
/* The association that gave out this receiver index, whatever it stands for now. */
struct seal_association *seal_association_by_index(struct seal_port *port, uint32_t index);
/* Is it alive, and with this peer at this address? */
bool seal_association_leads_to(const struct seal_association *a,
                               const uint8_t remote_static[SEAL_NOISE_KEY], uint8_t way,
                               const struct stk_addr *peer);
/* The first such one. */
struct seal_association *seal_association_by_peer(struct seal_port *port,
                                                  const uint8_t remote_static[SEAL_NOISE_KEY],
                                                  uint8_t way, const struct stk_addr *peer);
/* The same, but one that waits for the response to its first initiation. */
struct seal_association *seal_association_opening(struct seal_port *port,
                                                  const uint8_t remote_static[SEAL_NOISE_KEY],
                                                  uint8_t way, const struct stk_addr *peer);
/* A number for (key, tag) that outsiders can't foresee. */
uint64_t seal_tag_hash(const struct seal_port *port, const uint8_t remote_static[SEAL_NOISE_KEY],
                       uint64_t tag);

/* --- seal_session.c: keys ----------------------------------------------------------------------
 */

/* An index that no session of this association has. */
uint32_t seal_index_new(struct seal_association *a);
int seal_session_new(struct seal_association *a, struct seal_noise *noise,
                     const struct seal_aead *aead, uint32_t local_index, uint32_t remote_index,
                     struct seal_session **out);
/* What the cipher's calls want for a key of this association; NULL without memory. */
void *seal_session_key(struct seal_association *a, struct seal_key *key, uint64_t now_us);
/* Wipes and frees; also where it is current, previous or next. NULL is allowed. */
void seal_session_drop(struct seal_association *a, struct seal_session *session);
void seal_session_expire(struct seal_association *a, uint64_t now_us);
struct seal_session *seal_session_by_index(struct seal_association *a, uint32_t index);
/*
 * The one to send with; NULL if there is none that is fresh enough. Whoever has sent with one never
 * sends with an older one again: that is how a receiver knows what is late.
 */
struct seal_session *seal_session_to_send(struct seal_association *a, uint64_t now_us);
/* How many packets the peer is known to have sent since it stopped using this session. */
uint64_t seal_session_sent_later(const struct seal_association *a, const struct seal_session *s);
/* Our initiation was answered. */
void seal_session_switch(struct seal_association *a, struct seal_session *session);
/* The peer has sent something with the keys that we answered with. */
void seal_session_confirm(struct seal_association *a);

/* --- seal_offer.c, seal_transport.c: several paths ---------------------------------------------
 */

static inline struct seal_path *seal_path_first(const struct seal_association *a)
{
    return (struct seal_path *)(uintptr_t)&a->first_path;
}

/* Finds the seal of a port: the key of a query whose answer is a struct seal_port *. */
enum { SEAL_QUERY_PORT = STK_QUERY_SEAL_STATS + 1 };

/* NULL: that port is not sealed. */
struct seal_port *seal_port_under(struct stk_port *port);
void seal_watch_tell(struct seal_association *a, const struct seal_path *path,
                     enum stk_seal_path_event event);
/* Does at the end of the turn what was asked for: switches, and drops. */
void seal_offer_settle(struct seal_association *a);
/* Down by the transport that each run names; as stk_dgram_send_below(). */
int seal_transport_send(struct seal_port *port, struct stk_run *runs, int count);
void seal_transport_free(struct seal_port *port, unsigned index);

/* --- seal_associate.c: associations that begin on this side ------------------------------------
 */

struct seal_wish {
    const uint8_t *key; /* STK_KEY_BYTES, the peer's */
    const struct stk_addr *peer, *local;
    uint8_t way;
    bool own;     /* shared with nobody: a new one, or … */
    uint64_t had; /* … this one; 0: none */
};

/* Retained once more. 0, STK_EPEER where the key is none, STK_ELIMIT, -ENOMEM. */
int seal_associate(struct seal_port *port, const struct seal_wish *wish, uint64_t *id);
bool seal_serves(struct stk_dgram_layer *layer, const struct stk_segment *segment);

/* --- seal_layer.c --- */

/* What stk_seal_set_identity() set, or NULL. */
const struct stk_key_pair *seal_loop_identity(const struct seal_port *port);
void seal_take_runs(struct seal_port *port, const struct stk_run *runs, int count);
void seal_take_unreachable(struct seal_port *port, const struct stk_addr *peer, int code);
void seal_take_too_big(struct seal_port *port, const struct stk_addr *peer, uint32_t size);

/* --- seal_handshake.c: what both sides of a handshake use ----------------------------------- */

/* Writes the prologue that goes with an initiation's header; returns its length. */
size_t seal_prologue(uint8_t out[64], const uint8_t header[SEAL_HANDSHAKE_HEADER]);
/* One packet back to where a run came from; whether it is taken matters to nobody. */
void seal_send_back(struct seal_port *port, const struct stk_run *to, const uint8_t *packet,
                    size_t len);
/* The same over a path, within what may be sent there. */
void seal_send_packet(struct seal_association *a, struct seal_path *path, const uint8_t *packet,
                      size_t len);
/* The datagram that came in a handshake; `from` says from where. */
void seal_hand_up(struct seal_association *a, const struct stk_run *from, const uint8_t *datagram,
                  size_t len);

/* The same at the end of the batch that `to` came in, for a cookie reply. */
void seal_reply_later(struct seal_port *port, const struct stk_run *to,
                      const uint8_t packet[SEAL_COOKIE_SIZE]);
void seal_flush_replies(struct seal_port *port);

/* --- seal_initiate.c ------------------------------------------------------------------------- */

/* Begins a handshake, unless one is under way. */
void seal_attempt_start(struct seal_association *a);
void seal_attempt_free(struct seal_association *a);
/*
 * Gives way to an initiation of the peer's, which may be a recording: a response to ours still
 * counts, and without a confirmation ours is made anew before long. Begins one where none is.
 */
void seal_attempt_yield(struct seal_association *a);
/* Retransmits what is due; returns when the next one is. */
uint64_t seal_attempt_service(struct seal_association *a, uint64_t now_us);
void seal_take_response(struct seal_port *port, const struct stk_run *run, uint8_t *packet,
                        size_t len);
void seal_take_cookie(struct seal_port *port, const uint8_t *packet);

/* --- seal_respond.c -------------------------------------------------------------------------- */

void seal_answer_free(struct seal_association *a);
/*
 * Sends the response that is owed, with this datagram if it fits. True if it took it. Without
 * memory there is no answer any more: the end of the turn sees to that.
 */
bool seal_answer_send(struct seal_association *a, const uint8_t *datagram, size_t len);
/* Lets those wait that are worth the work. */
void seal_take_initiation(struct seal_port *port, const struct stk_run *run, uint8_t *packet,
                          size_t len);
/* Opens those that wait. */
void seal_take_waiting(struct seal_port *port);

/* --- seal_data.c --------------------------------------------------------------------------- */

int seal_data_send(struct seal_port *port, struct stk_run *runs, int count);
/* Packets that share a type and a receiver index. */
void seal_take_sealed(struct seal_port *port, const struct stk_run *run);
/* A control packet without a body. */
void seal_send_control(struct seal_association *a, struct seal_path *path, enum seal_control kind);
/* A challenge or an echo, from this address of ours; NULL: from the one that the system takes. */
void seal_send_probing(struct seal_association *a, struct seal_path *path,
                       const struct stk_addr *local, enum seal_control kind,
                       const uint8_t token[SEAL_TOKEN]);
/* Sends the datagram that waited for keys. */
void seal_send_held(struct seal_association *a);
/* Wiped and freed. */
void seal_held_free(struct seal_association *a);
/* Hands up what was opened; must precede any event that could free the bytes. */
void seal_flush_up(struct seal_port *port);
void seal_push_up(struct seal_port *port, const struct stk_run *run);

/* --- seal_life.c: what happens to an association over time ------------------------------------ */

void seal_life_start(struct seal_association *a);
/* Looks after the association at the end of this turn. */
void seal_life_soon(struct seal_association *a);
/* Computes the timer anew: after any change of what is due. */
void seal_life_arm(struct seal_association *a);
void seal_life_ready(struct seal_association *a);
void seal_life_fail(struct seal_association *a, const struct stk_error *error);
void seal_life_closed_by_peer(struct seal_association *a);
void seal_life_retain(struct seal_association *a);
void seal_life_release(struct seal_association *a);

#endif
