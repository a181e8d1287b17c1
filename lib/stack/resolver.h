/*
 * Names to addresses.
 *
 * A loop asks the system (getaddrinfo) on its worker pool unless it was given a resolver of its
 * own: for tests, or for a program that has its own DNS. One look-up asks for one family, so that
 * a slow answer for one does not hold up the other (RFC 8305 section 3).
 */
#ifndef STK_STACK_RESOLVER_H
#define STK_STACK_RESOLVER_H

#include "reactor.h"

enum {
    STK_LOOKUP_ADDRS_MAX = 16, /* further addresses of one family are ignored */
    STK_LOOKUP_NAME_MAX = 256, /* bytes, with the NUL */
};

struct stk_lookup;

/* --- For resolvers -------------------------------------------------------------------------- */

/*
 * Owes exactly one of the two answers, at once or later, in the loop's thread; the look-up is gone
 * after it. It may be asked by somebody who has given up meanwhile: answering is right even then.
 */
typedef void stk_resolver_fn(void *context, struct stk_lookup *lookup);

/* NULL: the system's again. -ENOMEM. */
int stk_resolver_set(struct stk_loop *loop, stk_resolver_fn *fn, void *context);

const char *stk_lookup_name(const struct stk_lookup *lookup);
int stk_lookup_family(const struct stk_lookup *lookup); /* AF_INET or AF_INET6 */
/* Best address first. Ports are ignored. */
void stk_lookup_answer(struct stk_lookup *lookup, const struct stk_addr *addrs, int count);
void stk_lookup_fail(struct stk_lookup *lookup, const char *reason);

/* --- For those who ask ------------------------------------------------------------------------ */

/* `addrs` are valid during the call; with `count` 0 `reason` says why. Called from the loop. */
typedef void stk_lookup_done_fn(void *user, int family, const struct stk_addr *addrs, int count,
                                const char *reason);

/* Addresses come with `port` set. -ENOMEM, -EAGAIN (too many at a time), -ENAMETOOLONG. */
int stk_lookup_start(struct stk_loop *loop, const char *name, int family, uint16_t port,
                     stk_lookup_done_fn *done, void *user, struct stk_lookup **out);
/* `done` is not called any more. Not allowed after it was. */
void stk_lookup_cancel(struct stk_lookup *lookup);

#endif
