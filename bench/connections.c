/*
 * Many sealed PTCP connections between two processes: what an idle one costs in memory, how many
 * streams one association opens in a second, and what they carry together.
 *
 *   connections idle N              N connections, each with its own association
 *   connections apart N             the same, each with a socket of its own, too
 *   connections beside N            N further connections on one association
 *   connections streams SECONDS N   open, ask, be answered, close; N at a time on one association
 *   connections bulk SECONDS N      N connections on one association, all sending
 *   connections spread SECONDS N    the same with an association for each
 *
 * A further argument of these two is the size of datagrams to keep to.
 *
 * One line of name=value pairs goes to stdout. `others` is how many processors other programs had
 * meanwhile (see pair.h). Memory is bytes per connection: what the heap lent (mallinfo2) and what
 * became resident (without the pages of programs and libraries), both since before the first of
 * the N.
 */
#include "machine.h"
#include "pair.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    AT_A_TIME = 64, /* connections that open at once: a listener's backlog is 128 */
    QUIET_US = 2000000,
    WARM_US = 1000000,
    MESSAGE_BYTES = 100,
    BLOCK_BYTES = 64 * 1024,
    DEADLINE_S = 180,
};

enum work { WORK_IDLE, WORK_APART, WORK_BESIDE, WORK_STREAMS, WORK_BULK, WORK_SPREAD, WORKS };

struct use {
    int64_t heap, resident, cpu_us, machine_us, time_us;
};

/* What the server tells when it is asked. */
struct report {
    struct use use;
    uint64_t bytes, connections;
    double fairness; /* Jain's index over the bytes of each connection since the last report */
};

struct side;

/* One connection of the server's. */
struct peer {
    struct stk_node node;
    struct side *side;
    uint64_t bytes, told;
};

struct side {
    struct pair pair;
    enum work work;
    unsigned wanted;
    uint64_t window_us;
    const char *mtu; /* NULL: searched */

    /* The server's. */
    struct stk_node connections;
    struct peer idle_peer;
    uint64_t bytes, accepted;

    /* The client's. */
    struct stk_loop *loop;
    char address[300];
    struct stk_conn *first;
    struct stk_timer timer;
    unsigned begun, open, opening;
    uint64_t done; /* streams that ended in order */
    bool measuring, over;
    struct report before, after;
    struct use used_before, used_after;
    uint64_t done_before;
};

static const uint8_t block[BLOCK_BYTES];

/* --- Measuring ---------------------------------------------------------------------------------
 */

static struct use measure(void)
{
    const struct mallinfo2 heap = mallinfo2();
    long pages = 0, of_files = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    if (!statm || fscanf(statm, "%*d %ld %ld", &pages, &of_files) != 2)
        pair_fail("/proc/self/statm", "can't be read");
    fclose(statm);
    return (struct use){.heap = (int64_t)(heap.uordblks + heap.hblkhd),
                        .resident = (pages - of_files) * sysconf(_SC_PAGESIZE),
                        .cpu_us = pair_clock_us(CLOCK_PROCESS_CPUTIME_ID),
                        .machine_us = (int64_t)machine_now().used_us,
                        .time_us = pair_clock_us(CLOCK_MONOTONIC)};
}

/* --- Server ------------------------------------------------------------------------------------
 */

static int accepted(struct stk_conn *conn)
{
    struct side *side = stk_conn_user(conn);
    struct peer *peer = NULL;

    side->accepted++;
    /* The first of a bulk run is only there for the others to be opened beside it. */
    stk_conn_set_user(conn, &side->idle_peer);
    if (side->work == WORK_SPREAD || (side->work == WORK_BULK && side->accepted > 1)) {
        peer = malloc(sizeof *peer);
        if (!peer)
            return -ENOMEM;
        *peer = (struct peer){.side = side};
        stk_list_append(&side->connections, &peer->node);
        stk_conn_set_user(conn, peer);
    }
    return 0;
}

static size_t took(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct peer *peer = stk_conn_user(conn);

    (void)data;
    peer->bytes += len;
    peer->side->bytes += len;
    return len;
}

static size_t answer(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    (void)data;
    if (len < MESSAGE_BYTES)
        return 0;
    stk_conn_write(conn, block, MESSAGE_BYTES);
    stk_conn_close(conn);
    return len;
}

static size_t ignore(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    (void)conn;
    (void)data;
    return len;
}

static const struct stk_protocol sink = {.accepted = accepted, .received = took};
static const struct stk_protocol responder = {.accepted = accepted, .received = answer};
static const struct stk_protocol idler = {.accepted = accepted, .received = ignore};

static const struct stk_protocol *served(enum work work)
{
    return work == WORK_STREAMS                       ? &responder
           : work == WORK_BULK || work == WORK_SPREAD ? &sink
                                                      : &idler;
}

