/*
 * The idle layer: a connection on which nothing moves for too long fails with -ETIMEDOUT.
 * The timer is not re-armed per byte: it looks at the time of the last one when it fires.
 */
#include "clip.h"
#include "layer.h"
#include "wrappers.h"

enum { TIMEOUT_DEFAULT_US = 60 * 1000 * 1000 };

struct idle {
    struct stk_layer layer;
    uint64_t timeout_us, moved_us;
    int failure; /* -ETIMEDOUT once the time was over */
};

static struct idle *idle_of(struct stk_layer *layer) { return (struct idle *)layer; }

static void idle_start(struct stk_layer *layer)
{
    struct idle *idle = idle_of(layer);

    idle->timeout_us = stk_segment_number(layer->segment, "timeout", TIMEOUT_DEFAULT_US);
    idle->moved_us = stk_loop_now_us(stk_layer_loop(layer));
    stk_layer_set_timer(layer, idle->moved_us + idle->timeout_us);
    stk_layer_raise(layer, STK_READY);
}

static long moved(struct stk_layer *layer, long bytes)
{
    if (bytes > 0)
        idle_of(layer)->moved_us = stk_loop_now_us(stk_layer_loop(layer));
    return bytes;
}

static long idle_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    const long got = stk_layer_recv_below(layer, iov, count);

    /* What came before the time was over stays readable; then the error shows. */
    if (got == STK_AGAIN && idle_of(layer)->failure != 0)
        return idle_of(layer)->failure;
    return moved(layer, got);
}

static long idle_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    if (idle_of(layer)->failure != 0)
        return idle_of(layer)->failure;
    return moved(layer, stk_layer_send_below(layer, iov, count, flags));
}

static void idle_on_timer(struct stk_layer *layer)
{
    struct idle *idle = idle_of(layer);
    const uint64_t due_us = idle->moved_us + idle->timeout_us;

    if (stk_loop_now_us(stk_layer_loop(layer)) < due_us)
        stk_layer_set_timer(layer, due_us);
    else
        idle->failure = stk_layer_fail(layer, -ETIMEDOUT, "nothing moved for %.3g s",
                                       (double)idle->timeout_us / 1e6);
}

static const struct stk_stream_type idle_type = {
    .size = sizeof(struct idle),
    .start = idle_start,
    .recv = idle_recv,
    .send = idle_send,
    .on_timer = idle_on_timer,
};

static const struct stk_option_type idle_options[] = {
    {"timeout", STK_OPTION_DURATION, 1000, UINT64_C(30) * 86400 * 1000000,
     "how long nothing may move (60s)"},
    {0},
};

const struct stk_layer_type stk_layer_idle = {
    .name = "idle",
    .summary = "an error when nothing moves for too long",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .options = idle_options,
    .stream = &idle_type,
};
