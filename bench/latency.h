/*
 * Requests of MESSAGE_BYTES and answers as large: how long one takes on an open connection, and how
 * long the first one takes from connecting on, for a peer that was never seen before and for a
 * further connection to one that is connected already.
 */
#ifndef STK_BENCH_LATENCY_H
#define STK_BENCH_LATENCY_H

#include "lapses.h"
#include "side.h"

enum { MESSAGE_BYTES = 64, WARM_REQUESTS = 200, CONNECTS = 100 };

struct latency {
    uint64_t window_ns; /* how long to ask on the open connection */
    struct lapses request, first, further;
};

/* latency_tcp.c: blocking sockets, with TLS if the case is tls-reference */
side_fn latency_tcp_answer, latency_tcp_ask;
/* latency_stack.c: the library */
side_fn latency_stack_answer, latency_stack_ask;

#endif
