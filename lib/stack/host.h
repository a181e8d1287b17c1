/*
 * Where an internet transport stands: the ip4, ip6 or dns segment before it, and the port that is
 * its value.
 */
#ifndef STK_STACK_HOST_H
#define STK_STACK_HOST_H

#include "recipe.h"

/* For stk_layer_type.check_value: 0 to 65535. */
int stack_check_port(const char *value, struct stk_error *error);
uint16_t stack_port(const struct stk_segment *segment);
/* AF_INET, AF_INET6, or AF_UNSPEC where a name may have both. */
int stack_host_family(const struct stk_segment *segment);
/* The address with the port, or -ENOENT where the host is a name (or none). */
int stack_host_literal(const struct stk_segment *segment, struct stk_addr *addr);
/* The host as it was written; "" if there is none. */
const char *stack_host_name(const struct stk_segment *segment);
/*
 * The address to listen on. A name is looked up by a blocking call: listeners are opened at start
 * and rarely by name. STK_ENAME.
 */
int stack_host_bind(const struct stk_segment *segment, struct stk_addr *addr,
                    struct stk_error *error);
/* The option bind=, "192.0.2.1", "192.0.2.1:5000", "[::1]:5000"; len 0 where it is not given.
 * STK_ESYNTAX also where its family is not the host's. */
int stack_option_bind(const struct stk_segment *segment, struct stk_addr *addr,
                      struct stk_error *error);
/* For listeners, which would be heard of elsewhere than meant: STK_ESYNTAX where it is given. */
int stack_option_no_bind(const struct stk_segment *segment, struct stk_error *error);
/* A system call's errno in words that say what to do; static. */
const char *stack_net_strerror(int code);

#endif
