/*
 * Full sealed handshakes between two processes: seal's association with new keys on both sides, a
 * PTCP connection on it, its end in order. Every client is somebody whom the server has never seen,
 * on a socket of its own.
 *
 *   handshakes SECONDS N    N at a time
 *
 * One line of name=value pairs goes to stdout. `server_per_core` is how many the server's processor
 * time would have been enough for on one core; `per_s` is limited by the client's core as well.
 */
#include "seal.h"
#include "stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { WARM_US = 500000, DEADLINE_S = 120 };

struct report {
    int64_t cpu_us, time_us;
    uint64_t ended; /* connections, in order */
};

static struct stk_loop *loop;
static int to_peer, from_peer;
static uint64_t ended, failed;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "handshakes: %s: %s\n", what, why);
    exit(1);
}

static int64_t microseconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct report report_now(void)
{
    return (struct report){.cpu_us = microseconds(CLOCK_PROCESS_CPUTIME_ID),
                           .time_us = microseconds(CLOCK_MONOTONIC),
                           .ended = ended};
}

/* --- Server ---------------------------------------------------------------------------------- */

static void served(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn;
    ended += !error;
}

static const struct stk_protocol server_protocol = {.closed = served};

static void asked(struct stk_watch *watch, unsigned events)
{
    const struct report now = report_now();
    char question;

    (void)watch, (void)events;
    if (read(from_peer, &question, 1) != 1)
        _exit(0);
    if (write(to_peer, &now, sizeof now) != sizeof now)
        fail("server", "the client is gone");
}

static void serve(const struct stk_key_pair *key)
{
    struct stk_watch question;
    struct stk_error error = {0};
    struct stk_listener *listener;
    struct stk_addr address;

    stk_seal_set_identity(loop, key);
    if (stk_listen(loop, "/ip4/127.0.0.1/udp/0/seal,load=4000000000/ptcp,backlog=4096",
                   &server_protocol, NULL, &listener, &error))
        fail("listen", error.text);
    stk_listener_addr(listener, &address);
    const uint16_t port = stk_addr_port(&address);
    if (write(to_peer, &port, sizeof port) != sizeof port)
        fail("server", "the client is gone");
    stk_watch_init(&question, loop, from_peer, asked);
    stk_watch_set(&question, STK_READABLE);
    stk_loop_run(loop);
}

/* --- Client ---------------------------------------------------------------------------------- */

static char address[256];
static struct stk_timer timer;
static uint64_t window_us;
static struct report server[2], client[2];
static int reports;

static struct report ask(void)
{
    struct report answer;

    if (write(to_peer, "?", 1) != 1 || read(from_peer, &answer, sizeof answer) != sizeof answer)
        fail("server", "it is gone");
    return answer;
}

static void open_one(void);

static void opened(struct stk_conn *conn) { stk_conn_close(conn); }

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn;
    ended += !error;
    failed += error != NULL;
    open_one();
}

static const struct stk_protocol client_protocol = {.opened = opened, .closed = closed};

/* No identity is set: each connection makes a passing one. */
static void open_one(void)
{
    struct stk_error error = {0};
    struct stk_conn *conn;

    if (stk_connect(loop, address, &client_protocol, NULL, &conn, &error))
        fail("connect", error.text);
}

static void on_timer(struct stk_timer *due)
{
    server[reports] = ask();
    client[reports++] = report_now();
    if (reports == 2)
        stk_loop_stop(loop);
    else
        stk_timer_at(due, stk_loop_now_us(loop) + window_us);
}

static void print(void)
{
    const double seconds = (double)(server[1].time_us - server[0].time_us) / 1e6;
    const double count = (double)(server[1].ended - server[0].ended);
    const double server_us = (double)(server[1].cpu_us - server[0].cpu_us) / count;
    const double client_us = (double)(client[1].cpu_us - client[0].cpu_us) / count;

    printf("handshakes per_s=%.0f server_us=%.1f server_per_core=%.0f client_us=%.1f "
           "failed=%" PRIu64 "\n",
           count / seconds, server_us, 1e6 / server_us, client_us, failed);
}

static void start_server(void)
{
    struct stk_key_pair key;
    char text[STK_KEY_TEXT_MAX];
    int up[2], down[2];
    uint16_t port;

    stk_key_pair_new(&key);
    if (pipe(up) < 0 || pipe(down) < 0)
        fail("pipe", strerror(errno));
    const pid_t pid = fork();
    if (pid < 0)
        fail("fork", strerror(errno));
    to_peer = pid ? up[1] : down[1];
    from_peer = pid ? down[0] : up[0];
    close(pid ? up[0] : up[1]);
    close(pid ? down[1] : down[0]);
    alarm(DEADLINE_S);
    if (stk_loop_new(NULL, &loop))
        fail("loop", "it can't be made");
    if (pid == 0) {
        serve(&key);
        _exit(0);
    }
    if (read(from_peer, &port, sizeof port) != sizeof port)
        fail("server", "it did not start");
    snprintf(address, sizeof address, "/ip4/127.0.0.1/udp/%u/seal,peer=%s/ptcp", port,
             stk_key_format(key.public_key, text));
}

int main(int argc, char **argv)
{
    const double seconds = argc == 3 ? strtod(argv[1], NULL) : 0;
    const unsigned long at_a_time = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    struct rlimit files;

    if (seconds < 0.1 || seconds > 60 || at_a_time < 1 || at_a_time > 10000) {
        fprintf(stderr, "usage: handshakes SECONDS N\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    window_us = (uint64_t)(seconds * 1e6);
    start_server();
    for (unsigned long i = 0; i < at_a_time; i++)
        open_one();
    stk_timer_init(&timer, loop, on_timer);
    stk_timer_at(&timer, stk_loop_now_us(loop) + WARM_US);
    stk_loop_run(loop);
    print();
    fflush(stdout);
    _exit(0);
}
