/*
 * Signal dispositions belong to the process, loops to their threads. The handler walks a list of
 * the loops' sinks, marks the signal as pending and wakes the loop. It takes no lock; a sink is
 * unlinked first and forgotten only when no handler can be looking at it any more.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>

enum { SIGNAL_MAX = 64 };

static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    unsigned watchers;
    struct sigaction former;
} table[SIGNAL_MAX + 1];

static _Atomic(struct reactor_sink *) sinks;
static atomic_uint handlers_running;

static uint64_t bit_of(int signo) { return UINT64_C(1) << (signo - 1); }

static void handle(int signo)
{
    struct reactor_sink *sink;

    atomic_fetch_add(&handlers_running, 1);
    for (sink = atomic_load(&sinks); sink; sink = atomic_load(&sink->next)) {
        if (!(atomic_load(&sink->wanted) & bit_of(signo)))
            continue;
        atomic_fetch_or(&sink->pending, bit_of(signo));
        stk_loop_wake(sink->loop);
    }
    atomic_fetch_sub(&handlers_running, 1);
}

static void link_sink(struct reactor_sink *sink)
{
    if (sink->linked)
        return;
    atomic_store(&sink->next, atomic_load(&sinks));
    atomic_store(&sinks, sink);
    sink->linked = true;
}

/* Signals are blocked in this thread, so no handler below this frame can be the one waited for. */
static void wait_for_handlers(void)
{
    sigset_t all, former;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    while (atomic_load(&handlers_running) > 0)
        sched_yield();
    pthread_sigmask(SIG_SETMASK, &former, NULL);
}

static void unlink_sink(struct reactor_sink *sink)
{
    _Atomic(struct reactor_sink *) *place = &sinks;

    while (atomic_load(place) != sink)
        place = &atomic_load(place)->next;
    atomic_store(place, atomic_load(&sink->next));
    sink->linked = false;
    wait_for_handlers();
    atomic_store(&sink->pending, 0);
}

static int install(int signo)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};

    if (table[signo].watchers > 0)
        return 0;
    sigfillset(&action.sa_mask);
    return sigaction(signo, &action, &table[signo].former) < 0 ? -errno : 0;
}

static int start_locked(struct stk_signal *signal)
{
    struct reactor_sink *sink = &signal->loop->sink;
    const bool was_linked = sink->linked;
    int result;

    /* The sink comes first: from the first signal that is caught, none is lost. */
    link_sink(sink);
    atomic_fetch_or(&sink->wanted, bit_of(signal->signo));
    result = install(signal->signo);
    if (result == 0) {
        table[signal->signo].watchers++;
        return 0;
    }
    atomic_fetch_and(&sink->wanted, ~bit_of(signal->signo));
    if (!was_linked)
        unlink_sink(sink);
    return result;
}

int stk_signal_start(struct stk_signal *signal, struct stk_loop *loop, int signo, stk_signal_fn *fn)
{
    int result;

    *signal = (struct stk_signal){.fn = fn, .loop = loop, .signo = signo};
    stk_list_init(&signal->node);
    if (signo < 1 || signo > SIGNAL_MAX)
        return -EINVAL;
    pthread_mutex_lock(&table_mutex);
    result = start_locked(signal);
    pthread_mutex_unlock(&table_mutex);
    if (result == 0)
        stk_list_append(&loop->signals, &signal->node);
    return result;
}

static bool lists(const struct stk_node *list, int signo)
{
    STK_LIST_EACH(node, list)
    if (STK_CONTAINER(node, struct stk_signal, node)->signo == signo)
        return true;
    return false;
}

static bool loop_wants(const struct stk_loop *loop, int signo)
{
    return lists(&loop->signals, signo) || lists(&loop->signals_to_call, signo);
}

static void stop_locked(struct stk_loop *loop, int signo)
{
    assert(table[signo].watchers > 0);
    if (--table[signo].watchers == 0)
        sigaction(signo, &table[signo].former, NULL);
    if (!loop_wants(loop, signo))
        atomic_fetch_and(&loop->sink.wanted, ~bit_of(signo));
    if (stk_list_empty(&loop->signals) && stk_list_empty(&loop->signals_to_call))
        unlink_sink(&loop->sink);
}

void stk_signal_stop(struct stk_signal *signal)
{
    if (stk_list_empty(&signal->node))
        return;
    stk_list_remove(&signal->node);
    pthread_mutex_lock(&table_mutex);
    stop_locked(signal->loop, signal->signo);
    pthread_mutex_unlock(&table_mutex);
}

void reactor_signal_pretend(struct stk_loop *loop, int signo)
{
    atomic_fetch_or(&loop->sink.pending, bit_of(signo));
    stk_loop_wake(loop);
}

/*
 * Each watcher goes back to the loop's list before it is called: it may stop itself or any other
 * one, and one that is started meanwhile waits for the next signal.
 */
unsigned reactor_run_signals(struct stk_loop *loop)
{
    const uint64_t pending = atomic_exchange(&loop->sink.pending, 0);
    struct stk_node *const batch = &loop->signals_to_call, *node;
    unsigned count = 0;

    if (!pending)
        return 0;
    while ((node = stk_list_pop(&loop->signals)) != NULL)
        stk_list_append(batch, node);
    while ((node = stk_list_pop(batch)) != NULL) {
        struct stk_signal *signal = STK_CONTAINER(node, struct stk_signal, node);

        stk_list_append(&loop->signals, node);
        if (!(pending & bit_of(signal->signo)))
            continue;
        signal->fn(signal, signal->signo);
        count++;
    }
    return count;
}
