#include "pair.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { REPORT_MAX = 512 };

void pair_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

int64_t pair_clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- Server ---------------------------------------------------------------------------------- */

struct serving {
    struct pair *pair;
    const struct pair_server *server;
    struct stk_watch question;
};

static void on_question(struct stk_watch *watch, unsigned events)
{
    struct serving *serving = STK_CONTAINER(watch, struct serving, question);
    const size_t len = serving->server->report_bytes;
    uint8_t report[REPORT_MAX];
    char question;

    (void)events;
    if (read(serving->pair->from_peer, &question, 1) != 1)
        _exit(0); /* the client is done */
    serving->server->report(serving->server->user, report);
    if (write(serving->pair->to_peer, report, len) != (ssize_t)len)
        _exit(1);
}

static void serve(struct pair *pair, const struct pair_server *server)
{
    struct serving serving = {.pair = pair, .server = server};
    struct stk_listener *listener;
    struct stk_error error;
    struct stk_addr addr;
    struct stk_loop *loop;

    if (stk_loop_new(NULL, &loop) < 0 || stk_seal_set_identity(loop, &pair->key) < 0)
        pair_fail("server", "no loop");
    if (stk_listen(loop, server->recipe, server->protocol, server->user, &listener, &error) < 0)
        pair_fail("server", error.text);
    stk_listener_addr(listener, &addr);
    const uint16_t port = stk_addr_port(&addr);
    if (write(pair->to_peer, &port, sizeof port) != sizeof port)
        pair_fail("server", "the client is gone");
    stk_watch_init(&serving.question, loop, pair->from_peer, on_question);
    stk_watch_set(&serving.question, STK_READABLE);
    stk_loop_run(loop);
}

/* --- Both ------------------------------------------------------------------------------------ */

static void took_too_long(int number)
{
    static const char text[] = "bench: it took too long\n";

    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

static void allow_all_files(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* On one processor by the scheduler's whim the two would not show what they can do. */
static void take_processor(unsigned wish)
{
    cpu_set_t allowed, mine;

    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0 || CPU_COUNT(&allowed) < 2)
        return;
    CPU_ZERO(&mine);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && wish-- == 0)
            CPU_SET(cpu, &mine);
    sched_setaffinity(0, sizeof mine, &mine);
}

static bool part(struct pair *pair)
{
    int up[2], down[2];

    if (pipe(up) < 0 || pipe(down) < 0)
        pair_fail("pipe", strerror(errno));
    const pid_t pid = fork();
    if (pid < 0)
        pair_fail("fork", strerror(errno));
    const bool server = pid == 0;
    take_processor(server);
    pair->to_peer = server ? down[1] : up[1];
    pair->from_peer = server ? up[0] : down[0];
    close(server ? down[0] : up[0]);
    close(server ? up[1] : down[1]);
    return server;
}

void pair_start(struct pair *pair, const struct pair_server *server, unsigned deadline_s)
{
    char text[STK_KEY_TEXT_MAX];
    uint16_t port;

    stk_key_pair_new(&pair->key);
    allow_all_files();
    signal(SIGPIPE, SIG_IGN); /* who finds its peer gone says so */
    signal(SIGALRM, took_too_long);
    const bool is_server = part(pair);
    alarm(deadline_s);
    if (is_server) {
        serve(pair, server);
        _exit(0);
    }
    if (read(pair->from_peer, &port, sizeof port) != sizeof port)
        pair_fail("server", "it did not start");
    snprintf(pair->address, sizeof pair->address, "/ip4/127.0.0.1/udp/%u/seal,peer=%s/ptcp", port,
             stk_key_format(pair->key.public_key, text));
}

void pair_ask(struct pair *pair, void *report, size_t report_bytes)
{
    if (write(pair->to_peer, "?", 1) != 1 ||
        read(pair->from_peer, report, report_bytes) != (ssize_t)report_bytes)
        pair_fail("server", "it is gone");
}

double pair_others(int64_t time_us, int64_t machine_us, int64_t cpu_us)
{
    /* Ticks of 10 ms are not exact. */
    return machine_us > cpu_us ? (double)(machine_us - cpu_us) / (double)time_us : 0;
}
