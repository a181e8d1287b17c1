/*
 * Timers stand in a pairing heap, ordered by (key_us, key_sequence). A timer that moves to a later
 * time stays where it is; when it comes to the top before its time it is queued anew. A timer that
 * is postponed with each packet therefore costs a store, not a walk through the heap.
 */
#include "loop.h"

#include <assert.h>

static bool before(const struct stk_timer *a, const struct stk_timer *b)
{
    if (a->key_us != b->key_us)
        return a->key_us < b->key_us;
    return a->key_sequence < b->key_sequence;
}

/* Both are roots; the earlier one becomes the parent of the other. */
static struct stk_timer *meld(struct stk_timer *a, struct stk_timer *b)
{
    struct stk_timer *parent = before(a, b) ? a : b;
    struct stk_timer *child = parent == a ? b : a;

    child->prev = parent;
    child->next = parent->child;
    if (child->next)
        child->next->prev = child;
    parent->child = child;
    return parent;
}

static struct stk_timer *detach_first(struct stk_timer **list)
{
    struct stk_timer *first = *list;

    *list = first->next;
    first->next = first->prev = NULL;
    return first;
}

/* Pairs from left to right, then melds the pairs from right to left. No recursion: lists are long.
 */
static struct stk_timer *meld_children(struct stk_timer *list)
{
    struct stk_timer *pairs = NULL, *root;

    while (list) {
        struct stk_timer *pair = detach_first(&list);

        if (list)
            pair = meld(pair, detach_first(&list));
        pair->next = pairs;
        pairs = pair;
    }
    if (!pairs)
        return NULL;
    root = detach_first(&pairs);
    while (pairs)
        root = meld(root, detach_first(&pairs));
    return root;
}

static void heap_insert(struct stk_loop *loop, struct stk_timer *timer)
{
    struct stk_timer *root = loop->timers.root;

    timer->key_us = timer->due_us;
    timer->key_sequence = timer->sequence;
    timer->child = timer->next = timer->prev = NULL;
    loop->timers.root = root ? meld(root, timer) : timer;
}

static void unlink_from_siblings(struct stk_timer *timer)
{
    if (timer->prev->child == timer)
        timer->prev->child = timer->next;
    else
        timer->prev->next = timer->next;
    if (timer->next)
        timer->next->prev = timer->prev;
}

static void heap_remove(struct stk_loop *loop, struct stk_timer *timer)
{
    struct stk_timer *orphans = meld_children(timer->child);

    timer->child = NULL;
    if (timer == loop->timers.root) {
        loop->timers.root = orphans;
    } else {
        unlink_from_siblings(timer);
        if (orphans)
            loop->timers.root = meld(loop->timers.root, orphans);
    }
    timer->next = timer->prev = NULL;
}

void stk_timer_init(struct stk_timer *timer, struct stk_loop *loop, stk_timer_fn *fn)
{
    *timer = (struct stk_timer){.fn = fn, .loop = loop};
}

void stk_timer_at(struct stk_timer *timer, uint64_t due_us)
{
    struct stk_loop *loop = timer->loop;
    const uint64_t now_us = stk_loop_now_us(loop);

    /* A time in the past must not overtake those that have been due for longer. */
    timer->due_us = due_us > now_us ? due_us : now_us;
    timer->sequence = ++loop->timers.sequence;
    if (timer->armed && timer->due_us >= timer->key_us)
        return;
    if (timer->armed)
        heap_remove(loop, timer);
    timer->armed = true;
    heap_insert(loop, timer);
}

void stk_timer_in(struct stk_timer *timer, uint64_t delay_us)
{
    const uint64_t now_us = stk_loop_now_us(timer->loop);

    stk_timer_at(timer, delay_us < UINT64_MAX - now_us ? now_us + delay_us : UINT64_MAX);
}

void stk_timer_stop(struct stk_timer *timer)
{
    if (!timer->armed)
        return;
    heap_remove(timer->loop, timer);
    timer->armed = false;
}

/* The timer that is really the first: postponed ones are queued anew on the way. */
static struct stk_timer *first(struct stk_loop *loop)
{
    struct stk_timer *top = loop->timers.root;

    while (top && top->key_sequence != top->sequence) {
        heap_remove(loop, top);
        heap_insert(loop, top);
        top = loop->timers.root;
    }
    return top;
}

bool reactor_next_timer(struct stk_loop *loop, uint64_t *due_us)
{
    const struct stk_timer *top = first(loop);

    if (top)
        *due_us = top->due_us;
    return top != NULL;
}

unsigned reactor_run_timers(struct stk_loop *loop)
{
    const uint64_t now_us = loop->now_us;
    const uint64_t last_sequence = loop->timers.sequence;
    unsigned count = 0;

    for (; count < REACTOR_TIMERS_PER_TURN; count++) {
        struct stk_timer *top = first(loop);

        /* One that was armed by these callbacks waits for the next turn, as do all behind it. */
        if (!top || top->due_us > now_us || top->sequence > last_sequence)
            break;
        stk_timer_stop(top);
        top->fn(top);
    }
    return count;
}
