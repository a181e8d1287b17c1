/*
 * One PTCP endpoint on one port, driven by the loop: datagrams in, output when the turn ends,
 * one timer. Shared by the connections and the listener of the port; and by connecting stacks of
 * the loop whose datagram layers would be the same.
 */
#ifndef STK_PTCP_BRIDGE_H
#define STK_PTCP_BRIDGE_H

#include "endpoint.h"
#include "layer.h"

enum {
    PTCP_BRIDGE_RUNS = 32, /* sent in one turn before others get theirs */
    /* Stacks that share a connecting bridge: so many share the fate of a socket and its buffers. */
    PTCP_BRIDGE_USERS_MAX = 1024,
    PTCP_BRIDGES_TRIED = 16, /* looked at, the one used last first, before one is opened */
};

/* A run that the port did not take yet. */
struct ptcp_held {
    struct stk_run run;
    struct stk_addr peer, local;
    uint8_t bytes[];
};

struct ptcp_bridge {
    struct stk_node node; /* in the loop's list of bridges: those that may be shared come first */
    struct stk_loop *loop;
    struct stk_port *port;
    struct ptcp_endpoint *endpoint;
    struct stk_listener *listener; /* NULL: it only connects */
    struct stk_task task;
    struct stk_timer timer;
    struct ptcp_held *held;       /* NULL: none */
    struct stk_error *failure;    /* text for connections whose association failed; NULL: none */
    unsigned users;               /* layers and the listener */
    struct ptcp_qlog *qlog;       /* NULL: no logs */
    struct ptcp_history *history; /* NULL: plain mode, or no memory */
    uint8_t put_off;              /* so often since the last output */
    bool shareable;               /* other stacks may use it, if it serves them */
    bool more;                    /* output is not at its end */
    bool dying;                   /* the loop goes: the last user takes the bridge along */
};

/* Opens the port of the recipe; `segment` is PTCP's own in it. One use is the caller's. */
int ptcp_bridge_open(struct stk_loop *loop, const struct stk_recipe *recipe,
                     const struct stk_segment *segment, bool listening, struct ptcp_bridge **out,
                     struct stk_error *error);
/* The same for a stack that connects: by a port that others of its like have opened, if it can. */
int ptcp_bridge_share(struct stk_loop *loop, const struct stk_recipe *recipe,
                      const struct stk_segment *segment, struct ptcp_bridge **out,
                      struct stk_error *error);
struct ptcp_bridge *ptcp_bridge_use(struct ptcp_bridge *bridge);
/* After the last one it stays until the endpoint owes its peers nothing more. */
void ptcp_bridge_leave(struct ptcp_bridge *bridge);
/* Output, timer and events at the end of the turn. */
void ptcp_bridge_wake(struct ptcp_bridge *bridge);
uint64_t ptcp_bridge_now_us(const struct ptcp_bridge *bridge);

/* layer.c: what has happened to the layer's connection. */
void ptcp_layer_notify(struct stk_layer *layer, struct ptcp_conn *conn, unsigned events);

#endif
