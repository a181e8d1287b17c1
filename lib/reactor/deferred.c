#include "steps.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/*
 * WAITING: for the producer. RUNNING: a step is on the stack. PAUSED: a step returned a deferred.
 * RESTING: all steps so far have run, and another one would run at once.
 */
enum state { WAITING, RUNNING, PAUSED, RESTING };

struct stk_deferred {
    struct stk_loop *loop;
    unsigned references;
    enum state state;
    bool canceling; /* the cancel function is on the stack */
    bool ignoring;  /* canceled before a producer that does not know it fires */
    bool timed_out;
    void (*cancel)(struct stk_deferred *, void *user);
    void *user;
    struct stk_outcome outcome;
    struct stk_node steps;
    struct reactor_step out_of_memory; /* stands in for the first step that had no memory */
    struct stk_deferred *pauses_for;   /* whose result this chain needs */
    struct stk_deferred *resumes;      /* whose chain needs this result */
    struct stk_timer timer;
};

static const unsigned allowed_moves[] = {
    [WAITING] = 1U << RUNNING,
    [RUNNING] = 1U << PAUSED | 1U << RESTING,
    [PAUSED] = 1U << RUNNING,
    [RESTING] = 1U << RUNNING,
};

static void move_to(struct stk_deferred *deferred, enum state state)
{
    assert(allowed_moves[deferred->state] & 1U << state);
    deferred->state = state;
}

/* --- Outcomes ---------------------------------------------------------------------------- */

struct stk_outcome stk_outcome_value(void *value, void (*destroy)(void *))
{
    return (struct stk_outcome){.value = value, .destroy = destroy};
}

struct stk_outcome stk_outcome_error(int code, const char *layer, const char *format, ...)
{
    struct stk_outcome outcome = {.code = code};
    char text[STK_ERROR_TEXT_MAX];
    va_list arguments;

    assert(code < 0);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    stk_error_set(&outcome.error, code, layer, "%s", text);
    return outcome;
}

struct stk_outcome stk_outcome_wait(struct stk_deferred *deferred)
{
    return (struct stk_outcome){.wait = deferred};
}

void stk_outcome_drop(struct stk_outcome *outcome)
{
    if (outcome->destroy && outcome->value)
        outcome->destroy(outcome->value);
    if (outcome->wait)
        stk_deferred_unref(outcome->wait);
    *outcome = (struct stk_outcome){.code = 0};
}

static struct stk_outcome outcome_of(const struct stk_error *error)
{
    assert(error->code < 0);
    return (struct stk_outcome){.code = error->code, .error = *error};
}

/* --- Life and death ---------------------------------------------------------------------- */

static void on_timer(struct stk_timer *timer)
{
    struct stk_deferred *deferred = STK_CONTAINER(timer, struct stk_deferred, timer);

    deferred->timed_out = true;
    stk_deferred_cancel(deferred);
}

struct stk_deferred *stk_deferred_new(struct stk_loop *loop,
                                      void (*cancel)(struct stk_deferred *, void *user), void *user)
{
    struct stk_deferred *deferred = stk_alloc_zero(sizeof *deferred);

    if (!deferred)
        return NULL;
    deferred->loop = loop;
    deferred->references = 2;
    deferred->cancel = cancel;
    deferred->user = user;
    stk_list_init(&deferred->steps);
    stk_list_init(&deferred->out_of_memory.node);
    stk_timer_init(&deferred->timer, loop, on_timer);
    return deferred;
}

struct stk_deferred *stk_deferred_ref(struct stk_deferred *deferred)
{
    deferred->references++;
    return deferred;
}

/* An error that no errback saw must not vanish without a word. */
static void report_unhandled(const struct stk_outcome *outcome)
{
    if (outcome->code < 0 && outcome->code != -ECANCELED)
        stk_log(STK_LOG_WARN, "reactor", "nobody handles the error of a deferred: %s: %s",
                stk_strerror(outcome->code), outcome->error.text);
}

void stk_deferred_unref(struct stk_deferred *deferred)
{
    assert(deferred->references > 0);
    if (--deferred->references > 0)
        return;
    assert(deferred->state == RESTING && stk_list_empty(&deferred->steps));
    assert(!stk_timer_armed(&deferred->timer));
    report_unhandled(&deferred->outcome);
    stk_outcome_drop(&deferred->outcome);
    stk_free(deferred);
}

/* --- Running ----------------------------------------------------------------------------- */

static void set_outcome(struct stk_deferred *deferred, struct stk_outcome outcome)
{
    deferred->outcome = outcome;
    deferred->outcome.error.code = outcome.code;
    if (!deferred->timed_out || outcome.code != -ECANCELED)
        return;
    deferred->timed_out = false;
    deferred->outcome = stk_outcome_error(-ETIMEDOUT, outcome.error.layer, "timed out");
}

static void run_step(struct stk_deferred *deferred, struct reactor_step *step)
{
    const struct reactor_step copy = *step;
    struct stk_outcome outcome = deferred->outcome;

    if (step->on_heap)
        stk_free(step);
    if (!(copy.kinds & (outcome.code < 0 ? REACTOR_STEP_ERROR : REACTOR_STEP_VALUE)))
        return;
    deferred->outcome = (struct stk_outcome){.code = 0};
    set_outcome(deferred, copy.fn(copy.user, outcome));
}

/* The chain lives on by a reference of its own while it waits. */
static void pause_for(struct stk_deferred *deferred, struct stk_deferred *other)
{
    assert(other != deferred && !other->resumes);
    deferred->outcome = (struct stk_outcome){.code = 0};
    deferred->pauses_for = other;
    other->resumes = stk_deferred_ref(deferred);
    move_to(deferred, PAUSED);
}

