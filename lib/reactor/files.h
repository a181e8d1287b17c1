/*
 * Watches of regular files, for the back end whose kernel interface refuses them: they are always
 * ready. Private.
 */
#ifndef STK_REACTOR_FILES_H
#define STK_REACTOR_FILES_H

#include "backend.h"

struct reactor_files {
    struct stk_watch **list;
    unsigned count, capacity;
};

void reactor_files_init(struct reactor_files *files);
void reactor_files_free(struct reactor_files *files);
int reactor_files_add(struct reactor_files *files,
                      struct stk_watch *watch); /* 0, -EEXIST, -ENOMEM */
void reactor_files_remove(struct reactor_files *files, struct stk_watch *watch);
bool reactor_files_has(const struct reactor_files *files, const struct stk_watch *watch);
/* Reports all of them; false if there are none. */
bool reactor_files_ready(const struct reactor_files *files, struct stk_loop *loop);

#endif
