/*
 * The limit layer: a token bucket for each direction. "limit,rate=1M" lets one MiB a second
 * through, after a first burst. Bytes wait in the sender and in the layers below, not here.
 */
#include "clip.h"
#include "iov.h"
#include "layer.h"
#include "wrappers.h"

enum { BURST_DEFAULT = 64 * 1024 };

struct bucket {
    uint64_t rate;   /* bytes per second; 0: no limit */
    uint64_t burst;  /* bytes that may gather */
    uint64_t tokens; /* bytes that may pass now */
    uint64_t part;   /* of the next byte, in millionths: the rate is exact over any time */
    uint64_t at_us;  /* when that was true */
    bool starved;    /* somebody was told AGAIN */
};

struct limit {
    struct stk_layer layer;
    struct bucket in, out;
};

static struct limit *limit_of(struct stk_layer *layer) { return (struct limit *)layer; }

static uint64_t available(struct bucket *b, uint64_t now_us)
{
    if (b->rate == 0)
        return UINT64_MAX;

    const uint64_t full_us = b->burst * 1000000 / b->rate + 1;
    uint64_t elapsed_us = now_us - b->at_us;

    if (elapsed_us > full_us)
        elapsed_us = full_us; /* and so no product overflows */
    const uint64_t credit = b->rate * elapsed_us + b->part;
    b->tokens += credit / 1000000;
    b->part = credit % 1000000;
    b->at_us = now_us;
    if (b->tokens >= b->burst) {
        b->tokens = b->burst;
        b->part = 0;
    }
    return b->tokens;
}

static void spend(struct bucket *b, size_t bytes)
{
    if (b->rate != 0)
        b->tokens -= bytes;
}

/* Waits for what 10 ms bring, not for the next byte; and never until a full bucket runs over. */
static uint64_t refill_us(const struct bucket *b)
{
    const uint64_t most = b->burst > 1 ? b->burst / 2 : 1;
    uint64_t piece = b->rate / 100 < most ? b->rate / 100 : most;

    if (piece == 0)
        piece = 1;
    if (piece <= b->tokens)
        return b->at_us;
    return b->at_us + ((piece - b->tokens) * 1000000 - b->part + b->rate - 1) / b->rate;
}

static void arm(struct limit *l)
{
    uint64_t due_us = 0;

    if (l->in.starved)
        due_us = refill_us(&l->in);
    if (l->out.starved && (due_us == 0 || refill_us(&l->out) < due_us))
        due_us = refill_us(&l->out);
    stk_layer_set_timer(&l->layer, due_us);
}

static long starve(struct limit *l, struct bucket *b)
{
    b->starved = true;
    arm(l);
    return STK_AGAIN;
}

static void open_bucket(struct bucket *b, const struct stk_segment *segment, const char *name,
                        uint64_t now_us)
{
    b->rate = stk_segment_number(segment, name, stk_segment_number(segment, "rate", 0));
    b->burst = stk_segment_number(segment, "burst", BURST_DEFAULT);
    b->tokens = b->burst;
    b->at_us = now_us;
}

static int limit_init(struct stk_layer *layer)
{
    const uint64_t now_us = stk_loop_now_us(stk_layer_loop(layer));

    open_bucket(&limit_of(layer)->in, layer->segment, "recv", now_us);
    open_bucket(&limit_of(layer)->out, layer->segment, "send", now_us);
    return 0;
}

static long limit_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct limit *l = limit_of(layer);
    const uint64_t tokens = available(&l->in, stk_loop_now_us(stk_layer_loop(layer)));
    struct iovec clipped[CLIP_MAX];
    int used;

    if (tokens == 0)
        return starve(l, &l->in);
    clip_iov(clipped, iov, count, tokens, &used);
    const long got = stk_layer_recv_below(layer, clipped, used);
    if (got > 0)
        spend(&l->in, (size_t)got);
    return got;
}

static long limit_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    struct limit *l = limit_of(layer);
    const uint64_t tokens = available(&l->out, stk_loop_now_us(stk_layer_loop(layer)));
    const size_t all = stk_iov_bytes(iov, count);
    struct iovec clipped[CLIP_MAX];
    int used;

    if (all == 0)
        return stk_layer_send_below(layer, iov, count, flags);
    if (tokens == 0)
        return starve(l, &l->out);
    const size_t want = clip_iov(clipped, iov, count, tokens, &used);
    const long sent =
        stk_layer_send_below(layer, clipped, used, want < all ? flags & ~(unsigned)STK_FIN : flags);
    if (sent > 0)
        spend(&l->out, (size_t)sent);
    if (sent == (long)want && want < all)
        starve(l, &l->out); /* only the bucket was short: TX is owed by this layer */
    return sent;
}

static void limit_on_timer(struct stk_layer *layer)
{
    struct limit *l = limit_of(layer);
    const uint64_t now_us = stk_loop_now_us(stk_layer_loop(layer));
    unsigned events = 0;

    if (l->in.starved && now_us >= refill_us(&l->in)) {
        l->in.starved = false;
        events |= STK_RX;
    }
    if (l->out.starved && now_us >= refill_us(&l->out)) {
        l->out.starved = false;
        events |= STK_TX;
    }
    if (events != 0)
        stk_layer_raise(layer, events);
    arm(l);
}

static const struct stk_stream_type limit_type = {
    .size = sizeof(struct limit),
    .init = limit_init,
    .recv = limit_recv,
    .send = limit_send,
    .on_timer = limit_on_timer,
};

#define RATE_MAX (UINT64_C(1) << 40)

static const struct stk_option_type limit_options[] = {
    {"rate", STK_OPTION_RATE, 1, RATE_MAX, "bytes per second in each direction"},
    {"recv", STK_OPTION_RATE, 1, RATE_MAX, "bytes per second towards this program"},
    {"send", STK_OPTION_RATE, 1, RATE_MAX, "bytes per second away from it"},
    {"burst", STK_OPTION_SIZE, 1, 1 << 20, "bytes that may pass at once (64k)"},
    {0},
};

const struct stk_layer_type stk_layer_limit = {
    .name = "limit",
    .summary = "a rate limit for each direction",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .options = limit_options,
    .stream = &limit_type,
};
