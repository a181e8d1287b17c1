/*
 * Connecting to the host that a recipe names, which may have many addresses: each is given its own
 * handshake, a moment after the one before it, and the first that answers wins (RFC 8305).
 *
 * Lives on the heap for the time of connecting, and frees itself when it is done or stopped.
 */
#ifndef STK_PTCP_DIAL_H
#define STK_PTCP_DIAL_H

#include "bridge.h"
#include "happy.h"

struct ptcp_dial;

struct ptcp_dial_type {
    /* The connection is established: its handle is the owner's. */
    void (*connected)(void *owner, struct ptcp_conn *conn);
    void (*failed)(void *owner, const struct stk_error *error);
};

/*
 * `owner` becomes the user of the connections. Neither function is called from inside. 0 or an
 * error.
 */
int ptcp_dial_start(struct ptcp_bridge *bridge, const struct stk_recipe *recipe,
                    const struct stk_ptcp_options *options, const struct ptcp_dial_type *type,
                    void *owner, struct ptcp_dial **out);
/* The segment that has the host; NULL: none has. */
const struct stk_segment *ptcp_dial_transport(const struct stk_recipe *recipe);
/* An attempt's connection has these events. */
void ptcp_dial_notify(struct ptcp_dial *dial, struct ptcp_conn *conn, unsigned events);
/* Neither function is called any more. NULL is allowed. */
void ptcp_dial_stop(struct ptcp_dial *dial);

/* Opens a connection in the owner's name; on an error nothing is left behind. */
int ptcp_dial_open(struct ptcp_bridge *bridge, const struct ptcp_open *open, void *owner,
                   struct ptcp_conn **out);

#endif
