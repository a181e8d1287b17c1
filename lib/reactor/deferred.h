/*
 * A deferred is a result that is not there yet.
 *
 * It fires once, with a value or an error. Then its steps run in the order they were added, each
 * taking the outcome of the one before and returning the next one. A step may return another
 * deferred: the chain waits for it. Callbacks see values only, errbacks errors only; what a step
 * does not see passes by it.
 *
 * Ownership has two simple rules.
 *
 * 1. A deferred has two ends, and new() makes both. The producer's end is given up by succeed() or
 *    fail(). The consumer's end is given up by unref(), or by handing the deferred to
 *    stk_outcome_wait(), stk_deferred_all() or stk_deferred_first(). Steps run whether or not the
 *    consumer still holds its end; memory goes when both ends are gone.
 * 2. An outcome has one owner. A step owns the outcome it is given: it returns it, or takes its
 *    value, or drops it with stk_outcome_drop(). The deferred owns what the last step returned and
 *    drops it in the end.
 *
 * All of this belongs to the loop's thread.
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
/* Takes over the consumer's end. The deferred must not wait for anybody else. */
struct stk_outcome stk_outcome_wait(struct stk_deferred *deferred);
/* Destroys the value, or gives up the deferred. The outcome is then the value NULL. */
void stk_outcome_drop(struct stk_outcome *outcome);

typedef struct stk_outcome stk_callback_fn(void *user, struct stk_outcome outcome);

/*
 * NULL without memory. `cancel` (may be NULL) is called when somebody cancels before the result is
 * there. It stops the work and may fire the deferred; when it returns, the producer's end is gone
 * either way. A producer without it is not told: it fires later as always, and that is ignored.
 */
struct stk_deferred *stk_deferred_new(struct stk_loop *loop,
                                      void (*cancel)(struct stk_deferred *, void *user),
                                      void *user);
/* More holders of the consumer's end. */
struct stk_deferred *stk_deferred_ref(struct stk_deferred *deferred);
void stk_deferred_unref(struct stk_deferred *deferred);

/* Each gives up the producer's end. Firing twice is a bug. */
void stk_deferred_succeed(struct stk_deferred *deferred, void *value, void (*destroy)(void *));
void stk_deferred_fail(struct stk_deferred *deferred, const struct stk_error *error);

/*
 * Added steps run at once if the result is there. 0, or -ENOMEM: then the step will not be called,
 * and the chain continues with that error in its place.
 */
int stk_deferred_then(struct stk_deferred *deferred, stk_callback_fn *callback, void *user);
int stk_deferred_catch(struct stk_deferred *deferred, stk_callback_fn *errback, void *user);
int stk_deferred_both(struct stk_deferred *deferred, stk_callback_fn *either, void *user);

/*
 * Fires with -ECANCELED unless the cancel function fires it. One whose chain waits for another
 * passes the cancel on to that. Without effect where the chain has run or is running.
 */
void stk_deferred_cancel(struct stk_deferred *deferred);
/*
 * Cancels if the chain has not run to its end after so long; -ECANCELED then becomes -ETIMEDOUT.
 * A second call replaces the first.
 */
void stk_deferred_timeout(struct stk_deferred *deferred, uint64_t delay_us);

/*
 * Waits for all: the value is an array `void **` of their values in order, NULL-terminated; the
 * first failure fails it and cancels the others. Takes over the consumers' ends of all, and cancels
 * them when it returns NULL for want of memory. Whoever takes the array owns it, and frees it and
 * its values with the outcome's destroy().
 */
struct stk_deferred *stk_deferred_all(struct stk_loop *loop, struct stk_deferred **list,
                                      size_t count);
/*
 * The first success wins and the others are cancelled; fails with the last error when all fail, and
 * with -EINVAL when there are none. Otherwise like stk_deferred_all().
 */
struct stk_deferred *stk_deferred_first(struct stk_loop *loop, struct stk_deferred **list,
                                        size_t count);

#endif
