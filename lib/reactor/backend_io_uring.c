/*
 * Readiness through io_uring: one-shot polls, armed anew before each wait. The kernel looks at
 * the descriptor when a poll is armed, so what is level-triggered stays so; arming costs no system
 * call of its own, because it travels with the wait.
 *
 * A poll in the kernel may outlive the watch that asked for it, so its state is a struct of its
 * own, freed when the kernel has answered.
 */
#ifdef HAVE_LIBURING

#include "aside.h"
#include "backend.h"
#include "fd_table.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>

enum { SUBMISSIONS = 256 };

struct poll_request {
    struct stk_watch *watch; /* NULL: nobody is interested any more */
    unsigned armed;          /* events that the kernel polls for; 0: not armed */
    bool aside;              /* not the ring's matter: then it is in no list */
    struct stk_node node;    /* in `to_arm`, `to_update` or `in_kernel` */
};

struct uring_state {
    struct io_uring ring;
    struct reactor_fd_table table;
    struct stk_node to_arm, to_update, in_kernel, spare;
    struct reactor_aside aside; /* its address marks the answer to the poll of its set */
};

static int uring_open(void *state)
{
    struct uring_state *uring = state;
    struct io_uring_params params = {0};

    stk_list_init(&uring->to_arm);
    stk_list_init(&uring->to_update);
    stk_list_init(&uring->in_kernel);
    stk_list_init(&uring->spare);
    reactor_aside_init(&uring->aside);
    /* Forbidden, missing or without waits that end by time (5.11): not to be had here. */
    if (io_uring_queue_init_params(SUBMISSIONS, &uring->ring, &params) < 0)
        return -ENOSYS;
    if (params.features & IORING_FEAT_EXT_ARG)
        return 0;
    io_uring_queue_exit(&uring->ring);
    return -ENOSYS;
}

static void free_all(struct stk_node *list)
{
    struct stk_node *node;

    while ((node = stk_list_pop(list)) != NULL)
        stk_free(STK_CONTAINER(node, struct poll_request, node));
}

static void uring_close(void *state)
{
    struct uring_state *uring = state;

    io_uring_queue_exit(&uring->ring);
    reactor_aside_close(&uring->aside);
    free_all(&uring->to_arm);
    free_all(&uring->to_update);
    free_all(&uring->in_kernel);
    free_all(&uring->spare);
    reactor_fd_table_free(&uring->table);
}

static unsigned bits_of(unsigned events)
{
    return (events & STK_READABLE ? (unsigned)POLLIN : 0) |
           (events & STK_WRITABLE ? (unsigned)POLLOUT : 0);
}

static unsigned events_of(int bits)
{
    return (bits & POLLIN ? STK_READABLE : 0U) | (bits & POLLOUT ? STK_WRITABLE : 0U) |
           (bits & (POLLERR | POLLHUP | POLLNVAL) ? STK_HANGUP : 0U);
}

/* An entry of the submission queue; a full queue is handed to the kernel first. */
static struct io_uring_sqe *submission(struct uring_state *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    if (!sqe && io_uring_submit(&uring->ring) >= 0)
        sqe = io_uring_get_sqe(&uring->ring);
    return sqe;
}

static void want_arming(struct uring_state *uring, struct poll_request *request)
{
    stk_list_remove(&request->node);
    stk_list_append(&uring->to_arm, &request->node);
}

static struct poll_request *new_request(struct uring_state *uring)
{
    struct stk_node *node = stk_list_pop(&uring->spare);
    struct poll_request *request =
        node ? STK_CONTAINER(node, struct poll_request, node) : stk_alloc(sizeof *request);

    if (request)
        *request = (struct poll_request){.armed = 0};
    return request;
}

static int add(struct uring_state *uring, struct stk_watch *watch)
{
    const int result = reactor_fd_table_add(&uring->table, watch);
    struct poll_request *request;

    if (result < 0)
        return result;
    request = new_request(uring);
    if (!request) {
        reactor_fd_table_remove(&uring->table, watch);
        return -ENOMEM;
    }
    request->watch = watch;
    stk_list_init(&request->node);
    watch->backend_data = request;
    want_arming(uring, request);
    return 0;
}

/*
 * Submitted at once: a poll holds the open file, so that close(fd) would not really close it. When
 * the kernel takes no submission, the poll is forgotten all the same and answers some day.
 */
static void remove_watch(struct uring_state *uring, struct stk_watch *watch)
{
    struct poll_request *request = watch->backend_data;
    struct io_uring_sqe *sqe;

    reactor_fd_table_remove(&uring->table, watch);
    watch->backend_data = NULL;
    request->watch = NULL;
    if (!request->armed) {
        stk_list_remove(&request->node);
        stk_list_append(&uring->spare, &request->node);
        return;
    }
    sqe = submission(uring);
    if (!sqe)
        return;
    io_uring_prep_poll_remove(sqe, (uint64_t)(uintptr_t)request);
    io_uring_sqe_set_data(sqe, NULL);
    io_uring_submit(&uring->ring);
}

