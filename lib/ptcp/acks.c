#include "acks.h"

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

void ptcp_acks_init(struct ptcp_acks *acks)
{
    *acks = (struct ptcp_acks){
        .due_us = UINT64_MAX, .max_delay_us = PTCP_ACK_DELAY_US, .every = PTCP_ACK_PACKETS};
    ptcp_ranges_init(&acks->received, PTCP_ACK_RANGES_MAX);
}

void ptcp_acks_free(struct ptcp_acks *acks) { ptcp_ranges_free(&acks->received); }

uint64_t ptcp_acks_expected(const struct ptcp_acks *acks)
{
    const uint32_t count = acks->received.count;

    return count ? ptcp_ranges_at(&acks->received, count - 1)->end : acks->floor;
}

bool ptcp_acks_is_new(const struct ptcp_acks *acks, uint64_t packet)
{
    return packet >= ptcp_acks_expected(acks) ||
           (packet >= acks->floor && !ptcp_ranges_contains(&acks->received, packet));
}

static void drop_lowest(struct ptcp_acks *acks)
{
    const uint64_t end = ptcp_ranges_at(&acks->received, 0)->end;

    /* One that came late may lie below those that went before: seen is seen. */
    if (acks->floor < end)
        acks->floor = end;
    ptcp_ranges_drop_lowest(&acks->received);
}

static void remember(struct ptcp_acks *acks, uint64_t packet, uint32_t count)
{
    /* Without room the oldest interval goes: its packets count as seen, and are never told again.
     */
    while (ptcp_ranges_add(&acks->received, packet, packet + count) < 0) {
        drop_lowest(acks);
        acks->cut = true;
    }
}

static void count_ecn(struct ptcp_acks *acks, unsigned ecn, uint32_t count)
{
    /* Code points on the wire: 2 is ECT(0), 1 is ECT(1), 3 is CE. */
    if (ecn == 2)
        acks->ecn[0] += count;
    else if (ecn == 1)
        acks->ecn[1] += count;
    else if (ecn == 3)
        acks->ecn[2] += count;
}

void ptcp_acks_take(struct ptcp_acks *acks, uint64_t packet, uint32_t count, uint64_t now_us,
                    bool eliciting, unsigned ecn)
{
    const uint64_t expected = ptcp_acks_expected(acks);
    const bool in_order = packet == expected;

    if (packet + count > expected)
        acks->newest_us = now_us;
    remember(acks, packet, count);
    count_ecn(acks, ecn, count);
    if (!eliciting)
        return;
    acks->waiting += count;
    if (acks->waiting >= acks->every || !in_order || ecn == 3)
        ptcp_acks_hurry(acks, now_us);
    else if (acks->due_us == UINT64_MAX)
        acks->due_us = now_us + acks->max_delay_us;
}

void ptcp_acks_hurry(struct ptcp_acks *acks, uint64_t now_us)
{
    if (ptcp_acks_any(acks) && acks->due_us > now_us)
        acks->due_us = now_us;
}

void ptcp_acks_later(struct ptcp_acks *acks, uint64_t now_us)
{
    acks->waiting++;
    if (acks->due_us > now_us + PTCP_ACK_LATER_US)
        acks->due_us = now_us + PTCP_ACK_LATER_US;
}

void ptcp_acks_sent(struct ptcp_acks *acks, uint32_t intervals)
{
    acks->cut |= intervals < acks->received.count;
    acks->due_us = UINT64_MAX;
    acks->waiting = 0;
}

void ptcp_acks_confirmed(struct ptcp_acks *acks, uint64_t largest)
{
    if (acks->known <= largest)
        acks->known = largest + 1;
    /* The interval around `largest` stays, so that what comes next still has its neighbour. */
    while (acks->received.count > 1 && ptcp_ranges_at(&acks->received, 0)->end <= largest)
        drop_lowest(acks);
}

void ptcp_acks_frequency(struct ptcp_acks *acks, uint64_t sequence, uint64_t packets,
                         uint64_t delay_us)
{
    if (sequence < acks->frequency_sequence)
        return;
    acks->frequency_sequence = sequence + 1;
    acks->every = (uint32_t)clamp(packets, 1, PTCP_ACK_PACKETS_MAX);
    acks->max_delay_us = clamp(delay_us, 1000, PTCP_ACK_DELAY_MAX_US);
}
