#include "turns.h"

#include <assert.h>

void ptcp_turns_init(struct ptcp_turns *turns)
{
    *turns = (struct ptcp_turns){.quantum = PTCP_QUANTUM_BYTES};
    for (int i = 0; i < PTCP_PRIORITIES; i++) {
        stk_list_init(&turns->queues[i].waiting);
        stk_list_init(&turns->queues[i].asking);
    }
    stk_list_init(&turns->active);
}

void ptcp_turns_pace(struct ptcp_turns *turns, uint64_t bytes_per_s)
{
    const uint64_t one = PTCP_QUANTUM_BYTES * UINT64_C(1000000) / PTCP_QUANTUM_US;
    const uint64_t runs = bytes_per_s / one;

    turns->swift = runs > 1 || (turns->swift && bytes_per_s > one / PTCP_SWIFT_SHARE);
    turns->quantum = PTCP_QUANTUM_BYTES * (runs < 1                       ? 1
                                           : runs < PTCP_QUANTUM_RUNS_MAX ? (uint32_t)runs
                                                                          : PTCP_QUANTUM_RUNS_MAX);
}

void ptcp_turn_init(struct ptcp_turn *turn, uint8_t priority)
{
    assert(priority < PTCP_PRIORITIES);
    *turn = (struct ptcp_turn){.priority = priority};
    stk_list_init(&turn->node);
}

static bool holds_place(enum ptcp_turn_state state)
{
    return state == PTCP_TURN_WAITS || state == PTCP_TURN_INVITED;
}

/* Out of its list, and into that of the new state as the last one. */
static void move(struct ptcp_turns *turns, struct ptcp_turn *turn, enum ptcp_turn_state state)
{
    struct ptcp_turn_queue *queue = &turns->queues[turn->priority];
    const enum ptcp_turn_state before = turn->state;

    turns->count = turns->count - (before == PTCP_TURN_WAITS) + (state == PTCP_TURN_WAITS);
    turns->asked = turns->asked - (before == PTCP_TURN_ASKS) + (state == PTCP_TURN_ASKS);
    turns->busy = turns->busy - (before != PTCP_TURN_IDLE) + (state != PTCP_TURN_IDLE);
    queue->held = queue->held - holds_place(before) + holds_place(state);
    assert(turns->count + turns->asked <= turns->busy && queue->held <= turns->busy);
    stk_list_remove(&turn->node);
    if (state == PTCP_TURN_WAITS)
        stk_list_append(&queue->waiting, &turn->node);
    else if (state == PTCP_TURN_ASKS)
        stk_list_append(&queue->asking, &turn->node);
    turn->state = (uint8_t)state;
    turns->ended += before == PTCP_TURN_WAITS;
    if (state == PTCP_TURN_ASKS)
        turn->asked_at = turns->ended;
}

void ptcp_turns_join(struct ptcp_turns *turns, struct ptcp_turn *turn)
{
    if (turn->state == PTCP_TURN_WAITS)
        return;
    move(turns, turn, PTCP_TURN_WAITS);
    turn->credit = (int32_t)turns->quantum;
}

void ptcp_turns_leave(struct ptcp_turns *turns, struct ptcp_turn *turn)
{
    if (turn->state != PTCP_TURN_IDLE)
        move(turns, turn, PTCP_TURN_IDLE);
}

void ptcp_turns_ask(struct ptcp_turns *turns, struct ptcp_turn *turn)
{
    assert(!ptcp_turn_asks(turn));
    move(turns, turn, PTCP_TURN_ASKS);
}

static struct ptcp_turn *first_asking(const struct ptcp_turn_queue *queue)
{
    return stk_list_empty(&queue->asking)
               ? NULL
               : STK_CONTAINER(queue->asking.next, struct ptcp_turn, node);
}

static bool has_asked_for_long(const struct ptcp_turns *turns, const struct ptcp_turn *turn)
{
    return turns->ended - turn->asked_at > PTCP_ASKING_ROUNDS * turns->busy;
}

struct ptcp_turn *ptcp_turns_invite(struct ptcp_turns *turns, uint32_t places)
{
    uint32_t held = 0;

    for (int i = 0; i < PTCP_PRIORITIES && turns->asked > 0; i++) {
        struct ptcp_turn *turn = first_asking(&turns->queues[i]);

        if (held >= places)
            return NULL;
        held += turns->queues[i].held;
        if (turn && (held < places || has_asked_for_long(turns, turn))) {
            move(turns, turn, PTCP_TURN_INVITED);
            return turn;
        }
    }
    return NULL;
}

struct ptcp_turn *ptcp_turns_next(const struct ptcp_turns *turns)
{
    for (int i = 0; i < PTCP_PRIORITIES && turns->count > 0; i++)
        if (!stk_list_empty(&turns->queues[i].waiting))
            return STK_CONTAINER(turns->queues[i].waiting.next, struct ptcp_turn, node);
    return NULL;
}

bool ptcp_turns_is_next(const struct ptcp_turns *turns, const struct ptcp_turn *turn)
{
    const struct ptcp_turn *next = ptcp_turns_next(turns);

    return !next || next == turn || next->priority > turn->priority;
}

/* Too little for a run of its own, which costs as much as a full one. */
static bool is_used_up(const struct ptcp_turns *turns, const struct ptcp_turn *turn, uint32_t least)
{
    const uint32_t rest = turns->quantum > PTCP_QUANTUM_BYTES ? PTCP_QUANTUM_BYTES / 2 : least;

    return turn->credit < (int32_t)rest;
}

void ptcp_turns_spend(struct ptcp_turns *turns, struct ptcp_turn *turn, uint32_t bytes,
                      uint32_t least)
{
    assert(ptcp_turn_waits(turn) && bytes <= PTCP_QUANTUM_BYTES && least <= PTCP_QUANTUM_BYTES);
    turn->credit -= (int32_t)bytes;
    if (!is_used_up(turns, turn, least))
        return;
    /* Only debts are carried over: a packet's worth of credit would make a run of its own. */
    turn->credit = (turn->credit < 0 ? turn->credit : 0) + (int32_t)turns->quantum;
    move(turns, turn, PTCP_TURN_WAITS);
}

void ptcp_turns_change(struct ptcp_turns *turns, struct ptcp_turn *turn, uint8_t priority)
{
    const enum ptcp_turn_state state = turn->state;

    assert(priority < PTCP_PRIORITIES);
    ptcp_turns_leave(turns, turn);
    turn->priority = priority;
    if (state == PTCP_TURN_WAITS)
        turn->credit = (int32_t)turns->quantum;
    if (state != PTCP_TURN_IDLE)
        move(turns, turn, state);
}
