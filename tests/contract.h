/*
 * The contract suite: one set of cases that every stack must pass (layer.h, rules 1 to 9).
 *
 * A program names the stacks of one transport; the suite runs every case over each of them, plain
 * and with the chaos layer in all places that the stack allows. Streams are checked by position, so
 * a lost, doubled or moved byte shows at once, and the heap is counted, so a leak does too.
 */
#ifndef STK_TESTS_CONTRACT_H
#define STK_TESTS_CONTRACT_H

#include "stack.h"

struct contract_stack {
    const char *name;
    /* Recipes of the two sides; "%u" stands for the port that the listener got. */
    const char *listen;
    const char *connect;
    /* Instead of listening: makes both ends at once (pipes). May be NULL. */
    int (*pair)(struct stk_loop *loop, const struct stk_protocol *protocol, void *a, void *b,
                struct stk_conn **conn_a, struct stk_conn **conn_b, struct stk_error *error);
    /* The other end is a program that echoes: one connection is tested against itself. */
    bool echo;
    /* Prepares a loop (identities, resolvers); may be NULL. */
    void (*prepare)(struct stk_loop *loop);
    /* Closing one direction closes both, or abort looks like an end: what a transport can't tell
     * apart. */
    bool abort_is_end;
    bool slow;  /* real time passes in it: fewer rounds */
    bool small; /* it moves few bytes a turn: fewer bytes */
};

/* Runs all cases over all stacks (`name` NULL ends the list); returns an exit code. */
int contract_run(const char *title, const struct contract_stack *stacks);

#endif
