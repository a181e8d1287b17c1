/*
 * Runs one case of the benchmark and prints one line of numbers; bench/run makes a table of them.
 * Sender and receiver are processes of their own, so that the CPU time of each can be told.
 */
#include "side.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_S = 30, WARM_US = 300000 };

static const struct bench_case cases[] = {
    {.name = "tcp-reference", .receive = tcp_receive, .send = tcp_send},
    {.name = "tls-reference", .receive = tls_receive, .send = tls_send},
    {.name = "udp-gso", .receive = udp_receive, .send = udp_send, .datagram_bytes = 1400},
    {.name = "udp-gso-aead",
     .receive = udp_receive,
     .send = udp_send,
     .datagram_bytes = 1416,
     .sealed = true},
    {.name = "/tcp",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/ip4/127.0.0.1/tcp/0",
     .connect = "/ip4/127.0.0.1/tcp/@PORT"},
    {.name = "/tcp/tls",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/ip4/127.0.0.1/tcp/0/tls,cert=@CERT",
     .connect = "/ip4/127.0.0.1/tcp/@PORT/tls,sni=bench.example,ca=@CERT"},
    {.name = "/unix",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/unix/@UNIX",
     .connect = "/unix/@UNIX"},
    {.name = "/udp/ptcp",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/ip4/127.0.0.1/udp/0/ptcp",
     .connect = "/ip4/127.0.0.1/udp/@PORT/ptcp"},
    {.name = "/udp/seal/ptcp",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/ip4/127.0.0.1/udp/0/seal/ptcp",
     .connect = "/ip4/127.0.0.1/udp/@PORT/seal,peer=@KEY/ptcp"},
    {.name = "/udp/ptcp/tls",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/ip4/127.0.0.1/udp/0/ptcp/tls,cert=@CERT",
     .connect = "/ip4/127.0.0.1/udp/@PORT/ptcp/tls,sni=bench.example,ca=@CERT"},
    {.name = "/udp/ptcp,mtu=1472",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/ip4/127.0.0.1/udp/0/ptcp,mtu=1472",
     .connect = "/ip4/127.0.0.1/udp/@PORT/ptcp,mtu=1472"},
    {.name = "/udp/seal/ptcp,mtu=1472",
     .receive = stack_receive,
     .send = stack_send,
     .listen = "/ip4/127.0.0.1/udp/0/seal/ptcp,mtu=1472",
     .connect = "/ip4/127.0.0.1/udp/@PORT/seal,peer=@KEY/ptcp,mtu=1472"},
};

enum { CASES = sizeof cases / sizeof cases[0] };

/* --- What sides share --------------------------------------------------------------------------
 */

void side_tell_port(struct side *side, uint16_t port)
{
    if (write(side->port_pipe, &port, sizeof port) != sizeof port)
        side_failed(side, "can't tell the port");
}

int side_failed(const struct side *side, const char *what)
{
    fprintf(stderr, "bench: %s: %s%s%s\n", side->bench_case->name, what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    return 1;
}

static int stage_set(struct stage *stage)
{
    const char *tmp = getenv("TMPDIR");

    stk_key_pair_new(&stage->sender_key);
    stk_key_pair_new(&stage->receiver_key);
    snprintf(stage->dir, sizeof stage->dir, "%.40s/stk-bench-XXXXXX", tmp ? tmp : "/tmp");
    stage->bytes = malloc(CHUNK_BYTES);
    if (!stage->bytes || !mkdtemp(stage->dir))
        return -1;
    for (size_t i = 0; i < CHUNK_BYTES; i++)
        stage->bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    snprintf(stage->certificate, sizeof stage->certificate, "%s/certificate.pem", stage->dir);
    snprintf(stage->unix_path, sizeof stage->unix_path, "%s/socket", stage->dir);
    return tls_make_certificate(stage->certificate);
}

static void stage_clear(struct stage *stage)
{
    unlink(stage->certificate);
    unlink(stage->unix_path);
    rmdir(stage->dir);
    free(stage->bytes);
}

/* --- Two processes ------------------------------------------------------------------------------
 */

static pid_t start(struct side *side, side_fn *fn, struct measure *measure, uint64_t window_us)
{
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    alarm(DEADLINE_S);
    errno = 0;
    meter_init(&side->meter, measure, WARM_US, window_us);
    _exit(fn(side));
}

static bool ended_well(pid_t pid)
{
    int status;

    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* The receiver first: it tells its port when it is ready. measures: sender's, receiver's. */
static bool run_case(const struct stage *stage, const struct bench_case *bench_case,
                     struct measure measures[2], uint64_t window_us)
{
    struct side side = {.stage = stage, .bench_case = bench_case};
    int ends[2];

    if (pipe(ends) < 0)
        return false;
    side.port_pipe = ends[1];
    const pid_t receiver = start(&side, bench_case->receive, &measures[1], window_us);
    close(ends[1]);
    const bool ready = read(ends[0], &side.port, sizeof side.port) == sizeof side.port;
    close(ends[0]);
    const pid_t sender = ready ? start(&side, bench_case->send, &measures[0], window_us) : -1;
    const bool sent = ended_well(sender);
    return ended_well(receiver) && sent;
}

/* --- Output -------------------------------------------------------------------------------------
 */

static double seconds_per_gb(const struct measure *m)
{
    return m->bytes ? (double)m->cpu_us * 1e3 / (double)m->bytes : 0;
}

/* name, Gbit/s, CPU s/GB of sender and receiver, peak MiB of sender and receiver */
static void print_line(const struct bench_case *bench_case, const struct measure m[2])
{
    printf("%s %.3f %.3f %.3f %.1f %.1f\n", bench_case->name,
           (double)m[1].bytes * 8e-3 / (double)(m[1].time_us ? m[1].time_us : 1),
           seconds_per_gb(&m[0]), seconds_per_gb(&m[1]), (double)m[0].peak_kib / 1024,
           (double)m[1].peak_kib / 1024);
}

static const struct bench_case *find_case(const char *name)
{
    for (unsigned i = 0; i < CASES; i++)
        if (strcmp(cases[i].name, name) == 0)
            return &cases[i];
    return NULL;
}

static int usage(void)
{
    fprintf(stderr, "usage: bench CASE SECONDS\n       bench --list\n");
    return 2;
}

static int run_and_print(const struct bench_case *bench_case, uint64_t window_us)
{
    struct stage stage;
    struct measure *measures =
        mmap(NULL, 2 * sizeof *measures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool done;

    if (measures == MAP_FAILED || stage_set(&stage) < 0) {
        fprintf(stderr, "bench: no memory or no temporary directory\n");
        return 1;
    }
    done = run_case(&stage, bench_case, measures, window_us);
    stage_clear(&stage);
    if (!done || !measures[0].complete || !measures[1].complete) {
        fprintf(stderr, "bench: %s failed\n", bench_case->name);
        return 1;
    }
    if (measures[0].total_bytes != measures[1].total_bytes && bench_case->listen) {
        fprintf(stderr, "bench: %s: %llu bytes were sent, %llu came\n", bench_case->name,
                (unsigned long long)measures[0].total_bytes,
                (unsigned long long)measures[1].total_bytes);
        return 1;
    }
    print_line(bench_case, measures);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (unsigned i = 0; i < CASES; i++)
            puts(cases[i].name);
        return 0;
    }
    const struct bench_case *bench_case = argc == 3 ? find_case(argv[1]) : NULL;
    const double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
    if (!bench_case || !(seconds >= 0.1 && seconds <= 20))
        return usage();
    return run_and_print(bench_case, (uint64_t)(seconds * 1e6));
}
