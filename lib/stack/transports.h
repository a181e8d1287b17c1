/* The transports of this room: the records behind their names in recipes. docs/transports.md
 * describes them. */
#ifndef STK_STACK_TRANSPORTS_H
#define STK_STACK_TRANSPORTS_H

#include "recipe.h"

extern const struct stk_layer_type stk_layer_ip4, stk_layer_ip6;
extern const struct stk_layer_type stk_layer_dns, stk_layer_dns4, stk_layer_dns6;
extern const struct stk_layer_type stk_layer_memory;
extern const struct stk_layer_type stk_layer_tcp;
extern const struct stk_layer_type stk_layer_udp;
extern const struct stk_layer_type stk_layer_unix;
extern const struct stk_layer_type stk_layer_unix_dgram;
extern const struct stk_layer_type stk_layer_stdio;
extern const struct stk_layer_type stk_layer_fd;
extern const struct stk_layer_type stk_layer_fifo;
extern const struct stk_layer_type stk_layer_process;

#endif
