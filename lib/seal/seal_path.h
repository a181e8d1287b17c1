/*
 * The ways to the peer of one association: a transport, an address of the peer, perhaps a local
 * one. docs/seal.md section 4 has the rules. The first path lies in the association; the others
 * are allocated when they appear.
 */
#ifndef STK_SEAL_PATH_H
#define STK_SEAL_PATH_H

#include "seal_wire.h"

#include "dgram.h"

enum {
    SEAL_CHALLENGES_TIMED = 5,   /* tries of one probe, each after twice the time */
    SEAL_CHALLENGES_HURRIED = 3, /* and between them, where the peer is heard */
    SEAL_CHALLENGES_MAX = SEAL_CHALLENGES_TIMED + SEAL_CHALLENGES_HURRIED,
    SEAL_HURRY_US = 20 * 1000, /* after the one before; then twice, and four times as long */
    SEAL_PATHS_HEARD = 4,      /* opened by the peer; one more takes the place of the oldest */
    SEAL_WAY_GONE = 255,       /* the transport was removed: what is sent there is lost */
};

enum seal_path_state {
    SEAL_PATH_HEARD,    /* nobody has proved yet that the peer is there */
    SEAL_PATH_PROBING,  /* a challenge is out for the first time */
    SEAL_PATH_VALID,    /* the peer has echoed */
    SEAL_PATH_CHECKING, /* valid, and being asked again */
    SEAL_PATH_SILENT,   /* was valid, and did not answer when asked again */
    SEAL_PATH_STATES,
};

struct seal_association;

struct seal_path {
    struct seal_path *next;
    struct stk_addr peer, local; /* local: len 0, or where the peer speaks to */
    uint32_t id;                 /* never used again in the association */
    uint8_t way;                 /* number of the transport */
    uint8_t state;               /* enum seal_path_state */
    bool offered;                /* from above; otherwise the peer opened it */
    bool dropped;                /* goes at the end of the turn */
    bool pinned;                 /* `local` was asked for, and tells it from others */
    bool stray;                  /* `local` may have gone: challenges leave from any address */
    uint8_t challenges, hurried; /* sent in this probe; so many of them before their time */
    uint8_t token[SEAL_TOKEN];   /* the last byte counts the challenges */
    uint64_t challenged_us[SEAL_CHALLENGES_MAX]; /* when they left */
    uint64_t challenge_due_us;
    uint64_t rtt_us;                     /* of the challenge that was echoed first; 0: unknown */
    uint64_t heard_us;                   /* a genuine packet came */
    uint64_t received_bytes, sent_bytes; /* counted until it is valid */
};

static inline bool seal_path_is_valid(const struct seal_path *path)
{
    return path->state >= SEAL_PATH_VALID;
}

static inline bool seal_path_is_asked(const struct seal_path *path)
{
    return path->state == SEAL_PATH_PROBING || path->state == SEAL_PATH_CHECKING;
}

static inline bool seal_path_is_gone(const struct seal_path *path)
{
    return path->way == SEAL_WAY_GONE;
}

/* Makes the association's first path the one in use. */
struct seal_path *seal_path_begin(struct seal_association *a, uint8_t way,
                                  const struct stk_addr *peer, const struct stk_addr *local);
struct seal_path *seal_path_active(const struct seal_association *a);
/* NULL: unknown. `local` may be NULL. */
struct seal_path *seal_path_find(const struct seal_association *a, uint8_t way,
                                 const struct stk_addr *peer, const struct stk_addr *local);
/* NULL: unknown, or its transport was removed. */
struct seal_path *seal_path_by_id(const struct seal_association *a, uint32_t id);
/* The path that a packet came over, new if need be. NULL: no memory for it. */
struct seal_path *seal_path_of(struct seal_association *a, const struct stk_run *run);
/* The peer speaks to this address of ours (NULL: unknown): answers leave from there. */
void seal_path_called(struct seal_association *a, struct seal_path *path,
                      const struct stk_addr *local);
/* One more, offered from above. STK_ELIMIT, -ENOMEM. */
int seal_path_offer(struct seal_association *a, uint8_t way, const struct stk_addr *peer,
                    const struct stk_addr *local, struct seal_path **out);
/* A run without bytes that goes over this path. */
struct stk_run seal_path_run(const struct seal_association *a, const struct seal_path *path);
/*
 * Never the one in use. The first one lies in the association: it stays in the list, and stands for
 * nothing any more.
 */
void seal_path_remove(struct seal_association *a, struct seal_path *path);
/* Nothing is to happen with it any more: neither a switch nor following the peer there. */
void seal_path_forget(struct seal_association *a, const struct seal_path *path);
void seal_path_free_all(struct seal_association *a);

void seal_path_enter(struct seal_path *path, enum seal_path_state state);
void seal_path_received(struct seal_path *path, size_t bytes);
/* False if so much more must not be sent there yet; else it is counted. */
bool seal_path_take(struct seal_path *path, size_t bytes);
void seal_path_untake(struct seal_path *path, size_t bytes);
/* The peer has proved to be there by other means than an echo. */
void seal_path_validate(struct seal_path *path);
void seal_path_use(struct seal_association *a, struct seal_path *path);
/* Asks the peer for a sign over this path; the outcome is told to the watcher. */
void seal_path_probe(struct seal_association *a, struct seal_path *path);
/*
 * A genuine packet came over `path`, to the address `local` (NULL: unknown); `newest`: with the
 * highest counter so far; `probing`: it is only about the path.
 */
void seal_path_heard(struct seal_association *a, struct seal_path *path,
                     const struct stk_addr *local, bool newest, bool probing);
void seal_path_echo(struct seal_association *a, const struct stk_addr *local,
                    const uint8_t token[SEAL_TOKEN]);
/*
 * What was sent over the path in use is not answered. Who chooses asks all paths, and takes the
 * first that answers; the other side asks from whatever address it has now.
 */
void seal_path_doubt(struct seal_association *a);
/* Sends challenges that are due; returns when the next one is, UINT64_MAX for never. */
uint64_t seal_path_service(struct seal_association *a, uint64_t now_us);

#endif