/*
 * If the poll has been answered meanwhile, the update finds nothing, and the answer leads to
 * arming with the new events. A poll for too much is left alone: what nobody wants is dropped.
 * False where the submission queue takes nothing now.
 */
static bool update(struct uring_state *uring, struct poll_request *request)
{
    const unsigned events = request->watch ? request->watch->events : 0;
    struct io_uring_sqe *sqe;

    if (!request->armed || !(events & ~request->armed))
        return true;
    sqe = submission(uring);
    if (!sqe)
        return false;
    io_uring_prep_poll_update(sqe, (uint64_t)(uintptr_t)request, 0, bits_of(events),
                              IORING_POLL_UPDATE_EVENTS);
    io_uring_sqe_set_data(sqe, NULL);
    request->armed = events;
    return true;
}

static void update_now_or_later(struct uring_state *uring, struct poll_request *request)
{
    if (update(uring, request))
        return;
    stk_list_remove(&request->node);
    stk_list_append(&uring->to_update, &request->node);
}

static bool update_all(struct uring_state *uring)
{
    while (!stk_list_empty(&uring->to_update)) {
        struct poll_request *request =
            STK_CONTAINER(uring->to_update.next, struct poll_request, node);

        if (!update(uring, request))
            return false;
        stk_list_remove(&request->node);
        stk_list_append(&uring->in_kernel, &request->node);
    }
    return true;
}

static int uring_change(void *state, struct stk_watch *watch, unsigned before)
{
    struct uring_state *uring = state;
    struct poll_request *request = watch->backend_data;
    int code = 0;

    if (!before)
        return add(uring, watch);
    if (request->aside)
        code = reactor_aside_change(&uring->aside, watch);
    else if (watch->events)
        update_now_or_later(uring, request);
    if (!watch->events)
        remove_watch(uring, watch);
    return code;
}

static bool arm_aside(struct uring_state *uring)
{
    struct io_uring_sqe *sqe;

    if (uring->aside.count == 0 || uring->aside.armed)
        return true;
    sqe = submission(uring);
    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, uring->aside.fd, POLLIN);
    io_uring_sqe_set_data(sqe, &uring->aside);
    uring->aside.armed = true;
    return true;
}

/* What finds no room in the submission queue is armed in the next round. */
static bool arm_all(struct uring_state *uring)
{
    while (!stk_list_empty(&uring->to_arm)) {
        struct poll_request *request = STK_CONTAINER(uring->to_arm.next, struct poll_request, node);
        struct io_uring_sqe *sqe = submission(uring);

        if (!sqe)
            return false;
        io_uring_prep_poll_add(sqe, request->watch->fd, bits_of(request->watch->events));
        io_uring_sqe_set_data(sqe, request);
        request->armed = request->watch->events;
        stk_list_remove(&request->node);
        stk_list_append(&uring->in_kernel, &request->node);
    }
    return true;
}

static void take_aside(struct uring_state *uring, struct stk_loop *loop)
{
    uring->aside.armed = false;
    reactor_aside_report(&uring->aside, loop);
}

/* Nothing that could be asked for: the end of the peer's direction, which will not go away. */
static bool tells_nothing(int result) { return result > 0 && events_of(result) == 0; }

static void answered(struct uring_state *uring, struct stk_loop *loop, struct poll_request *request,
                     int result)
{
    request->armed = 0;
    stk_list_remove(&request->node);
    if (!request->watch) {
        stk_list_append(&uring->spare, &request->node);
        return;
    }
    if (tells_nothing(result) && reactor_aside_add(&uring->aside, request->watch) == 0) {
        request->aside = true;
        return;
    }
    want_arming(uring, request);
    if (result != -ECANCELED)
        stk_backend_ready(loop, request->watch, result < 0 ? STK_HANGUP : events_of(result));
}

static void take_answers(struct uring_state *uring, struct stk_loop *loop)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&uring->ring, head, cqe)
    {
        void *data = io_uring_cqe_get_data(cqe);

        count++;
        if (data == &uring->aside)
            take_aside(uring, loop);
        else if (data)
            answered(uring, loop, data, cqe->res);
    }
    io_uring_cq_advance(&uring->ring, count);
}

static int submit_and_wait(struct uring_state *uring, int64_t timeout_us)
{
    struct __kernel_timespec timeout = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    struct io_uring_cqe *cqe;

    return io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, timeout_us < 0 ? NULL : &timeout,
                                            NULL);
}

static int uring_wait(void *state, struct stk_loop *loop, int64_t timeout_us)
{
    struct uring_state *uring = state;
    const bool all_told = update_all(uring) && arm_all(uring) && arm_aside(uring);
    const int result = submit_and_wait(uring, all_told ? timeout_us : 0);

    take_answers(uring, loop);
    if (result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY ||
        result == -EAGAIN)
        return 0;
    return result;
}

const struct stk_backend reactor_io_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .change = uring_change,
    .wait = uring_wait,
    .state_size = sizeof(struct uring_state),
};

#else

/* An empty translation unit is not C. */
typedef int reactor_io_uring_is_not_built;

#endif
