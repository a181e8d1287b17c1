/*
 * Goal: an accept loop that runs out of descriptors neither spins nor dies.
 * Method: a low RLIMIT_NOFILE and pending connections; calls of accept() are counted, not time.
 */
#include "every_backend.h"
#include "fault.h"

#include <string.h>
#include <sys/resource.h>

enum { CLIENTS = 3, FIRST_US = 2000, LONGEST_US = 8000 };

static struct server {
    struct stk_watch watch;
    struct stk_backoff backoff;
    int accepted[CLIENTS], count, attempts, stop_after;
    uint64_t rests_us;
} server;

static void on_listener(struct stk_watch *watch, unsigned events)
{
    const int fd = stk_sys.accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    const int result = fd < 0 ? -errno : fd;

    (void)events;
    server.attempts++;
    if (fd >= 0)
        server.accepted[server.count++] = fd;
    if (stk_backoff_rests(&server.backoff, result))
        server.rests_us += server.backoff.rest_us;
    if (server.attempts == server.stop_after || server.count == CLIENTS)
        stk_loop_stop(watch->loop);
}

static int listen_on(struct stk_addr *addr)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CU_ASSERT_EQUAL_FATAL(stk_addr_parse(addr, "127.0.0.1:0"), 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, &addr->any, addr->len), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 16), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, &addr->any, &addr->len), 0);
    return fd;
}

static void connect_clients(const struct stk_addr *addr, int fds[CLIENTS])
{
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CU_ASSERT_EQUAL_FATAL(connect(fds[i], &addr->any, addr->len), 0);
    }
}

/* So that the next descriptor is one too many. */
static struct rlimit exhaust_descriptors(void)
{
    struct rlimit former, lower;
    const int next = dup(STDIN_FILENO);

    getrlimit(RLIMIT_NOFILE, &former);
    lower = former;
    lower.rlim_cur = (rlim_t)next;
    close(next);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &lower), 0);
    return former;
}

static void begin(struct stk_loop *loop, int listener)
{
    memset(&server, 0, sizeof server);
    stk_watch_init(&server.watch, loop, listener, on_listener);
    CU_ASSERT_EQUAL(stk_watch_set(&server.watch, STK_READABLE), 0);
    stk_backoff_init(&server.backoff, &server.watch);
    server.backoff.first_us = FIRST_US;
    server.backoff.longest_us = LONGEST_US;
}

static void end(const int clients[CLIENTS])
{
    stk_backoff_stop(&server.backoff);
    stk_watch_stop(&server.watch);
    close(server.watch.fd);
    for (int i = 0; i < server.count; i++)
        close(server.accepted[i]);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
}

static void run_until_attempts(struct stk_loop *loop, int attempts)
{
    server.stop_after = attempts;
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    server.stop_after = 0;
}

static void shortage(struct stk_loop *loop)
{
    struct stk_addr addr;
    struct rlimit former;
    uint64_t started_us;
    int clients[CLIENTS];

    begin(loop, listen_on(&addr));
    connect_clients(&addr, clients);
    former = exhaust_descriptors();

    /* Five attempts take four rests: 2, 4, 8 and 8 ms. The sixth is not made before its time. */
    started_us = stk_loop_now_us(loop);
    run_until_attempts(loop, 5);
    CU_ASSERT_TRUE(stk_loop_now_us(loop) - started_us >= 22000);
    CU_ASSERT_EQUAL(server.rests_us, 2000 + 4000 + 8000 + 8000 + 8000);
    CU_ASSERT_EQUAL(server.count, 0);
    for (int i = 0; i < 50; i++)
        stk_loop_turn(loop, 0);
    CU_ASSERT_TRUE(server.attempts <= 6);

    setrlimit(RLIMIT_NOFILE, &former);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(server.count, CLIENTS);
    CU_ASSERT_EQUAL(server.backoff.rest_us, 0);
    end(clients);
}

static void an_accept_loop_survives_and_does_not_spin(void) { on_every_backend(shortage); }

static void freed(struct stk_loop *loop)
{
    const int spare = dup(STDIN_FILENO);
    struct stk_addr addr;
    struct rlimit former;
    int clients[CLIENTS];

    begin(loop, listen_on(&addr));
    server.backoff.first_us = server.backoff.longest_us = 3600 * UINT64_C(1000000);
    connect_clients(&addr, clients);
    former = exhaust_descriptors();
    run_until_attempts(loop, 1);
    CU_ASSERT_EQUAL(server.count, 0);
    CU_ASSERT_EQUAL(server.watch.events, 0);

    /* One descriptor comes free: one connection is taken, the next attempt rests again. */
    CU_ASSERT_EQUAL(stk_loop_close_fd(loop, spare), 0);
    run_until_attempts(loop, 3);
    CU_ASSERT_EQUAL(server.count, 1);
    CU_ASSERT_EQUAL(server.watch.events, 0);

    setrlimit(RLIMIT_NOFILE, &former);
    end(clients);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
}

static void a_freed_descriptor_ends_the_rest(void) { on_every_backend(freed); }

static void other_errors(struct stk_loop *loop)
{
    struct stk_backoff backoff;
    struct stk_watch watch;

    stk_watch_init(&watch, loop, 0, on_listener);
    stk_backoff_init(&backoff, &watch);
    CU_ASSERT_EQUAL(backoff.first_us, STK_BACKOFF_FIRST_US);
    CU_ASSERT_FALSE(stk_backoff_rests(&backoff, 5));
    CU_ASSERT_FALSE(stk_backoff_rests(&backoff, STK_AGAIN));
    CU_ASSERT_FALSE(stk_backoff_rests(&backoff, -ECONNABORTED));
    CU_ASSERT_TRUE(stk_backoff_rests(&backoff, -ENFILE));
    CU_ASSERT_TRUE(stk_backoff_rests(&backoff, -ENOBUFS));
    CU_ASSERT_TRUE(stk_backoff_rests(&backoff, -ENOMEM));
    CU_ASSERT_EQUAL(backoff.rest_us, STK_BACKOFF_FIRST_US);
    stk_backoff_stop(&backoff);
    CU_ASSERT_EQUAL(stk_loop_close_fd(loop, -1), -EBADF);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
}

static void only_a_shortage_makes_it_rest(void) { on_every_backend(other_errors); }

static CU_TestInfo tests[] = {
    {"an accept loop survives and does not spin", an_accept_loop_survives_and_does_not_spin},
    {"a freed descriptor ends the rest", a_freed_descriptor_ends_the_rest},
    {"only a shortage makes it rest", only_a_shortage_makes_it_rest},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("reactor backoff", tests)
