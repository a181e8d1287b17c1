/* Finds a watch by its descriptor, and sees that there is one only. Private. */
#ifndef STK_REACTOR_FD_TABLE_H
#define STK_REACTOR_FD_TABLE_H

#include "backend.h"

struct reactor_fd_table {
    struct stk_watch **slots; /* by descriptor */
    unsigned capacity;
};

void reactor_fd_table_free(struct reactor_fd_table *table);
/* 0, -EBADF if it is not open, -EEXIST, -ENOMEM. */
int reactor_fd_table_add(struct reactor_fd_table *table, struct stk_watch *watch);
void reactor_fd_table_remove(struct reactor_fd_table *table, struct stk_watch *watch);

#endif
