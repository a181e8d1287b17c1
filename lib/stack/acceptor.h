/* The accept loop of listening sockets: tcp and unix. */
#ifndef STK_STACK_ACCEPTOR_H
#define STK_STACK_ACCEPTOR_H

#include "layer.h"

enum { STACK_ACCEPTS_MAX = 16 }; /* in one turn */

/* What the transport's accept() is given; the descriptor becomes its own with success. */
struct stack_accepted {
    int fd;
    struct stk_addr peer;
};

struct stack_acceptor {
    struct stk_listener *listener;
    struct stk_watch watch;
    struct stk_backoff backoff;
    int fd; /* -1: closed */
};

/* Takes over a socket that listens already; with an error it is closed. */
int stack_acceptor_open(struct stack_acceptor *acceptor, struct stk_listener *listener, int fd,
                        struct stk_error *error);
void stack_acceptor_close(struct stack_acceptor *acceptor);
int stack_acceptor_addr(const struct stack_acceptor *acceptor, struct stk_addr *addr);

#endif
