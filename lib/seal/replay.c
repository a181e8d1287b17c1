#include "replay.h"

#include <assert.h>
#include <stddef.h>

static unsigned word_of(uint64_t counter) { return counter / 64 % SEAL_REPLAY_WORDS; }
static uint64_t bit_of(uint64_t counter) { return UINT64_C(1) << counter % 64; }

bool seal_replay_is_fresh(const struct seal_replay *replay, uint64_t counter)
{
    if (counter >= replay->next)
        return true;
    const uint64_t age = replay->next - 1 - counter;
    if (!replay->ring)
        return age < SEAL_REPLAY_NARROW && !(replay->recent >> age & 1);
    return age < SEAL_REPLAY_WINDOW && !(replay->ring[word_of(counter)] & bit_of(counter));
}

bool seal_replay_is_recent(const struct seal_replay *replay, uint64_t counter, uint64_t later)
{
    const uint64_t age = counter < replay->next ? replay->next - 1 - counter : 0;

    return later < SEAL_REPLAY_WINDOW && age < SEAL_REPLAY_WINDOW - later;
}

/* Clears the words between the old top and the new one: they hold counters of a lap ago. */
static void advance(struct seal_replay *replay, uint64_t counter)
{
    const uint64_t top = replay->next ? (replay->next - 1) / 64 : 0;
    uint64_t steps = counter / 64 - top;

    if (steps > SEAL_REPLAY_WORDS)
        steps = SEAL_REPLAY_WORDS;
    for (uint64_t i = 0; i < steps; i++)
        replay->ring[(counter / 64 - i) % SEAL_REPLAY_WORDS] = 0;
    replay->next = counter + 1;
}

static void note_narrow(struct seal_replay *replay, uint64_t counter)
{
    if (counter >= replay->next) {
        const uint64_t steps = counter + 1 - replay->next;
        replay->recent = steps < SEAL_REPLAY_NARROW ? replay->recent << steps : 0;
        replay->next = counter + 1;
    }
    replay->recent |= UINT64_C(1) << (replay->next - 1 - counter);
}

void seal_replay_note(struct seal_replay *replay, uint64_t counter)
{
    assert(counter < UINT64_MAX);
    assert(seal_replay_is_fresh(replay, counter));

    if (!replay->ring) {
        note_narrow(replay, counter);
        return;
    }
    if (counter >= replay->next)
        advance(replay, counter);
    replay->ring[word_of(counter)] |= bit_of(counter);
}

void seal_replay_note_row(struct seal_replay *replay, uint64_t first, unsigned count)
{
    const uint64_t row = UINT64_MAX >> (64 - count), last = first + count - 1;

    assert(count >= 1 && count <= 64 && first >= replay->next && last < UINT64_MAX);
    if (!replay->ring) {
        note_narrow(replay, last);
        replay->recent |= row;
        return;
    }
    advance(replay, last);
    replay->ring[word_of(first)] |= row << first % 64;
    if (word_of(last) != word_of(first))
        replay->ring[word_of(last)] |= row >> (64 - first % 64);
}

void seal_replay_widen(struct seal_replay *replay, uint64_t ring[SEAL_REPLAY_WORDS])
{
    const uint64_t next = replay->next;

    assert(!replay->ring);
    replay->ring = ring;
    for (int i = 0; i < SEAL_REPLAY_WORDS; i++)
        ring[i] = UINT64_MAX;
    /* The newest counter's word holds none that are to come. */
    if (next == 0)
        ring[0] = 0;
    else if (next % 64)
        ring[word_of(next)] = bit_of(next) - 1;
    for (uint64_t age = 0; age < SEAL_REPLAY_NARROW && age < next; age++)
        if (!(replay->recent >> age & 1))
            ring[word_of(next - 1 - age)] &= ~bit_of(next - 1 - age);
}

void seal_replay_narrow(struct seal_replay *replay)
{
    uint64_t recent = 0;

    if (!replay->ring)
        return;
    for (uint64_t age = 0; age < SEAL_REPLAY_NARROW && age < replay->next; age++)
        if (!seal_replay_is_fresh(replay, replay->next - 1 - age))
            recent |= UINT64_C(1) << age;
    replay->recent = recent;
    replay->ring = NULL;
}
