/* Associations that come up, move and fail on either side, and the datagrams of both sides. */
#include "ptcp_chaos.h"

/* --- Associations ----------------------------------------------------------------------------
 */

uint64_t chaos_new_link(void)
{
    CHECK(world.last_link + 1 < CHAOS_LINKS_EVER);
    const uint64_t id = ++world.last_link;

    world.links[id] =
        (struct chaos_link){.ready_us = world.pair.now_us + below(100 * MS), .fail_us = UINT64_MAX};
    return id;
}

static void tell_ready(uint64_t id, int side)
{
    world.links[id].ready[side] = true;
    ptcp_association_ready(world.pair.end[side], world.pair.now_us, id);
}

/* A peer says that it has closed only where it has no connection any more that could go on. */
static void tell_failed(uint64_t id, int side)
{
    const int code = !world.durable && chance(50) ? -ECONNRESET : -ETIMEDOUT;

    world.links[id].failed[side] = true;
    ptcp_association_failed(world.pair.end[side], world.pair.now_us, id, code,
                            "the association has failed");
}

static void serve_link(uint64_t id)
{
    struct chaos_link *link = &world.links[id];

    if (link->fail_us <= world.pair.now_us) {
        const int side = link->failed[0] ? 1 : link->failed[1] ? 0 : (int)below(2);

        tell_failed(id, side);
        link->ready_us = UINT64_MAX;
        link->fail_us =
            link->failed[!side] ? UINT64_MAX : world.pair.now_us + below(2 * (uint64_t)SECOND);
    } else if (link->ready_us <= world.pair.now_us && !link->failed[0] && !link->failed[1]) {
        const int side = link->ready[PAIR_A] ? PAIR_B : PAIR_A;

        tell_ready(id, side);
        link->ready_us = side == PAIR_A ? world.pair.now_us + below(40 * MS) : UINT64_MAX;
    }
}

void chaos_serve_links(void)
{
    for (uint64_t id = 1; id <= world.last_link; id++)
        serve_link(id);
}

void chaos_disturb_link(void)
{
    const unsigned i = (unsigned)below(world.links_used);
    const uint64_t id = world.link[i];
    const int side = (int)below(2);

    if (chance(90)) {
        if (world.links[id].ready[side] && !world.links[id].failed[side])
            ptcp_association_moved(world.pair.end[side], world.pair.now_us, id,
                                   chance(50)   ? PTCP_MOVE_PATH
                                   : chance(50) ? PTCP_MOVE_SELF
                                                : PTCP_MOVE_PORT);
        return;
    }
    world.links[id].fail_us = world.pair.now_us;
    world.link[i] = chaos_new_link();
}

/* --- Datagrams -------------------------------------------------------------------------------
 */

void chaos_flush(int side, unsigned most)
{
    struct pair *pair = &world.pair;
    struct stk_run run;

    while (most-- > 0 &&
           ptcp_output(pair->end[side], pair->now_us, &run, pair->buffer, PTCP_OUTPUT_BYTES_MIN)) {
        stk_run_flatten(&run);
        pair->ecn = run.ecn;
        pair->leaves_on = run.association;
        for (unsigned i = 0; i < run.count; i++)
            pair_send(pair, side, stk_run_at(&run, i), stk_run_size(&run, i), run.probe);
    }
}

static bool goes_with(const struct stk_run *run, int to, const struct pair_datagram *next)
{
    return next && next->due_us <= world.pair.now_us && next->to == to &&
           next->association == run->association && next->ecn == run->ecn &&
           next->size <= run->size && run->last_size == run->size && run->count < STK_RUN_COUNT_MAX;
}

/* As a run, where several datagrams of a size come together. */
void chaos_deliver_some(void)
{
    static uint8_t room[STK_RUN_COUNT_MAX * 1500];
    struct pair *pair = &world.pair;
    struct pair_datagram *datagram = pair->flying;
    const int to = datagram->to;
    struct stk_run run = {.data = room,
                          .stride = 1500,
                          .size = datagram->size,
                          .last_size = datagram->size,
                          .ecn = datagram->ecn,
                          .association = datagram->association,
                          .peer = &pair->addr[!to],
                          .local = &pair->addr[to]};
    const struct chaos_link *link = &world.links[run.association];

    run.early = world.sealed && !link->ready[to];
    do {
        pair->flying = datagram->next;
        memcpy(stk_run_at(&run, run.count++), datagram->bytes, datagram->size);
        run.last_size = datagram->size;
        free(datagram);
        datagram = pair->flying;
    } while (goes_with(&run, to, datagram));
    if (!world.sealed || !link->failed[to])
        ptcp_input(pair->end[to], pair->now_us, &run, 1);
}

void chaos_disturb_network(void)
{
    struct pair_net *net = &world.pair.net;

    net->loss_permille = chance(30) ? (unsigned)below(200) : 0;
    net->duplicate_permille = chance(30) ? (unsigned)below(200) : 0;
    net->jitter_us = chance(30) ? below(30 * MS) : 0;
    net->delay_us = below(50 * MS) + 100;
    net->rate_bytes_per_s = chance(50) ? 100000 + below(20000000) : 0;
    net->queue_us = 20 * MS + below(200 * MS);
    net->mtu = chance(20) ? 600 + (uint32_t)below(900) : 1472;
    net->marks = chance(50);
    if (chance(10)) {
        net->dark_from_us = world.pair.now_us;
        net->dark_until_us = world.pair.now_us + below(5 * (uint64_t)SECOND);
    }
}

void chaos_calm_down(void)
{
    struct pair_net *net = &world.pair.net;

    world.calm = true;
    *net = (struct pair_net){
        .delay_us = 5 * MS, .rate_bytes_per_s = 10000000, .queue_us = 100 * MS, .mtu = 1472};
    fault_heap_fail(0, FAULT_ONCE);
}
