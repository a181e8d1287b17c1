#include "fd_table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

void reactor_fd_table_free(struct reactor_fd_table *table)
{
    stk_free(table->slots);
    *table = (struct reactor_fd_table){0};
}

static int grow(struct reactor_fd_table *table, unsigned fd)
{
    unsigned capacity = table->capacity ? table->capacity : FIRST_CAPACITY;
    struct stk_watch **slots;

    while (capacity <= fd)
        capacity *= 2;
    if (capacity == table->capacity)
        return 0;
    slots = stk_realloc(table->slots, capacity * sizeof(struct stk_watch *));
    if (!slots)
        return -ENOMEM;
    memset(slots + table->capacity, 0, (capacity - table->capacity) * sizeof *slots);
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

int reactor_fd_table_add(struct reactor_fd_table *table, struct stk_watch *watch)
{
    int result;

    if (watch->fd < 0 || fcntl(watch->fd, F_GETFD) < 0)
        return -EBADF;
    result = grow(table, (unsigned)watch->fd);
    if (result < 0)
        return result;
    if (table->slots[watch->fd])
        return -EEXIST;
    table->slots[watch->fd] = watch;
    return 0;
}

void reactor_fd_table_remove(struct reactor_fd_table *table, struct stk_watch *watch)
{
    assert(table->slots[watch->fd] == watch);
    table->slots[watch->fd] = NULL;
}
