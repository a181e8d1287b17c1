#include "prng.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t rotate_left(uint64_t v, int bits) { return v << bits | v >> (64 - bits); }

/* splitmix64 spreads a seed over the state, so that neighbouring seeds have nothing in common. */
static uint64_t spread(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void stk_prng_seed(struct stk_prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        prng->state[i] = spread(&seed);
}

uint64_t stk_prng_next(struct stk_prng *prng)
{
    uint64_t *s = prng->state;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t stk_prng_below(struct stk_prng *prng, uint64_t bound)
{
    uint64_t skip, value;

    assert(bound > 0);
    /* Without the lowest 2^64 mod bound values, each remainder is equally likely. */
    skip = -bound % bound;
    do
        value = stk_prng_next(prng);
    while (value < skip);
    return value % bound;
}

double stk_prng_unit(struct stk_prng *prng)
{
    return (double)(stk_prng_next(prng) >> 11) * 0x1p-53;
}

void stk_prng_bytes(struct stk_prng *prng, void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        const uint64_t word = stk_prng_next(prng);
        const size_t part = len < sizeof word ? len : sizeof word;

        /* Byte by byte: the same seed gives the same bytes on every machine. */
        for (size_t i = 0; i < part; i++)
            at[i] = (uint8_t)(word >> (8 * i));
        at += part;
        len -= part;
    }
}

void stk_random_secret(void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        const ssize_t got = getrandom(at, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        at += got;
        len -= (size_t)got;
    }
}
