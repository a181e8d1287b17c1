#include "turns.h"

#include <assert.h>

void ptcp_turns_init(struct ptcp_turns *turns)
{
    *turns = (struct ptcp_turns){0};
    for (int i = 0; i < PTCP_PRIORITIES; i++)
        stk_list_init(&turns->waiting[i]);
    stk_list_init(&turns->active);
}

void ptcp_turn_init(struct ptcp_turn *turn, uint8_t priority)
{
    assert(priority < PTCP_PRIORITIES);
    *turn = (struct ptcp_turn){.priority = priority};
    stk_list_init(&turn->node);
}

void ptcp_turns_join(struct ptcp_turns *turns, struct ptcp_turn *turn)
{
    if (ptcp_turn_waits(turn))
        return;
    stk_list_append(&turns->waiting[turn->priority], &turn->node);
    turn->credit = PTCP_QUANTUM_BYTES;
    turns->count++;
}

void ptcp_turns_leave(struct ptcp_turns *turns, struct ptcp_turn *turn)
{
    if (!ptcp_turn_waits(turn))
        return;
    assert(turns->count > 0);
    stk_list_remove(&turn->node);
    turns->count--;
}

struct ptcp_turn *ptcp_turns_next(const struct ptcp_turns *turns)
{
    for (int i = 0; i < PTCP_PRIORITIES && turns->count > 0; i++)
        if (!stk_list_empty(&turns->waiting[i]))
            return STK_CONTAINER(turns->waiting[i].next, struct ptcp_turn, node);
    return NULL;
}

bool ptcp_turns_is_next(const struct ptcp_turns *turns, const struct ptcp_turn *turn)
{
    const struct ptcp_turn *next = ptcp_turns_next(turns);

    return !next || next == turn || next->priority > turn->priority;
}

void ptcp_turns_spend(struct ptcp_turns *turns, struct ptcp_turn *turn, uint32_t bytes,
                      uint32_t least)
{
    assert(ptcp_turn_waits(turn) && bytes <= PTCP_QUANTUM_BYTES && least <= PTCP_QUANTUM_BYTES);
    turn->credit -= (int32_t)bytes;
    if (turn->credit >= (int32_t)least)
        return;
    /* Only debts are carried over: a packet's worth of credit would make a run of its own. */
    turn->credit = (turn->credit < 0 ? turn->credit : 0) + PTCP_QUANTUM_BYTES;
    stk_list_remove(&turn->node);
    stk_list_append(&turns->waiting[turn->priority], &turn->node);
}

void ptcp_turns_change(struct ptcp_turns *turns, struct ptcp_turn *turn, uint8_t priority)
{
    const bool waits = ptcp_turn_waits(turn);

    assert(priority < PTCP_PRIORITIES);
    ptcp_turns_leave(turns, turn);
    turn->priority = priority;
    if (waits)
        ptcp_turns_join(turns, turn);
}
