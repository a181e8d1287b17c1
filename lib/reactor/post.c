#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct post {
    void (*fn)(void *arg);
    void *arg;
    struct stk_node node;
};

/* Read first, then clear the flag: who finds the flag set has queued before we look at queues. */
static void on_wake(struct stk_watch *watch, unsigned events)
{
    uint64_t count;

    (void)events;
    while (read(watch->fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    atomic_store(&watch->loop->woken, false);
}

/* Async-signal-safe: an atomic and a write, and errno as it was. */
void stk_loop_wake(struct stk_loop *loop)
{
    const uint64_t one = 1;
    const int saved_errno = errno;
    ssize_t wrote;

    if (atomic_exchange(&loop->woken, true))
        return;
    do
        wrote = write(loop->wake.fd, &one, sizeof one);
    while (wrote < 0 && errno == EINTR);
    errno = saved_errno;
}

int reactor_wake_open(struct stk_loop *loop)
{
    const int fd = stk_sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result;

    if (fd < 0)
        return -errno;
    pthread_mutex_init(&loop->posts.mutex, NULL);
    stk_list_init(&loop->posts.queue);
    stk_watch_init(&loop->wake, loop, fd, on_wake);
    result = stk_watch_set(&loop->wake, STK_READABLE);
    if (result == 0 || result == -ENOSYS)
        return 0;
    reactor_wake_close(loop);
    return result;
}

void reactor_wake_close(struct stk_loop *loop)
{
    assert(stk_list_empty(&loop->posts.queue));
    stk_watch_stop(&loop->wake);
    stk_sys.close(loop->wake.fd);
    pthread_mutex_destroy(&loop->posts.mutex);
}

int stk_loop_post(struct stk_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct post *post = stk_alloc(sizeof *post);

    if (!post)
        return -ENOMEM;
    *post = (struct post){.fn = fn, .arg = arg};
    pthread_mutex_lock(&loop->posts.mutex);
    stk_list_append(&loop->posts.queue, &post->node);
    /* Under the lock: once the post can be seen, the loop may run it and be freed. */
    stk_loop_wake(loop);
    pthread_mutex_unlock(&loop->posts.mutex);
    return 0;
}

static struct post *take(struct reactor_posts *posts)
{
    struct stk_node *node;

    pthread_mutex_lock(&posts->mutex);
    node = stk_list_pop(&posts->queue);
    pthread_mutex_unlock(&posts->mutex);
    return node ? STK_CONTAINER(node, struct post, node) : NULL;
}

bool reactor_has_posts(struct stk_loop *loop)
{
    bool any;

    pthread_mutex_lock(&loop->posts.mutex);
    any = !stk_list_empty(&loop->posts.queue);
    pthread_mutex_unlock(&loop->posts.mutex);
    return any;
}

unsigned reactor_run_posts(struct stk_loop *loop)
{
    unsigned count = 0;

    for (; count < REACTOR_POSTS_PER_TURN; count++) {
        struct post *post = take(&loop->posts);
        struct post copy;

        if (!post)
            break;
        copy = *post;
        stk_free(post);
        copy.fn(copy.arg);
    }
    return count;
}
