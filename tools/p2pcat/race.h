/*
 * Happy eyeballs (RFC 8305) over whole stacks: several addresses of one peer are tried, each 250 ms
 * after the one before, and the first stack that opens wins. The others are aborted.
 */
#ifndef P2PCAT_RACE_H
#define P2PCAT_RACE_H

#include "stack.h"

enum { RACE_MAX = 32, RACE_STAGGER_US = 250000 };

struct race;

struct race_entry {
    struct race *race;
    struct stk_conn *conn;
    char address[STK_RECIPE_TEXT_MAX];
};

struct race {
    struct stk_loop *loop;
    struct race_entry entries[RACE_MAX];
    int count, started, running;
    struct stk_timer next;
    uint64_t timeout_us;
    struct stk_error error; /* the most telling one */
    void *user;
    /* One of the two, once. The winner is open; take it over with stk_conn_set_protocol(). */
    void (*won)(struct race *race, struct stk_conn *conn);
    void (*lost)(struct race *race, const struct stk_error *error);
    struct stk_task verdict;
    bool over;
};

/* Zeroes all. The race must live until `won`, `lost` or race_abort(). */
void race_init(struct race *race, struct stk_loop *loop, uint64_t timeout_us);
void race_add(struct race *race, const char *address); /* the most likely first */
void race_start(struct race *race);
void race_abort(struct race *race); /* `lost` does not follow */

#endif
