/*
 * Streams on descriptors that are open already, and pairs of connections for tests.
 *
 *   /stdio      standard input and output as one stream
 *   /fd/N       an inherited descriptor; /fd/R:W one for each direction
 *   /fifo/PATH  a named pipe, one direction
 *
 * Listening on /stdio or /fd takes the one connection that is there: the listening role for layers
 * above, as a program that inetd started plays it.
 */
#ifndef STK_STACK_PIPE_H
#define STK_STACK_PIPE_H

#include "stack.h"

enum stk_pipe_kind {
    STK_PIPE_SOCKETS, /* one socket pair */
    STK_PIPE_PIPES,   /* two pipes */
};

/* Two connected connections of one loop; `out` may be NULL. */
int stk_pipe_pair(struct stk_loop *loop, enum stk_pipe_kind kind,
                  const struct stk_protocol *const protocols[2], void *const users[2],
                  struct stk_conn *out[2], struct stk_error *error);

#endif
