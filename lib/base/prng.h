/*
 * Two kinds of random numbers: a small seeded generator for simulations and jitter
 * (xoshiro256**, never for secrets), and the kernel's for secrets.
 */
#ifndef STK_BASE_PRNG_H
#define STK_BASE_PRNG_H

#include <stddef.h>
#include <stdint.h>

struct stk_prng {
    uint64_t state[4];
};

void stk_prng_seed(struct stk_prng *prng, uint64_t seed);
uint64_t stk_prng_next(struct stk_prng *prng);
uint64_t stk_prng_below(struct stk_prng *prng,
                        uint64_t bound);     /* uniform in [0, bound), bound > 0 */
double stk_prng_unit(struct stk_prng *prng); /* uniform in [0, 1) */
void stk_prng_bytes(struct stk_prng *prng, void *out, size_t len);

/* Fills `out` from the kernel; aborts the process if the kernel has none to give. */
void stk_random_secret(void *out, size_t len);

#endif
