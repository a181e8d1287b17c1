/* Binding Unix sockets: what /unix and /unix-dgram have in common. Private to the room. */
#ifndef STK_STACK_UNIX_SOCKET_H
#define STK_STACK_UNIX_SOCKET_H

#include "recipe.h"

#include <sys/types.h>

/* A bound path, to be removed when the socket closes, unless somebody else's stands there by then.
 */
struct stack_unix_path {
    struct stk_addr addr; /* len 0: nothing to remove */
    dev_t device;
    ino_t inode;
};

/* For stk_layer_type.check_value. */
int stack_unix_check_path(const char *value, struct stk_error *error);
/* Octal file mode of the option mode=; -1 where it is not given. STK_ESYNTAX. */
int stack_unix_mode(const struct stk_segment *segment, struct stk_error *error);
/*
 * A new non-blocking socket of `type`, bound to the segment's path. A socket file that a dead
 * server left is replaced; a living one is -EADDRINUSE. Returns the descriptor or an error.
 */
int stack_unix_bind(const struct stk_segment *segment, int type, struct stack_unix_path *path,
                    struct stk_error *error);
void stack_unix_unlink(struct stack_unix_path *path);
/* What connect() or sendmsg() says of a path, in words. */
const char *stack_unix_strerror(int code);

#endif
