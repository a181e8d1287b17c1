/*
 * Happy eyeballs (RFC 8305): finds the address of a name that answers, without making the user wait
 * for those that don't.
 *
 * It looks up both families, tries addresses in turn with the families interleaved, one every 250
 * ms or as soon as one fails, and lets the first success win. What an attempt is, its owner says:
 * the scheduler knows no transport.
 *
 * The owner embeds the struct (some kilobytes: for the time of connecting only). From each callback
 * stk_happy_stop() is allowed, and after `succeeded` or `failed` it is stopped by itself.
 */
#ifndef STK_STACK_HAPPY_H
#define STK_STACK_HAPPY_H

#include "resolver.h"

enum {
    STK_HAPPY_ADDRS_MAX = 2 * STK_LOOKUP_ADDRS_MAX,
    STK_HAPPY_ATTEMPT_DELAY_US = 250 * 1000, /* section 5 */
    STK_HAPPY_RESOLUTION_DELAY_US =
        50 * 1000, /* section 3: how long IPv4 waits for IPv6's answer */
};

struct stk_happy;

struct stk_happy_type {
    /*
     * Begins to connect; the outcome is told by stk_happy_done(), not from inside this call. A
     * negative result is a failure at once.
     */
    int (*attempt)(struct stk_happy *happy, int index, const struct stk_addr *addr);
    /* An attempt that is under way shall end without an outcome. */
    void (*cancel)(struct stk_happy *happy, int index);
    /* All others are cancelled. */
    void (*succeeded)(struct stk_happy *happy, int index, const struct stk_addr *addr);
    /* The most telling error; its text names every address that was tried. */
    void (*failed)(struct stk_happy *happy, const struct stk_error *error);
};

enum stk_happy_state { STK_HAPPY_WAITING, STK_HAPPY_TRYING, STK_HAPPY_FAILED };

struct stk_happy {
    const struct stk_happy_type *type;
    struct stk_loop *loop;
    struct stk_lookup *lookups[2]; /* IPv6, IPv4; NULL: answered or not asked */
    struct stk_timer timer;        /* when the next attempt, or the first, shall begin */
    struct stk_task task;          /* goes on outside of the owner's calls */
    struct {
        struct stk_addr addr;
        enum stk_happy_state state;
        int code;
    } list[STK_HAPPY_ADDRS_MAX];
    int count;
    int last_family; /* of the latest attempt; AF_UNSPEC before the first */
    const char *layer;
    char name[STK_LOOKUP_NAME_MAX];
    char reason[96]; /* why a look-up failed */
    bool held;       /* only IPv4 is known so far: IPv6 has a moment to come */
    bool due;        /* the next attempt need not wait for the timer */
    bool running;
};

/* `family`: AF_UNSPEC for both. `layer`: a static name for the error. */
int stk_happy_start(struct stk_happy *happy, struct stk_loop *loop,
                    const struct stk_happy_type *type, const char *layer, const char *name,
                    int family, uint16_t port);
/* The same for addresses that are known; at most STK_HAPPY_ADDRS_MAX are used. */
void stk_happy_start_with(struct stk_happy *happy, struct stk_loop *loop,
                          const struct stk_happy_type *type, const char *layer,
                          const struct stk_addr *addrs, int count);
/* The outcome of an attempt: 0, or a negative code. */
void stk_happy_done(struct stk_happy *happy, int index, int code);
/* Cancels what is under way; nothing is called after it. Harmless when stopped already. */
void stk_happy_stop(struct stk_happy *happy);

#endif
