/* Runs one case on a fresh loop of every back end, and sees that it leaves no descriptor open. */
#ifndef STK_TESTS_EVERY_BACKEND_H
#define STK_TESTS_EVERY_BACKEND_H

#include "harness.h"
#include "reactor.h"

#include <dirent.h>

static inline int count_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    if (!dir)
        return -1;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static inline struct stk_loop *loop_on(const char *backend)
{
    const struct stk_loop_options options = {.backend = backend, .worker_threads = 2};
    struct stk_loop *loop = NULL;
    const int result = stk_loop_new(&options, &loop);

    if (result == -ENOSYS)
        printf("\n    skipped: the kernel refuses %s\n", backend ? backend : "it");
    else
        CU_ASSERT_EQUAL_FATAL(result, 0);
    return loop;
}

static inline void on_every_backend(void (*run)(struct stk_loop *loop))
{
    for (const char *const *name = stk_loop_backend_names(); *name; name++) {
        const int fds_before = count_open_fds();
        const unsigned failures_before = CU_get_number_of_failures();
        struct stk_loop *loop = loop_on(*name);

        if (!loop)
            continue;
        run(loop);
        stk_loop_free(loop);
        CU_ASSERT_EQUAL(count_open_fds(), fds_before);
        if (CU_get_number_of_failures() != failures_before)
            printf("\n    on the back end %s\n", *name);
    }
}

#endif
