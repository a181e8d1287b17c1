#include "side.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- What sides share --------------------------------------------------------------------------
 */

int stage_set(struct stage *stage)
{
    const char *tmp = getenv("TMPDIR"), *host = getenv("BENCH_RECEIVER_HOST");

    stk_key_pair_new(&stage->sender_key);
    stk_key_pair_new(&stage->receiver_key);
    stage->host = host ? host : "127.0.0.1";
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

void stage_clear(struct stage *stage)
{
    unlink(stage->certificate);
    unlink(stage->unix_path);
    rmdir(stage->dir);
    free(stage->bytes);
}

void *shared_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void side_tell_port(struct side *side, uint16_t port)
{
    if (write(side->port_pipe, &port, sizeof port) != sizeof port)
        side_failed(side, "can't tell the port");
}

struct sockaddr_in side_addr(const struct side *side, uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, side->stage->host, &addr.sin_addr);
    return addr;
}

int side_failed(const struct side *side, const char *what)
{
    fprintf(stderr, "bench: %s: %s%s%s\n", side->name, what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    return 1;
}

/* --- Two processes ------------------------------------------------------------------------------
 */

static bool enter_network(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool entered = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;

    if (fd >= 0)
        close(fd);
    return entered;
}

static bool pin(int processor)
{
    const char *wanted = getenv("BENCH_PIN");
    cpu_set_t set;

    if (!wanted || strcmp(wanted, "1") != 0)
        return true;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static pid_t start(struct side *side, side_fn *fn, bool receives, unsigned deadline_s)
{
    const char *network = getenv(receives ? "BENCH_RECEIVER_NETNS" : "BENCH_SENDER_NETNS");
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    alarm(deadline_s);
    prctl(PR_SET_NAME, receives ? "bench-receive" : "bench-send"); /* for profilers */
    if (network && *network && !enter_network(network))
        _exit(side_failed(side, network));
    if (!pin(receives ? 0 : 1))
        _exit(side_failed(side, "can't choose the processor"));
    errno = 0;
    _exit(fn(side));
}

static bool ended_well(const char *who, pid_t pid)
{
    int status;

    if (pid <= 0 || waitpid(pid, &status, 0) != pid)
        return false;
    if (WIFSIGNALED(status))
        fprintf(stderr, "bench: the %s ended by signal %d%s\n", who, WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ": it took too long" : "");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool sides_run(const struct stage *stage, const char *name, void *shared, side_fn *receive,
               side_fn *send, unsigned deadline_s)
{
    struct side side = {.stage = stage, .name = name, .shared = shared};
    int ends[2];

    if (pipe(ends) < 0)
        return false;
    side.port_pipe = ends[1];
    const pid_t receiver = start(&side, receive, true, deadline_s);
    close(ends[1]);
    const bool ready = read(ends[0], &side.port, sizeof side.port) == sizeof side.port;
    close(ends[0]);
    const pid_t sender = ready ? start(&side, send, false, deadline_s) : -1;
    const bool sent = ended_well("sender", sender);
    return ended_well("receiver", receiver) && sent;
}
