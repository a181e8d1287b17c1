#include "resolver.h"

#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

struct stk_lookup {
    struct stk_job job;
    struct stk_task task; /* tells the asker, never from inside stk_lookup_start() */
    stk_lookup_done_fn *done;
    void *user;
    int family;
    uint16_t port;
    bool answered;
    int count;
    struct stk_addr addrs[STK_LOOKUP_ADDRS_MAX];
    char reason[96];
    char name[STK_LOOKUP_NAME_MAX];
};

struct resolver {
    stk_resolver_fn *fn;
    void *context;
};

static const char resolver_key;

int stk_resolver_set(struct stk_loop *loop, stk_resolver_fn *fn, void *context)
{
    struct resolver *resolver = stk_loop_data(loop, &resolver_key);

    if (!resolver) {
        resolver = stk_alloc(sizeof *resolver);
        const int code =
            resolver ? stk_loop_set_data(loop, &resolver_key, resolver, stk_free) : -ENOMEM;
        if (code < 0) {
            stk_free(resolver);
            return code;
        }
    }
    *resolver = (struct resolver){fn, context};
    return 0;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void tell(struct stk_task *task)
{
    struct stk_lookup *lookup = STK_CONTAINER(task, struct stk_lookup, task);

    if (lookup->done)
        lookup->done(lookup->user, lookup->family, lookup->addrs, lookup->count, lookup->reason);
    stk_free(lookup);
}

static void answer(struct stk_lookup *lookup)
{
    assert(!lookup->answered);
    lookup->answered = true;
    stk_task_queue(&lookup->task);
}

static void add_address(struct stk_lookup *lookup, const struct stk_addr *addr)
{
    if (lookup->count == STK_LOOKUP_ADDRS_MAX || addr->any.sa_family != lookup->family)
        return;
    struct stk_addr *added = &lookup->addrs[lookup->count++];
    *added = *addr;
    stk_addr_set_port(added, lookup->port);
}

static void set_reason(struct stk_lookup *lookup, const char *reason)
{
    snprintf(lookup->reason, sizeof lookup->reason, "%s", reason);
}

void stk_lookup_answer(struct stk_lookup *lookup, const struct stk_addr *addrs, int count)
{
    for (int i = 0; i < count; i++)
        add_address(lookup, &addrs[i]);
    set_reason(lookup, "the name has no address of this family");
    answer(lookup);
}

void stk_lookup_fail(struct stk_lookup *lookup, const char *reason)
{
    set_reason(lookup, reason);
    answer(lookup);
}

/* --- The system's resolver
 * ------------------------------------------------------------------------ */

/* In a worker thread: touches the look-up only, which nobody else does meanwhile. */
static void work(struct stk_job *job)
{
    struct stk_lookup *lookup = STK_CONTAINER(job, struct stk_lookup, job);
    const struct addrinfo hints = {.ai_family = lookup->family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const int failed = getaddrinfo(lookup->name, NULL, &hints, &list);

    if (failed) {
        set_reason(lookup, gai_strerror(failed));
        return;
    }
    for (const struct addrinfo *entry = list; entry; entry = entry->ai_next) {
        struct stk_addr addr;
        stk_addr_from_sockaddr(&addr, entry->ai_addr, entry->ai_addrlen);
        add_address(lookup, &addr);
    }
    freeaddrinfo(list);
}

static void worked(struct stk_job *job, int status)
{
    struct stk_lookup *lookup = STK_CONTAINER(job, struct stk_lookup, job);

    if (status < 0)
        set_reason(lookup, "the look-up was cancelled");
    lookup->answered = true;
    tell(&lookup->task);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static int ask(struct stk_loop *loop, struct stk_lookup *lookup)
{
    const struct resolver *resolver = stk_loop_data(loop, &resolver_key);

    if (resolver && resolver->fn) {
        resolver->fn(resolver->context, lookup);
        return 0;
    }
    lookup->job.work = work;
    lookup->job.done = worked;
    return stk_job_submit(&lookup->job, loop);
}

int stk_lookup_start(struct stk_loop *loop, const char *name, int family, uint16_t port,
                     stk_lookup_done_fn *done, void *user, struct stk_lookup **out)
{
    struct stk_lookup *lookup;

    assert(family == AF_INET || family == AF_INET6);
    if (strlen(name) >= STK_LOOKUP_NAME_MAX)
        return -ENAMETOOLONG;
    lookup = stk_alloc_zero(sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->done = done;
    lookup->user = user;
    lookup->family = family;
    lookup->port = port;
    memcpy(lookup->name, name, strlen(name) + 1);
    stk_task_init(&lookup->task, loop, tell);
    const int code = ask(loop, lookup);
    if (code < 0) {
        stk_free(lookup);
        return code;
    }
    *out = lookup;
    return 0;
}

void stk_lookup_cancel(struct stk_lookup *lookup)
{
    lookup->done = NULL;
    /* A job that waits ends now; one that runs, and a resolver of the program's, answer nobody. */
    if (lookup->job.work && !lookup->answered)
        stk_job_cancel(&lookup->job);
}

const char *stk_lookup_name(const struct stk_lookup *lookup) { return lookup->name; }
int stk_lookup_family(const struct stk_lookup *lookup) { return lookup->family; }
