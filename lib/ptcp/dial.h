/*
 * Where to connect to: the addresses of the host that a recipe names. Literal addresses are there
 * at once, names are looked up, IPv6 and IPv4 together.
 */
#ifndef STK_PTCP_DIAL_H
#define STK_PTCP_DIAL_H

#include "recipe.h"
#include "resolver.h"

enum { PTCP_DIAL_ADDRS_MAX = 8 };

struct ptcp_dial {
    struct stk_lookup *lookups[2]; /* IPv6, IPv4 */
    struct stk_addr found[2][PTCP_DIAL_ADDRS_MAX / 2];
    int count[2];
    int next;
    char reason[128]; /* why a look-up failed */
    void (*done)(struct ptcp_dial *dial);
};

/* Calls done() once all is known: never from inside. 0: it will, 1: all is known now; or an error.
 */
int ptcp_dial_start(struct ptcp_dial *dial, struct stk_loop *loop, const struct stk_recipe *recipe,
                    void (*done)(struct ptcp_dial *dial));
void ptcp_dial_stop(struct ptcp_dial *dial);
/* The next address, families alternating as RFC 8305 says; NULL: there is none left. */
const struct stk_addr *ptcp_dial_next(struct ptcp_dial *dial);

#endif
