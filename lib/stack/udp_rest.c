/*
 * Rests between reads while much comes, as network cards pause between interrupts: a socket that
 * was just emptied is not watched but read again a moment later. There are fewer wake-ups, and a
 * sender on the same machine is spared making them; batches are larger, so fewer ACKs are due.
 *
 * Nothing of it happens where little comes: then a datagram is worth a wake-up.
 */
#include "udp.h"

#include <assert.h>

/* A socket that has once been fast. While it is resting the timer reads, and no watch. */
struct stack_udp_rest {
    struct stk_timer timer;
    struct stack_udp *udp;
    uint64_t due_us;        /* when the timer was to fire */
    uint64_t not_before_us; /* no rest begins until then */
    uint32_t buffer_bytes;  /* the kernel's, of the socket */
    bool resting;
};

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

bool stack_udp_is_resting(const struct stack_udp *udp) { return udp->rest && udp->rest->resting; }

static void gauge(struct stack_udp *udp, uint64_t now_us, size_t bytes)
{
    struct stack_udp_gauge *gauge = &udp->gauge;
    const uint64_t elapsed_us = now_us - gauge->since_us;

    gauge->bytes += bytes;
    if (elapsed_us < STACK_UDP_GAUGE_US)
        return;
    *gauge =
        (struct stack_udp_gauge){.since_us = now_us, .bytes_per_us = gauge->bytes / elapsed_us};
}

/*
 * Timers come late, and the kernel counts more for a datagram than its bytes: what is expected
 * takes an eighth of the buffer at most.
 */
static uint64_t length_us(const struct stack_udp_rest *rest)
{
    const uint64_t rate = rest->udp->gauge.bytes_per_us;

    if (rate < STACK_UDP_FAST_BYTES_PER_US)
        return 0;
    const uint64_t length = min_u64(STACK_UDP_REST_US, rest->buffer_bytes / 8 / rate);
    return length >= STACK_UDP_REST_MIN_US ? length : 0;
}

static void set_timer(struct stack_udp_rest *rest, uint64_t due_us)
{
    rest->due_us = due_us;
    stk_timer_at(&rest->timer, due_us);
}

/* Watches again. Where that fails, the timer goes on in its place, less often. */
static void stop_resting(struct stack_udp_rest *rest, uint64_t now_us)
{
    rest->resting = false;
    stk_timer_stop(&rest->timer);
    if (stack_udp_watch(rest->udp) == 0)
        return;
    rest->resting = true;
    set_timer(rest, now_us + STACK_UDP_REST_LATE_US);
}

/*
 * Where timers are coarse, or others have the processor, a rest takes much longer than it should:
 * a hundred times as long there is no further one, so that little is lost.
 */
static void on_timer(struct stk_timer *timer)
{
    struct stack_udp_rest *rest = STK_CONTAINER(timer, struct stack_udp_rest, timer);
    const uint64_t now_us = stk_loop_now_us(timer->loop), late_us = now_us - rest->due_us;

    if (late_us > STACK_UDP_REST_LATE_US)
        rest->not_before_us = now_us + 100 * late_us;
    stack_udp_readable(rest->udp);
}

/* NULL without memory: then there are no rests. */
static struct stack_udp_rest *rest_of(struct stack_udp *udp)
{
    if (udp->rest)
        return udp->rest;
    udp->rest = stk_alloc_zero(sizeof(*udp->rest));
    if (!udp->rest)
        return NULL;
    udp->rest->udp = udp;
    udp->rest->buffer_bytes = stack_udp_granted_bytes(udp->fd, SO_RCVBUF);
    stk_timer_init(&udp->rest->timer, stk_dgram_loop(&udp->layer), on_timer);
    return udp->rest;
}

static void begin_resting(struct stack_udp *udp, uint64_t now_us)
{
    struct stack_udp_rest *rest = rest_of(udp);

    if (!rest || now_us < rest->not_before_us || length_us(rest) == 0)
        return;
    rest->resting = true;
    if (stack_udp_watch(udp) < 0)
        rest->resting = false;
    else
        set_timer(rest, stk_loop_update_now_us(rest->timer.loop) + length_us(rest));
}

void stack_udp_after_read(struct stack_udp *udp, size_t bytes, enum stack_udp_left left)
{
    struct stk_loop *loop = stk_dgram_loop(&udp->layer);
    const uint64_t now_us = stk_loop_now_us(loop);

    assert(left != STACK_UDP_FAILED);
    gauge(udp, now_us, bytes);
    if (!stack_udp_is_resting(udp)) {
        if (left == STACK_UDP_EMPTIED && udp->gauge.bytes_per_us >= STACK_UDP_FAST_BYTES_PER_US)
            begin_resting(udp, now_us);
        return;
    }
    const uint64_t us = length_us(udp->rest);

    if (left == STACK_UDP_NOTHING || us == 0 || now_us < udp->rest->not_before_us)
        stop_resting(udp->rest, now_us);
    else
        set_timer(udp->rest, left == STACK_UDP_MORE ? now_us : stk_loop_update_now_us(loop) + us);
}

void stack_udp_rest_free(struct stack_udp *udp)
{
    if (!udp->rest)
        return;
    stk_timer_stop(&udp->rest->timer);
    stk_free(udp->rest);
    udp->rest = NULL;
}
