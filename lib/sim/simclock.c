#include "simworld.h"

#include <poll.h>

static int open_clock(void *state)
{
    (void)state;
    return 0;
}

static void close_clock(void *state) { (void)state; }

/*
 * There are no descriptors in a simulated world, with one exception: the loop's own, by which
 * worker threads wake it. The loop asks for it before anybody else can ask for anything.
 */
static int change(void *state, struct stk_watch *watch, unsigned before)
{
    struct stk_sim *sim = state;

    (void)before;
    if (sim->wake == NULL && !sim->open) {
        sim->wake = watch;
        return 0;
    }
    if (watch != sim->wake)
        return -ENOTSUP;
    if (watch->events == 0)
        sim->wake = NULL;
    return 0;
}

/* A pending wake-up makes the loop not wait; with nothing simulated left, only one can end it. */
static int wait_for_threads(struct stk_sim *sim, struct stk_loop *loop, int timeout_ms)
{
    struct pollfd wake = {.events = POLLIN};

    if (sim->wake == NULL)
        return 0;
    wake.fd = sim->wake->fd;
    if (poll(&wake, 1, timeout_ms) > 0)
        stk_backend_ready(loop, sim->wake, STK_READABLE);
    return 0;
}

static int jump(struct stk_sim *sim, uint64_t timeout_us)
{
    const uint64_t end_us = SIM_START_US + sim->options.time_limit_us;
    const uint64_t left_us = end_us - sim->now_us;

    if (timeout_us > left_us) {
        sim->now_us = end_us;
        return -ETIMEDOUT;
    }
    sim->now_us += timeout_us;
    return 0;
}

static int wait_virtually(void *state, struct stk_loop *loop, int64_t timeout_us)
{
    struct stk_sim *sim = state;

    if (++sim->turns > sim->options.event_limit)
        return STK_ELIMIT;
    if (timeout_us <= 0)
        return wait_for_threads(sim, loop, (int)timeout_us);
    return jump(sim, (uint64_t)timeout_us);
}

static uint64_t now_us(void *state) { return ((struct stk_sim *)state)->now_us; }

static void random_bytes(void *state, void *out, size_t len)
{
    stk_prng_bytes(&((struct stk_sim *)state)->random, out, len);
}

const struct stk_backend sim_clock = {
    .name = "sim",
    .open = open_clock,
    .close = close_clock,
    .change = change,
    .wait = wait_virtually,
    .now_us = now_us,
    .random = random_bytes,
};
