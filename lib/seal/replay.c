#include "replay.h"

#include <assert.h>

static unsigned word_of(uint64_t counter) { return counter / 64 % SEAL_REPLAY_WORDS; }
static uint64_t bit_of(uint64_t counter) { return UINT64_C(1) << counter % 64; }

bool seal_replay_is_fresh(const struct seal_replay *replay, uint64_t counter)
{
    if (counter >= replay->next)
        return true;
    if (replay->next - counter > SEAL_REPLAY_WINDOW)
        return false;
    return !(replay->words[word_of(counter)] & bit_of(counter));
}

/* Clears the words between the old top and the new one: they hold counters of a lap ago. */
static void advance(struct seal_replay *replay, uint64_t counter)
{
    const uint64_t top = replay->next ? (replay->next - 1) / 64 : 0;
    uint64_t steps = counter / 64 - top;

    if (steps > SEAL_REPLAY_WORDS)
        steps = SEAL_REPLAY_WORDS;
    for (uint64_t i = 0; i < steps; i++)
        replay->words[(counter / 64 - i) % SEAL_REPLAY_WORDS] = 0;
    replay->next = counter + 1;
}

void seal_replay_note(struct seal_replay *replay, uint64_t counter)
{
    assert(counter < UINT64_MAX);
    assert(seal_replay_is_fresh(replay, counter));

    if (counter >= replay->next)
        advance(replay, counter);
    replay->words[word_of(counter)] |= bit_of(counter);
}