static double fairness(struct side *side)
{
    double sum = 0, squares = 0, count = 0;

    STK_LIST_EACH(node, &side->connections)
    {
        struct peer *peer = STK_CONTAINER(node, struct peer, node);
        const double bytes = (double)(peer->bytes - peer->told);

        peer->told = peer->bytes;
        sum += bytes;
        squares += bytes * bytes;
        count++;
    }
    return squares > 0 ? sum * sum / (squares * count) : 1;
}

static void tell(void *user, void *out)
{
    struct side *side = user;
    const struct report report = {.use = measure(),
                                  .bytes = side->bytes,
                                  .connections = side->accepted,
                                  .fairness = fairness(side)};

    memcpy(out, &report, sizeof report);
}

/* --- Client ------------------------------------------------------------------------------------
 */

static struct report ask(struct side *side)
{
    struct report report;

    pair_ask(&side->pair, &report, sizeof report);
    return report;
}

static void open_more(struct side *side);

static void opened(struct stk_conn *conn)
{
    struct side *side = stk_conn_user(conn);

    side->opening--;
    side->open++;
    open_more(side);
}

static void pump(struct stk_conn *conn)
{
    while (stk_conn_write(conn, block, sizeof block) == (long)sizeof block)
        ;
}

static void pump_opened(struct stk_conn *conn)
{
    opened(conn);
    stk_conn_set_marks(conn, 0, 1); /* what waits, waits here and not in the library */
    pump(conn);
}

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = stk_conn_user(conn);

    if (side->over)
        return;
    if (error)
        pair_fail(error->layer, error->text);
    side->open--;
    side->begun--;
    side->done++;
    open_more(side);
}

static void ask_opened(struct stk_conn *conn)
{
    opened(conn);
    stk_conn_finish(conn);
}

static const struct stk_protocol idle_client = {
    .opened = opened, .received = ignore, .closed = closed};
static const struct stk_protocol asking = {
    .opened = ask_opened, .received = ignore, .closed = closed};
static const struct stk_protocol source = {
    .opened = pump_opened, .received = ignore, .writable = pump, .closed = closed};

static const struct stk_protocol *used(enum work work)
{
    return work == WORK_STREAMS                       ? &asking
           : work == WORK_BULK || work == WORK_SPREAD ? &source
                                                      : &idle_client;
}

/* Or else it opens beside the first one. */
static bool connects(enum work work)
{
    return work == WORK_IDLE || work == WORK_APART || work == WORK_SPREAD;
}

static void open_one(struct side *side)
{
    struct stk_conn *conn;
    struct stk_error error;
    const int code =
        connects(side->work)
            ? stk_connect(side->loop, side->address, used(side->work), side, &conn, &error)
            : stk_conn_open_sibling(side->first, used(side->work), side, &conn, &error);

    if (code < 0)
        pair_fail(error.layer, error.text);
    side->begun++;
    side->opening++;
    if (side->work == WORK_STREAMS)
        stk_conn_write(conn, block, MESSAGE_BYTES);
}

static void open_more(struct side *side)
{
    if (!side->first && !connects(side->work))
        return;
    while (side->begun < side->wanted && side->opening < AT_A_TIME && !side->over)
        open_one(side);
    /* Streams come and go: time begins with the first. */
    if (!side->measuring && (side->open == side->wanted || side->work == WORK_STREAMS)) {
        side->measuring = true;
        stk_timer_in(&side->timer, side->window_us ? WARM_US : QUIET_US);
    }
}

static void first_opened(struct stk_conn *conn)
{
    struct side *side = stk_conn_user(conn);

    side->first = conn;
    side->before = ask(side);
    side->used_before = measure();
    open_more(side);
}

static const struct stk_protocol first = {.opened = first_opened, .received = ignore};

static void on_timer(struct stk_timer *timer)
{
    struct side *side = STK_CONTAINER(timer, struct side, timer);

    if (side->window_us && !side->done_before) {
        side->before = ask(side);
        side->used_before = measure();
        side->done_before = side->done + 1;
        stk_timer_in(&side->timer, side->window_us);
        return;
    }
    side->after = ask(side);
    side->used_after = measure();
    side->over = true;
    stk_loop_stop(side->loop);
}

static void run_client(struct side *side)
{
    struct stk_error error;

    if (stk_loop_new(NULL, &side->loop) < 0)
        pair_fail("client", "no loop");
    stk_timer_init(&side->timer, side->loop, on_timer);
    if (connects(side->work)) {
        side->before = ask(side);
        side->used_before = measure();
        open_more(side);
    } else if (stk_connect(side->loop, side->address, &first, side, NULL, &error) < 0) {
        pair_fail(error.layer, error.text);
    }
    stk_loop_run(side->loop);
    if (!side->over)
        pair_fail("client", "it ended early");
}

