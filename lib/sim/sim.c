#include "simworld.h"

#include <assert.h>

enum { TIME_LIMIT_S = 3600, EVENT_LIMIT = 50 * 1000 * 1000 };

static const char loop_key;

/* Streams of the caller's own start here, above those that hosts and links use. */
#define USER_STREAMS (UINT64_C(1) << 32)

void stk_sim_prng(const struct stk_sim *sim, uint64_t stream, struct stk_prng *prng)
{
    sim_prng(sim, USER_STREAMS + stream, prng);
}

void sim_prng(const struct stk_sim *sim, uint64_t stream, struct stk_prng *prng)
{
    struct stk_prng mixer;

    /* Two rounds, so that seed 1 stream 2 has nothing in common with seed 2 stream 1. */
    stk_prng_seed(&mixer, sim->options.seed);
    stk_prng_seed(prng, stk_prng_next(&mixer) ^ (stream + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static void stop_at_time(struct stk_timer *timer) { stk_loop_stop(timer->loop); }

static void take_options(struct stk_sim *sim, const struct stk_sim_options *options)
{
    if (options)
        sim->options = *options;
    if (sim->options.time_limit_us == 0)
        sim->options.time_limit_us = TIME_LIMIT_S * UINT64_C(1000000);
    if (sim->options.event_limit == 0)
        sim->options.event_limit = EVENT_LIMIT;
}

static int make_loop(struct stk_sim *sim)
{
    const int added = stk_layer_type_add(&stk_layer_simudp);
    int code;

    if (added < 0 && added != -EEXIST)
        return added;
    code = stk_loop_new_on(&sim_clock, sim, &sim->loop);
    if (code < 0)
        return code;
    code = stk_loop_set_data(sim->loop, &loop_key, sim, NULL);
    if (code < 0)
        stk_loop_free(sim->loop);
    return code;
}

int stk_sim_new(const struct stk_sim_options *options, struct stk_sim **out)
{
    struct stk_sim *sim = stk_alloc_zero(sizeof *sim);
    int code;

    if (!sim)
        return -ENOMEM;
    take_options(sim, options);
    sim->now_us = SIM_START_US;
    stk_list_init(&sim->hosts);
    stk_list_init(&sim->links);
    stk_list_init(&sim->packets);
    sim_prng(sim, 0, &sim->random);
    code = sim_trace_init(&sim->trace, sim->options.trace_events);
    if (code == 0)
        code = make_loop(sim);
    if (code < 0) {
        stk_free(sim->trace.ring);
        stk_free(sim);
        return code;
    }
    sim->open = true;
    stk_timer_init(&sim->until, sim->loop, stop_at_time);
    *out = sim;
    return 0;
}

static void free_hosts(struct stk_sim *sim)
{
    struct stk_node *node;

    while ((node = stk_list_pop(&sim->hosts)) != NULL)
        sim_host_free(STK_CONTAINER(node, struct stk_sim_host, node));
    while ((node = stk_list_pop(&sim->links)) != NULL)
        stk_free(STK_CONTAINER(node, struct stk_sim_link, node));
}

void stk_sim_free(struct stk_sim *sim)
{
    struct stk_node *node;

    if (!sim)
        return;
    /* Closing layers may still send; nothing gets through any more. */
    sim->open = false;
    stk_timer_stop(&sim->until);
    while ((node = stk_list_pop(&sim->packets)) != NULL)
        sim_packet_free(STK_CONTAINER(node, struct sim_packet, node));
    STK_LIST_EACH(at, &sim->hosts)
    sim_host_quiet(STK_CONTAINER(at, struct stk_sim_host, node));
    STK_LIST_EACH(at, &sim->links)
    sim_link_quiet(STK_CONTAINER(at, struct stk_sim_link, node));
    stk_loop_free(sim->loop);
    free_hosts(sim);
    stk_free(sim->trace.ring);
    stk_free(sim);
}

struct stk_loop *stk_sim_loop(const struct stk_sim *sim) { return sim->loop; }

struct stk_sim *stk_sim_of_loop(const struct stk_loop *loop)
{
    return stk_loop_data(loop, &loop_key);
}

int stk_sim_run(struct stk_sim *sim) { return stk_loop_run(sim->loop); }

int stk_sim_run_for(struct stk_sim *sim, uint64_t time_us)
{
    int code;

    stk_timer_at(&sim->until, sim->now_us + time_us);
    code = stk_loop_run(sim->loop);
    stk_timer_stop(&sim->until);
    return code;
}

uint64_t stk_sim_elapsed_us(const struct stk_sim *sim)
{
    assert(sim->now_us >= SIM_START_US);
    return sim->now_us - SIM_START_US;
}
