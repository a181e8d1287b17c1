/*
 * Which packet counters have been seen (RFC 6479's ring of words, so that the window never shifts).
 *
 * Counters may come in any order within SEAL_REPLAY_WINDOW of the highest one while the ring is
 * there; the caller lends it while packets flow and takes it back when they have ceased. Without
 * it the window is SEAL_REPLAY_NARROW: what had been on its way for that long is lost, and nothing
 * that was seen is ever taken again.
 *
 * Two steps, so that a packet is looked up before the costly opening, and noted only after it
 * proves genuine.
 */
#ifndef STK_SEAL_REPLAY_H
#define STK_SEAL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SEAL_REPLAY_WORDS = 64,
    /* One word of the ring is always being cleared for what comes next. */
    SEAL_REPLAY_WINDOW = (SEAL_REPLAY_WORDS - 1) * 64,
    SEAL_REPLAY_NARROW = 64,
};

struct seal_replay {
    uint64_t next;   /* one more than the highest counter noted; 0: none yet */
    uint64_t recent; /* without the ring: bit i is counter next - 1 - i */
    uint64_t *ring;  /* SEAL_REPLAY_WORDS; NULL: the window is narrow */
};

/* True if the counter is new and not too old. */
bool seal_replay_is_fresh(const struct seal_replay *replay, uint64_t counter);
/*
 * True if less than SEAL_REPLAY_WINDOW packets are known that were sent after this one, where
 * `later` were sent after all that the counters are of.
 */
bool seal_replay_is_recent(const struct seal_replay *replay, uint64_t counter, uint64_t later);
/* The counter must be fresh, and below UINT64_MAX. */
void seal_replay_note(struct seal_replay *replay, uint64_t counter);
/* `count` of them, 1 to 64, beginning with one that is not below `replay->next`. */
void seal_replay_note_row(struct seal_replay *replay, uint64_t first, unsigned count);
/* The ring is the caller's; what is older than the narrow window counts as seen. */
void seal_replay_widen(struct seal_replay *replay, uint64_t ring[SEAL_REPLAY_WORDS]);
/* The ring is not used any more. */
void seal_replay_narrow(struct seal_replay *replay);

#endif
