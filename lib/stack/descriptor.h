/*
 * A descriptor that this program inherited and may share with others, made fit for a loop: it never
 * blocks, and others see no change of it. Private to the room.
 */
#ifndef STK_STACK_DESCRIPTOR_H
#define STK_STACK_DESCRIPTOR_H

#include <stdbool.h>

struct stk_loop;

struct stack_descriptor {
    int fd;       /* to be used; may be `original`; -1: none */
    int original; /* as it was inherited; -1: none, or closed */
    int flags;    /* file status flags to give back; -1: they were not touched */
};

/*
 * Sockets and files are used as they are. Pipes and terminals are opened again, which makes
 * non-blocking mode private; where that is not allowed, the mode is set and given back in the end.
 * `access` is O_RDONLY, O_WRONLY or O_RDWR. -EBADF.
 */
int stack_descriptor_open(struct stack_descriptor *descriptor, int fd, int access);
/* Gives back what was changed and closes what was opened; `fd` may be closed already (-1). */
void stack_descriptor_release(struct stk_loop *loop, struct stack_descriptor *descriptor);
/*
 * Closes the inherited descriptor itself. Numbers 0 to 2 then lead to /dev/null, so that nothing
 * else gets them. Returns what close() said: a full disk may show only here.
 */
int stack_descriptor_close(struct stk_loop *loop, struct stack_descriptor *descriptor);

#endif
