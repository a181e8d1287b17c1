/* TCP: tcp.c is the layer and its listener, tcp_connect.c finds the peer, tcp_stats.c asks the
 * kernel how it does. Private to the room. */
#ifndef STK_STACK_TCP_H
#define STK_STACK_TCP_H

#include "fd_stream.h"

struct stack_tcp_connecting;

struct stack_tcp {
    struct stk_layer layer;
    struct stack_stream stream;
    struct stk_addr peer;
    struct stack_tcp_connecting *connecting; /* only until connected */
};

/* Options of a new socket, connecting or accepted. */
void stack_tcp_set_options(const struct stk_segment *segment, int fd);

/* tcp_connect.c: ends in stack_tcp_connected() or in the layer's failure. */
void stack_tcp_connect(struct stack_tcp *tcp);
void stack_tcp_connect_stop(struct stack_tcp *tcp);
void stack_tcp_connected(struct stack_tcp *tcp, int fd, const struct stk_addr *peer);

/* tcp_stats.c */
int stack_tcp_stats(int fd, struct stk_stats *stats);

#endif
