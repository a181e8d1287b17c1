/*
 * Which packet counters have been seen (RFC 6479's ring of words, so that the window never shifts).
 *
 * Counters may come in any order within SEAL_REPLAY_WINDOW of the highest one. Two steps, so that
 * a packet is looked up before the costly opening, and noted only after it proves genuine.
 */
#ifndef STK_SEAL_REPLAY_H
#define STK_SEAL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SEAL_REPLAY_WORDS = 64,
    /* One word of the ring is always being cleared for what comes next. */
    SEAL_REPLAY_WINDOW = (SEAL_REPLAY_WORDS - 1) * 64,
};

struct seal_replay {
    uint64_t next; /* one more than the highest counter noted; 0: none yet */
    uint64_t words[SEAL_REPLAY_WORDS];
};

/* True if the counter is new and not too old. */
bool seal_replay_is_fresh(const struct seal_replay *replay, uint64_t counter);
/* The counter must be fresh, and below UINT64_MAX. */
void seal_replay_note(struct seal_replay *replay, uint64_t counter);

#endif
