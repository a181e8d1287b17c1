/*
 * The world of t_ptcp_chaos.c: two endpoints, users with connections over a few associations, and
 * a seed that chooses all that happens. Each of the files ptcp_chaos_*.c is one part of it.
 */
#ifndef PTCP_CHAOS_H
#define PTCP_CHAOS_H

#include "fault.h"
#include "harness.h"
#include "ptcp_pair.h"

enum {
    MS = 1000,
    SECOND = 1000 * MS,
    CHAOS_USERS = 48,
    CHAOS_LINKS = 4,
    CHAOS_LINKS_EVER = 4096,
    CHAOS_DURABLE_US = 300 * SECOND,
};

/* One who has a connection, or is to get the other end of one. */
struct chaos_user {
    struct ptcp_conn *conn; /* NULL: not yet, or not any more */
    struct chaos_user *other;
    int side;
    unsigned serial; /* of the connection; 0: nobody */
    uint64_t id;     /* the opener's */
    uint64_t wish, written, read;
    bool lied_to, opener, invited, readable, greedy, finishes, finished, eof, failed, left, seeks;
};

struct chaos_link {
    bool ready[2], failed[2];
    uint64_t ready_us, fail_us; /* when the next side is told; UINT64_MAX: never */
};

struct chaos {
    struct pair pair;
    struct chaos_user users[2][CHAOS_USERS];
    struct chaos_link links[CHAOS_LINKS_EVER];
    uint64_t link[CHAOS_LINKS]; /* those in use; numbers begin with 1 */
    uint64_t last_link, seed;
    struct stk_ptcp_options listen;
    struct ptcp_endpoint_options port;
    uint32_t records[2];
    unsigned serial;
    bool sealed, faults, hostile, calm, durable;
    unsigned links_used;
};

extern struct chaos world;

static inline uint64_t below(uint64_t bound) { return stk_prng_below(&world.pair.prng, bound); }
static inline bool chance(unsigned percent) { return below(100) < percent; }

/* With the seed and the time, so that the run can be repeated. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("\n    seed %llu, %llu us: %s\n", (unsigned long long)world.seed,               \
                   (unsigned long long)world.pair.now_us, #condition);                             \
            CU_FAIL_FATAL(#condition);                                                             \
        }                                                                                          \
    } while (0)

/* --- ptcp_chaos_network.c: associations and datagrams ------------------------------------------
 */

uint64_t chaos_new_link(void);
void chaos_serve_links(void);
void chaos_disturb_link(void);

/* At most so many runs of what a side has to send. */
void chaos_flush(int side, unsigned most);
/* What comes first of the datagrams that are under way. */
void chaos_deliver_some(void);
void chaos_disturb_network(void);
/* From now on everything must arrive. */
void chaos_calm_down(void);

/* --- ptcp_chaos_lies.c -------------------------------------------------------------------------
 */

/* In the name of a connection's peer, who knows all its secrets. */
void chaos_lie_to(struct chaos_user *user);

/* --- ptcp_chaos_users.c ------------------------------------------------------------------------
 */

void chaos_open_one(void);
void chaos_disturb_user(void);
void chaos_leave(struct chaos_user *user);
/* Gives a side's events to its users. */
void chaos_tell(int side);
/* Lets all users do what they were told that they can. */
void chaos_act_all(void);

/* --- ptcp_chaos_checks.c -----------------------------------------------------------------------
 */

void chaos_check_books(int side);
/* In the end; true if it got all, and all of its own has arrived. */
bool chaos_check_outcome(const struct chaos_user *user);
/* All have left, and their time is over. */
void chaos_check_nothing_is_left(int side);

#endif