/* --- Results -----------------------------------------------------------------------------------
 */

static void print_memory(const struct side *side, const char *name)
{
    const double n = side->wanted;
    const struct use *c[2] = {&side->used_before, &side->used_after};
    const struct use *s[2] = {&side->before.use, &side->after.use};

    printf("%s connections=%u client_heap=%.0f client_resident=%.0f server_heap=%.0f "
           "server_resident=%.0f\n",
           name, side->wanted, (double)(c[1]->heap - c[0]->heap) / n,
           (double)(c[1]->resident - c[0]->resident) / n, (double)(s[1]->heap - s[0]->heap) / n,
           (double)(s[1]->resident - s[0]->resident) / n);
}

static void print_rate(const struct side *side, const char *name)
{
    const struct use *c[2] = {&side->used_before, &side->used_after};
    const struct use *s[2] = {&side->before.use, &side->after.use};
    const double seconds = (double)(c[1]->time_us - c[0]->time_us) / 1e6;
    const double bytes = (double)(side->after.bytes - side->before.bytes);
    const double streams = (double)(side->done + 1 - side->done_before);
    const double work = side->work == WORK_STREAMS ? streams / 1e6 : bytes / 1e9;

    if (work <= 0)
        pair_fail("client", "nothing came of it");
    const int64_t client_us = c[1]->cpu_us - c[0]->cpu_us, server_us = s[1]->cpu_us - s[0]->cpu_us;

    printf("%s connections=%u ", name, side->wanted);
    if (side->work == WORK_STREAMS)
        printf("streams_per_s=%.0f client_us=%.2f server_us=%.2f", streams / seconds,
               (double)client_us / 1e6 / work, (double)server_us / 1e6 / work);
    else
        printf("gbit_per_s=%.3f fairness=%.3f client_s_per_gb=%.3f server_s_per_gb=%.3f",
               bytes * 8e-9 / seconds, side->after.fairness, (double)client_us / 1e6 / work,
               (double)server_us / 1e6 / work);
    printf(" client_heap=%" PRId64 " server_heap=%" PRId64 " others=%.2f\n", c[1]->heap, s[1]->heap,
           pair_others(c[1]->time_us - c[0]->time_us, c[1]->machine_us - c[0]->machine_us,
                       client_us + server_us));
}

static const char *const names[] = {"idle", "apart", "beside", "streams", "bulk", "spread"};

static bool read_arguments(struct side *side, int argc, char **argv)
{
    unsigned work = 0;
    double seconds = 0;

    while (argc > 1 && work < WORKS && strcmp(argv[1], names[work]) != 0)
        work++;
    const bool timed = work >= WORK_STREAMS;
    if (argc < (timed ? 4 : 3) || argc > (work >= WORK_BULK ? 5 : timed ? 4 : 3) || work == WORKS)
        return false;
    side->work = work;
    seconds = timed ? strtod(argv[2], NULL) : 0;
    side->wanted = (unsigned)strtoul(argv[timed ? 3 : 2], NULL, 10);
    side->window_us = (uint64_t)(seconds * 1e6);
    side->mtu = argc == 5 ? argv[4] : NULL;
    return side->wanted > 0 && side->wanted <= 60000 && timed == (seconds >= 0.1 && seconds <= 60);
}

static void start(struct side *side)
{
    const struct pair_server server = {
        .recipe = "/ip4/127.0.0.1/udp/0/seal,load=1000000,associations=65536/ptcp",
        .protocol = served(side->work),
        .user = side,
        .report = tell,
        .report_bytes = sizeof(struct report),
    };

    stk_list_init(&side->connections);
    pair_start(&side->pair, &server, DEADLINE_S);

    const char *address = side->pair.address, *seal = strstr(address, "/seal");
    snprintf(side->address, sizeof side->address, "%.*s%s%s%s%s", (int)(seal - address), address,
             side->work == WORK_APART ? ",share=no" : "", seal, side->mtu ? ",mtu=" : "",
             side->mtu ? side->mtu : "");
}

int main(int argc, char **argv)
{
    struct side side = {0};

    if (!read_arguments(&side, argc, argv)) {
        fprintf(stderr, "usage: connections idle|apart|beside N\n"
                        "       connections streams SECONDS N\n"
                        "       connections bulk|spread SECONDS N [MTU]\n");
        return 2;
    }
    start(&side);
    run_client(&side);
    if (side.window_us)
        print_rate(&side, names[side.work]);
    else
        print_memory(&side, names[side.work]);
    fflush(stdout);
    _exit(0); /* ten thousand goodbyes measure nothing */
}
