#include "sim_world.h"

void world_take(struct world *w, const struct stk_run *run, unsigned i)
{
    struct arrival *arrival = &w->arrivals[w->count];
    const uint8_t *data = stk_run_at(run, i);
    const uint16_t size = stk_run_size(run, i);

    if (w->count == WORLD_ARRIVALS_MAX)
        return;
    w->count++;
    *arrival =
        (struct arrival){.time_us = stk_sim_elapsed_us(w->sim), .size = size, .ecn = run->ecn};
    if (size < 4)
        return;
    arrival->number = stk_load_be32(data);
    arrival->damaged = oracle_check(arrival->number, 4, data + 4, size - 4u) != size - 4u;
}

static void on_input(void *user, struct stk_run *runs, int count)
{
    struct world *w = user;

    for (int r = 0; r < count; r++) {
        w->runs++;
        for (unsigned i = 0; i < runs[r].count; i++)
            world_take(w, &runs[r], i);
    }
}

static void on_writable(void *user) { ((struct world *)user)->writable++; }

const struct stk_sim_socket_user world_user = {.input = on_input, .writable = on_writable};

void world_open_with(struct world *w, const struct stk_sim_options *options,
                     const struct stk_sim_wire *wire)
{
    struct stk_addr local;

    memset(w, 0, sizeof *w);
    w->arrivals = calloc(WORLD_ARRIVALS_MAX, sizeof *w->arrivals);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(options, &w->sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w->sim, "a", "10.0.0.1", &w->a), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w->sim, "b", "10.0.0.2", &w->b), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(w->sim, w->a, w->b, wire, NULL, &w->link), 0);
    stk_addr_parse(&local, "0.0.0.0:0");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(w->a, &local, &world_user, w, &w->from), 0);
    stk_addr_parse(&w->to_addr, "10.0.0.2:4000");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(w->b, &w->to_addr, &world_user, w, &w->to), 0);
}

void world_open(struct world *w, uint64_t seed, const struct stk_sim_wire *wire)
{
    world_open_with(w, &(struct stk_sim_options){.seed = seed, .trace_events = 16}, wire);
}

void world_close(struct world *w)
{
    stk_sim_socket_close(w->from);
    stk_sim_socket_close(w->to);
    stk_sim_free(w->sim);
    free(w->arrivals);
}

int world_send_run(struct world *w, unsigned count, uint16_t size, uint8_t ecn)
{
    uint8_t *data = malloc((size_t)count * size);
    struct stk_run run = {.data = data,
                          .stride = size,
                          .size = size,
                          .last_size = size,
                          .count = (uint16_t)count,
                          .ecn = ecn,
                          .peer = &w->to_addr};
    int taken;

    for (unsigned i = 0; i < count; i++) {
        const uint32_t number = w->next++;

        if (size >= 4) {
            stk_store_be32(data + (size_t)i * size, number);
            oracle_fill(number, 4, data + (size_t)i * size + 4, size - 4u);
        }
    }
    taken = stk_sim_socket_send(w->from, &run, 1);
    free(data);
    return taken;
}

void world_send_many(struct world *w, unsigned count, uint16_t size)
{
    for (; count > 0; count--)
        world_send_run(w, 1, size, STK_ECN_NOT);
}

void world_send_spaced(struct world *w, unsigned count, uint16_t size)
{
    for (; count > 0; count--) {
        world_send_run(w, 1, size, STK_ECN_NOT);
        stk_sim_run_for(w->sim, 1000);
    }
    stk_sim_run(w->sim);
}

struct stk_sim_wire_stats world_forth(const struct world *w)
{
    struct stk_sim_wire_stats stats;

    stk_sim_link_stats(w->link, STK_SIM_FORTH, &stats);
    return stats;
}
