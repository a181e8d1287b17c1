/*
 * The chaos layer: makes a stream behave as badly as the contract allows, from a seed. For tests of
 * the layers above and below it, and of protocols.
 *
 * It says AGAIN without need, moves bytes in tiny pieces, raises events late and twice as often; it
 * never loses or changes a byte unless told to with fail= or corrupt=.
 */
#include "clip.h"
#include "iov.h"
#include "layer.h"
#include "wrappers.h"

enum { PIECES_MAX = 1 << 30 };

struct chaos {
    struct stk_layer layer;
    struct stk_prng prng;
    uint64_t again_ppm, corrupt_ppm, chunk, delay_us;
    uint64_t fail_after; /* bytes in both directions; UINT64_MAX: never */
    uint64_t bytes;
    unsigned owed; /* events to raise when the timer fires */
    int failure;   /* fail= was reached */
};

static struct chaos *chaos_of(struct stk_layer *layer) { return (struct chaos *)layer; }

static int chaos_init(struct stk_layer *layer)
{
    struct chaos *c = chaos_of(layer);
    const struct stk_segment *s = layer->segment;

    stk_prng_seed(&c->prng, stk_segment_number(s, "seed", 1) +
                                (stk_layer_is_listening(layer) ? 1u << 31 : 0));
    c->again_ppm = stk_segment_number(s, "again", 500000);
    c->corrupt_ppm = stk_segment_number(s, "corrupt", 0);
    c->chunk = stk_segment_number(s, "chunk", 0);
    c->delay_us = stk_segment_number(s, "delay", 0);
    c->fail_after = stk_segment_number(s, "fail", UINT64_MAX);
    return 0;
}

static bool chance(struct chaos *c, uint64_t ppm)
{
    return ppm > 0 && stk_prng_below(&c->prng, 1000000) < ppm;
}

static void owe(struct chaos *c, unsigned events)
{
    const uint64_t delay_us = c->delay_us > 0 ? stk_prng_below(&c->prng, c->delay_us + 1) : 0;

    c->owed |= events;
    if (!stk_timer_armed(c->layer.timer))
        stk_layer_set_timer(&c->layer, stk_loop_now_us(stk_layer_loop(&c->layer)) + delay_us);
}

static uint64_t piece(struct chaos *c)
{
    const uint64_t most = c->chunk > 0 ? c->chunk : 1 + stk_prng_below(&c->prng, 4096);
    const uint64_t len = 1 + stk_prng_below(&c->prng, most);
    const uint64_t left = c->fail_after - c->bytes;

    return len < left ? len : left;
}

static int fail_now(struct chaos *c)
{
    if (c->failure != 0)
        return c->failure;
    return c->failure =
               stk_layer_fail(&c->layer, -ECONNRESET, "chaos: failing after %llu bytes, as asked",
                              (unsigned long long)c->bytes);
}

static long chaos_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct chaos *c = chaos_of(layer);
    struct iovec clipped[CLIP_MAX];
    int used;

    if (c->bytes >= c->fail_after)
        return fail_now(c);
    if (chance(c, c->again_ppm)) {
        owe(c, STK_RX);
        return STK_AGAIN;
    }
    clip_iov(clipped, iov, count, piece(c), &used);
    const long got = stk_layer_recv_below(layer, clipped, used);
    if (got > 0) {
        c->bytes += (uint64_t)got;
        if (chance(c, c->corrupt_ppm))
            *(uint8_t *)clipped[0].iov_base ^= 1;
    }
    return got;
}

static long chaos_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    struct chaos *c = chaos_of(layer);
    const size_t all = stk_iov_bytes(iov, count);
    struct iovec clipped[CLIP_MAX];
    int used;

    if (c->bytes >= c->fail_after)
        return fail_now(c);
    if (chance(c, c->again_ppm)) {
        owe(c, STK_TX);
        return STK_AGAIN;
    }
    const size_t want = clip_iov(clipped, iov, count, piece(c), &used);
    const long sent =
        stk_layer_send_below(layer, clipped, used, want < all ? flags & ~(unsigned)STK_FIN : flags);
    if (sent > 0)
        c->bytes += (uint64_t)sent;
    if (sent == (long)want && want < all)
        owe(c, STK_TX);
    return sent;
}

static void chaos_on_timer(struct stk_layer *layer)
{
    struct chaos *c = chaos_of(layer);
    const unsigned events = c->owed;

    c->owed = 0;
    if (events != 0)
        stk_layer_raise(layer, events);
}

static const struct stk_stream_type chaos_type = {
    .size = sizeof(struct chaos),
    .init = chaos_init,
    .recv = chaos_recv,
    .send = chaos_send,
    .on_timer = chaos_on_timer,
};

static const struct stk_option_type chaos_options[] = {
    {"seed", STK_OPTION_NUMBER, 0, 0, "another seed is another fate (1)"},
    {"again", STK_OPTION_PERCENT, 0, 990000, "percentage of calls that are told AGAIN (50)"},
    {"chunk", STK_OPTION_SIZE, 1, PIECES_MAX,
     "bytes that a call moves at most (random up to 4096)"},
    {"delay", STK_OPTION_DURATION, 0, 60000000, "how late events may come (0)"},
    {"fail", STK_OPTION_SIZE, 0, UINT64_C(1) << 60, "fails after so many bytes (never)"},
    {"corrupt", STK_OPTION_PERCENT, 0, 1000000, "percentage of reads with a flipped bit (0)"},
    {0},
};

const struct stk_layer_type stk_layer_chaos = {
    .name = "chaos",
    .summary = "behaves as badly as it may, from a seed: for tests",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .options = chaos_options,
    .stream = &chaos_type,
};
