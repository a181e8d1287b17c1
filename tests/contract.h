/*
 * The contract suite: one set of cases that every stack must pass (layer.h, rules 1 to 9).
 *
 * A program names the stacks of one transport; the suite runs every case over each of them, plain
 * with the chaos layer in all places that the stack allows, and with probes (probe.h) at every
 * joint. Streams are checked by position, so a lost, doubled or moved byte shows at once, and the
 * heap is counted, so a leak does too.
 */
#ifndef STK_TESTS_CONTRACT_H
#define STK_TESTS_CONTRACT_H

#include "stack.h"

enum contract_fds { CONTRACT_NO_FDS, CONTRACT_PIPES, CONTRACT_SOCKETS };

struct contract_stack {
    const char *name;
    /* Recipes of the two sides; "%u" stands for the port that the listener got, "%d" for the
     * descriptors of this side. */
    const char *listen;
    const char *connect;
    /* What is made anew for "%d": a pipe for each direction, or a socket pair. */
    enum contract_fds fds;
    /* The other end is a program that echoes: one connection is tested against itself. */
    bool echo;
    /* Prepares a loop (identities, resolvers); may be NULL. */
    void (*prepare)(struct stk_loop *loop);
    bool slow;  /* real time or much computing passes in it: fewer rounds */
    bool small; /* it moves few bytes a turn: fewer bytes */
};

/* Runs all cases over all stacks (`name` NULL ends the list); returns an exit code. */
int contract_run(const char *title, const struct contract_stack *stacks);

/*
 * "--echo RECIPE": the program listens on the recipe, sends back what it reads from one connection
 * and ends with it. Returns the exit code, or -1 if it was not asked to.
 */
int contract_echo(int argc, char **argv);
/* "/process/…" of a child that is this program and echoes on that recipe; good until the next. */
const char *contract_echo_process(const char *recipe);

#endif
