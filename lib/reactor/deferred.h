/*
 * A deferred is a result that is not there yet.
 *
 * It succeeds or fails once; then its callbacks run in the order they were added, each taking
 * the result of the one before. A callback may return another deferred: the chain waits for it.
 * Errbacks see failures only, and turn them into results again by returning one.
 *
 * Ownership: stk_deferred_new() gives one reference, held by whoever owes the result and given up
 * by succeed/fail. A deferred frees itself when it has fired and its chain has run; a callback that
 * is added after that needs a reference of its own (stk_deferred_ref/unref). Results are pointers
 * with an optional destructor that runs when nobody takes them.
 */
#ifndef STK_REACTOR_DEFERRED_H
#define STK_REACTOR_DEFERRED_H

#include "reactor.h"

struct stk_deferred;

/* A step's outcome: a value, an error (code < 0), or a deferred to wait for. */
struct stk_outcome {
    int code;
    void *value;
    void (*destroy)(void *value); /* NULL: nothing to free */
    struct stk_deferred *wait;
    struct stk_error error; /* when code < 0 */
};

struct stk_outcome stk_outcome_value(void *value, void (*destroy)(void *));
struct stk_outcome stk_outcome_error(int code, const char *layer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct stk_outcome stk_outcome_wait(struct stk_deferred *deferred); /* takes the reference */

typedef struct stk_outcome stk_callback_fn(void *user, struct stk_outcome outcome);

/* `cancel` (may be NULL) is called when somebody cancels before the result is there: it may fire
 * it. */
struct stk_deferred *stk_deferred_new(struct stk_loop *loop,
                                      void (*cancel)(struct stk_deferred *, void *user),
                                      void *user);
struct stk_deferred *stk_deferred_ref(struct stk_deferred *deferred);
void stk_deferred_unref(struct stk_deferred *deferred);

/* Firing twice is a bug and asserted, except that one firing after a cancel is ignored. */
void stk_deferred_succeed(struct stk_deferred *deferred, void *value, void (*destroy)(void *));
void stk_deferred_fail(struct stk_deferred *deferred, const struct stk_error *error);

/* Added steps run at once if the result is there. -ENOMEM fails the chain with that error instead.
 */
void stk_deferred_then(struct stk_deferred *deferred, stk_callback_fn *callback, void *user);
void stk_deferred_catch(struct stk_deferred *deferred, stk_callback_fn *errback, void *user);
void stk_deferred_both(struct stk_deferred *deferred, stk_callback_fn *either, void *user);

/* Fires with -ECANCELED unless the cancel function fires it; goes down to the one it waits for. */
void stk_deferred_cancel(struct stk_deferred *deferred);
/* Cancels with -ETIMEDOUT if nothing has come after so long. */
void stk_deferred_timeout(struct stk_deferred *deferred, uint64_t delay_us);

/*
 * Waits for all: the value is an array `void **` of their values in order, NULL-terminated; the
 * first failure fails it and cancels the others. Takes over the references of all.
 */
struct stk_deferred *stk_deferred_all(struct stk_loop *loop, struct stk_deferred **list,
                                      size_t count);
/* The first success wins and the others are cancelled; fails with the last error when all fail. */
struct stk_deferred *stk_deferred_first(struct stk_loop *loop, struct stk_deferred **list,
                                        size_t count);

#endif
