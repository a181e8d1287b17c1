/*
 * Two simulated hosts with one link, a sender of numbered datagrams on one and a receiver that
 * writes down what comes on the other.
 */
#ifndef STK_TESTS_SIM_WORLD_H
#define STK_TESTS_SIM_WORLD_H

#include "harness.h"
#include "oracle.h"
#include "sim.h"

enum { WORLD_ARRIVALS_MAX = 20000 };

struct arrival {
    uint64_t time_us;
    uint32_t number;
    uint16_t size;
    uint8_t ecn;
    bool damaged;
};

struct world {
    struct stk_sim *sim;
    struct stk_sim_host *a, *b;
    struct stk_sim_link *link;
    struct stk_sim_socket *from, *to;
    struct stk_addr to_addr;
    struct arrival *arrivals;
    int count;          /* of arrivals */
    int runs, writable; /* calls */
    uint32_t next;      /* number of the next datagram */
};

/* Socket callbacks that write down arrivals; the user is a struct world. */
extern const struct stk_sim_socket_user world_user;

static inline const struct arrival *world_at(const struct world *w, int i)
{
    return &w->arrivals[i];
}

void world_open(struct world *w, uint64_t seed, const struct stk_sim_wire *wire);
void world_open_with(struct world *w, const struct stk_sim_options *options,
                     const struct stk_sim_wire *wire);
void world_close(struct world *w);

/* One run of `count` datagrams of `size` bytes; returns what send() says. */
int world_send_run(struct world *w, unsigned count, uint16_t size, uint8_t ecn);
void world_send_many(struct world *w, unsigned count, uint16_t size);
/* One a millisecond, so that nothing queues; then runs until all is over. */
void world_send_spaced(struct world *w, unsigned count, uint16_t size);
/* Writes down datagram `i` of a run. */
void world_take(struct world *w, const struct stk_run *run, unsigned i);
struct stk_sim_wire_stats world_forth(const struct world *w);

#endif
