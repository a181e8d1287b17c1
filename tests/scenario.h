/*
 * A seeded run: one number draws the network, the stack and what is moved, and says how it ended.
 */
#ifndef STK_TESTS_SCENARIO_H
#define STK_TESTS_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

enum { SCENARIO_TEXT_MAX = 1024 };

struct scenario_result {
    bool passed;
    bool repeatable; /* its hash must be the same each time: the stack draws from the loop only */
    uint64_t hash, events, elapsed_us, bytes;
    char text[SCENARIO_TEXT_MAX]; /* what was drawn, and what went wrong */
};

/* `verbose` prints every event. */
void scenario_run(uint64_t seed, bool verbose, struct scenario_result *result);

#endif
