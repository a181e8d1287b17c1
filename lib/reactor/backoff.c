#include "loop.h"

#include <assert.h>
#include <errno.h>

/* Resting again costs nothing, so a watch that can't be set now is tried again later. */
static void wake_up(struct stk_backoff *backoff)
{
    stk_list_remove(&backoff->node);
    stk_timer_stop(&backoff->timer);
    if (stk_watch_set(backoff->watch, backoff->events) == 0)
        return;
    stk_list_append(&backoff->watch->loop->backoffs, &backoff->node);
    stk_timer_in(&backoff->timer, backoff->rest_us);
}

static void on_timer(struct stk_timer *timer)
{
    wake_up(STK_CONTAINER(timer, struct stk_backoff, timer));
}

void stk_backoff_init(struct stk_backoff *backoff, struct stk_watch *watch)
{
    *backoff = (struct stk_backoff){
        .watch = watch,
        .first_us = STK_BACKOFF_FIRST_US,
        .longest_us = STK_BACKOFF_LONGEST_US,
    };
    stk_timer_init(&backoff->timer, watch->loop, on_timer);
    stk_list_init(&backoff->node);
}

static bool is_shortage(int result)
{
    return result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM;
}

static uint64_t next_rest_us(const struct stk_backoff *backoff)
{
    const uint64_t doubled_us = backoff->rest_us ? 2 * backoff->rest_us : backoff->first_us;

    return doubled_us < backoff->longest_us ? doubled_us : backoff->longest_us;
}

static void rest(struct stk_backoff *backoff)
{
    backoff->rest_us = next_rest_us(backoff);
    backoff->events = backoff->watch->events;
    stk_watch_set(backoff->watch, 0);
    stk_list_append(&backoff->watch->loop->backoffs, &backoff->node);
    stk_timer_in(&backoff->timer, backoff->rest_us);
}

bool stk_backoff_rests(struct stk_backoff *backoff, int result)
{
    if (result >= 0)
        backoff->rest_us = 0;
    if (!is_shortage(result))
        return false;
    if (stk_list_empty(&backoff->node))
        rest(backoff);
    return true;
}

void stk_backoff_stop(struct stk_backoff *backoff)
{
    stk_list_remove(&backoff->node);
    stk_timer_stop(&backoff->timer);
}

int stk_loop_close_fd(struct stk_loop *loop, int fd)
{
    const int result = stk_sys.close(fd) < 0 ? -errno : 0;
    struct stk_node woken, *node;

    /* One that can't wake up goes back to the loop's list, so that list is taken as a whole. */
    stk_list_init(&woken);
    while ((node = stk_list_pop(&loop->backoffs)) != NULL)
        stk_list_append(&woken, node);
    while ((node = stk_list_pop(&woken)) != NULL)
        wake_up(STK_CONTAINER(node, struct stk_backoff, node));
    return result;
}
