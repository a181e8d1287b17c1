#include "files.h"

#include <assert.h>
#include <errno.h>

enum { FIRST_CAPACITY = 4 };

void reactor_files_init(struct reactor_files *files) { *files = (struct reactor_files){0}; }

void reactor_files_free(struct reactor_files *files)
{
    assert(files->count == 0);
    stk_free(files->list);
}

static bool has_fd(const struct reactor_files *files, int fd)
{
    for (unsigned i = 0; i < files->count; i++)
        if (files->list[i]->fd == fd)
            return true;
    return false;
}

static int make_room(struct reactor_files *files)
{
    const unsigned capacity = files->capacity ? 2 * files->capacity : FIRST_CAPACITY;
    struct stk_watch **list;

    if (files->count < files->capacity)
        return 0;
    list = stk_realloc(files->list, capacity * sizeof(struct stk_watch *));
    if (!list)
        return -ENOMEM;
    files->list = list;
    files->capacity = capacity;
    return 0;
}

/* The watch itself remembers that it is here: its back end's data points to the list. */
int reactor_files_add(struct reactor_files *files, struct stk_watch *watch)
{
    int result;

    if (has_fd(files, watch->fd))
        return -EEXIST;
    result = make_room(files);
    if (result < 0)
        return result;
    files->list[files->count++] = watch;
    watch->backend_data = files;
    return 0;
}

bool reactor_files_has(const struct reactor_files *files, const struct stk_watch *watch)
{
    return watch->backend_data == files;
}

void reactor_files_remove(struct reactor_files *files, struct stk_watch *watch)
{
    unsigned i = 0;

    assert(reactor_files_has(files, watch));
    while (files->list[i] != watch)
        i++;
    files->list[i] = files->list[--files->count];
    watch->backend_data = NULL;
}

bool reactor_files_ready(const struct reactor_files *files, struct stk_loop *loop)
{
    for (unsigned i = 0; i < files->count; i++)
        stk_backend_ready(loop, files->list[i], STK_READABLE | STK_WRITABLE);
    return files->count > 0;
}