/* Until the steps have run, or one of them has the chain wait for what is not there yet. */
static void run_steps(struct stk_deferred *deferred)
{
    struct stk_node *node;

    while ((node = stk_list_pop(&deferred->steps)) != NULL) {
        run_step(deferred, STK_CONTAINER(node, struct reactor_step, node));
        if (deferred->outcome.wait) {
            pause_for(deferred, deferred->outcome.wait);
            return;
        }
    }
    move_to(deferred, RESTING);
    stk_timer_stop(&deferred->timer);
}

/* Gives the result to the chain that waits for it, which can go on then: it is returned. */
static struct stk_deferred *hand_over(struct stk_deferred *deferred)
{
    struct stk_deferred *next = deferred->resumes;

    if (!next)
        return NULL;
    assert(next->pauses_for == deferred && next->state == PAUSED);
    next->pauses_for = NULL;
    set_outcome(next, deferred->outcome);
    deferred->resumes = NULL;
    deferred->outcome = (struct stk_outcome){.code = 0};
    stk_deferred_unref(deferred);
    return next;
}

/*
 * Runs a chain that can go on, and then those that waited for it: a loop, because chains of chains
 * may be longer than the stack. One that pauses for a result that is there takes it at once.
 */
static void run(struct stk_deferred *deferred)
{
    struct stk_deferred *next = stk_deferred_ref(deferred);

    while (next) {
        deferred = next;
        move_to(deferred, RUNNING);
        run_steps(deferred);
        if (deferred->state == RESTING)
            next = hand_over(deferred);
        else if (deferred->pauses_for->state == RESTING)
            next = hand_over(deferred->pauses_for);
        else
            next = NULL;
        /* `next` came with the reference of a chain that waits. */
        stk_deferred_unref(deferred);
    }
}

/* --- Firing ------------------------------------------------------------------------------ */

static void resolve(struct stk_deferred *deferred, struct stk_outcome outcome)
{
    set_outcome(deferred, outcome);
    run(deferred);
}

static void fire(struct stk_deferred *deferred, struct stk_outcome outcome)
{
    assert(deferred->state == WAITING || deferred->ignoring);
    if (deferred->ignoring) {
        deferred->ignoring = false;
        stk_outcome_drop(&outcome);
    } else {
        resolve(deferred, outcome);
    }
    stk_deferred_unref(deferred);
}

void stk_deferred_succeed(struct stk_deferred *deferred, void *value, void (*destroy)(void *))
{
    fire(deferred, stk_outcome_value(value, destroy));
}

void stk_deferred_fail(struct stk_deferred *deferred, const struct stk_error *error)
{
    fire(deferred, outcome_of(error));
}

static struct stk_outcome canceled(void)
{
    return stk_outcome_error(-ECANCELED, "deferred", "canceled");
}

static void cancel_waiting(struct stk_deferred *deferred)
{
    if (!deferred->cancel) {
        deferred->ignoring = true;
        resolve(deferred, canceled());
        return;
    }
    deferred->canceling = true;
    deferred->cancel(deferred, deferred->user);
    deferred->canceling = false;
    if (deferred->state == WAITING)
        fire(deferred, canceled());
}

void stk_deferred_cancel(struct stk_deferred *deferred)
{
    while (deferred->state == PAUSED)
        deferred = deferred->pauses_for;
    if (deferred->state != WAITING || deferred->canceling)
        return;
    stk_deferred_ref(deferred);
    cancel_waiting(deferred);
    stk_deferred_unref(deferred);
}

void stk_deferred_timeout(struct stk_deferred *deferred, uint64_t delay_us)
{
    if (deferred->state != RESTING)
        stk_timer_in(&deferred->timer, delay_us);
}

/* --- Adding steps ------------------------------------------------------------------------ */

void reactor_deferred_add(struct stk_deferred *deferred, struct reactor_step *step)
{
    stk_list_append(&deferred->steps, &step->node);
    if (deferred->state == RESTING)
        run(deferred);
}

static struct stk_outcome fail_without_memory(void *user, struct stk_outcome outcome)
{
    (void)user;
    stk_outcome_drop(&outcome);
    return stk_outcome_error(-ENOMEM, "deferred", "no memory for a step");
}

/* One stand-in is enough: what comes behind it and is missing too would only see its error. */
static int add_without_memory(struct stk_deferred *deferred)
{
    struct reactor_step *step = &deferred->out_of_memory;

    if (!stk_list_empty(&step->node))
        return -ENOMEM;
    step->fn = fail_without_memory;
    step->kinds = REACTOR_STEP_VALUE | REACTOR_STEP_ERROR;
    reactor_deferred_add(deferred, step);
    return -ENOMEM;
}

static int add(struct stk_deferred *deferred, unsigned kinds, stk_callback_fn *fn, void *user)
{
    struct reactor_step *step = stk_alloc(sizeof *step);

    if (!step)
        return add_without_memory(deferred);
    *step = (struct reactor_step){.fn = fn, .user = user, .kinds = kinds, .on_heap = true};
    reactor_deferred_add(deferred, step);
    return 0;
}

int stk_deferred_then(struct stk_deferred *deferred, stk_callback_fn *callback, void *user)
{
    return add(deferred, REACTOR_STEP_VALUE, callback, user);
}

int stk_deferred_catch(struct stk_deferred *deferred, stk_callback_fn *errback, void *user)
{
    return add(deferred, REACTOR_STEP_ERROR, errback, user);
}

int stk_deferred_both(struct stk_deferred *deferred, stk_callback_fn *either, void *user)
{
    return add(deferred, REACTOR_STEP_VALUE | REACTOR_STEP_ERROR, either, user);
}
