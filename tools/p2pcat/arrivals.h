/*
 * Arrivals: a listener whose connections are handed over once they are open, and not before.
 * What fails before that (a stranger's key, a port scanner) is told with -v only.
 */
#ifndef P2PCAT_ARRIVALS_H
#define P2PCAT_ARRIVALS_H

#include "stack.h"

struct arrivals {
    struct stk_listener *listener;
    void (*arrived)(struct arrivals *arrivals, struct stk_conn *conn);
    void *user;
    bool closed; /* by arrivals_close(): what is under way is not taken any more */
};

void arrivals_init(struct arrivals *arrivals,
                   void (*arrived)(struct arrivals *arrivals, struct stk_conn *conn), void *user);
int arrivals_listen(struct arrivals *arrivals, struct stk_loop *loop, const char *address,
                    struct stk_error *error);
/* "listening on …" with the port that the system chose, on stderr. */
void arrivals_announce(const struct arrivals *arrivals, const char *address);
void arrivals_close(struct arrivals *arrivals);

#endif
