/*
 * A transfer: a join with what the user sees of it — the stack, progress, statistics, the error.
 */
#ifndef P2PCAT_TRANSFER_H
#define P2PCAT_TRANSFER_H

#include "app.h"
#include "join.h"

struct transfer {
    struct join join; /* side a is the remote one where there is one */
    struct app *app;
    struct stk_node node;
    struct stk_timer tick;
    uint64_t opened_us;
    uint64_t handshake_us; /* from the first attempt until it was open; 0: this side listens */
    uint64_t total;        /* bytes that will go over if that is known, else 0 */
    uint64_t shown_bytes, shown_us;
    double rate; /* smoothed, bytes per second */
    char stack[512], path[160];
    const char *address; /* that was connected to last and is not local; NULL: none */
    void (*done)(struct transfer *transfer); /* before it is freed; may be NULL */
    void *user;
};

/* NULL without memory, after that was told. */
struct transfer *transfer_new(struct app *app);
/* Connects `address` as a side of the transfer. An error ends the transfer. */
void transfer_connect(struct transfer *transfer, struct join_side *side, const char *address);
/* Standard input and output, or the command of --exec, as side b. */
void transfer_connect_local(struct transfer *transfer);
void transfer_abort_all(struct app *app);
/* True for stacks whose other end is this machine's files, pipes and children. */
bool transfer_is_local(const char *address);

#endif
