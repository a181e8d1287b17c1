#include "contract.h"

#include "fault.h"
#include "harness.h"
#include "oracle.h"
#include "probe.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PATIENCE_US = 40 * 1000 * 1000, /* of one scenario; nothing that works takes so long */
};

/* What a side shall do; the zero value is "read all, send nothing, finish at once". */
struct plan {
    uint64_t send;          /* bytes */
    size_t piece;           /* bytes of one write; 0: as many as fit */
    size_t take;            /* bytes that received() uses at a time; 0: all */
    bool finish_after_peer; /* finishes only when the peer has */
    bool never_finish;
    bool pause_often;
    const char *close_in; /* the callback in which it closes */
    const char *abort_in; /* the callback in which it aborts */
};

struct side {
    const char *name;
    const struct plan *plan;
    struct stk_conn *conn;
    uint64_t seed, peer_seed;
    uint64_t sent;
    struct oracle_stream in;
    int accepted, opened, finished, delivered, closed;
    int callbacks_after_closed;
    bool finish_called, wrong_write, early;
    struct stk_error error;
    uint64_t expected;
};

struct variant;

struct stage {
    const struct contract_stack *stack;
    const struct variant *variant;
    const char *below_a, *below_b; /* further layers on the transport, for one case */
    struct stk_loop *loop;
    struct stk_listener *listener;
    struct side a, b;
    bool broken; /* setting up failed: only with injected faults */
};

static struct stage stage;

/* --- The protocol
 * ------------------------------------------------------------------------------------ */

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void note(struct side *side)
{
    if (side->closed > 0)
        side->callbacks_after_closed++;
}

static bool is(const char *wanted, const char *here)
{
    return wanted != NULL && strcmp(wanted, here) == 0;
}

/* True if the plan ends the connection in this callback. */
static bool ends_in(struct side *side, const char *callback)
{
    if (is(side->plan->close_in, callback))
        stk_conn_close(side->conn);
    else if (is(side->plan->abort_in, callback))
        stk_conn_abort(side->conn);
    else
        return false;
    return true;
}

static void write_more(struct side *side)
{
    uint8_t bytes[16384];

    while (side->sent < side->plan->send) {
        size_t len = side->plan->piece > 0 ? side->plan->piece : sizeof bytes;

        if (len > side->plan->send - side->sent)
            len = (size_t)(side->plan->send - side->sent);
        oracle_fill(side->seed, side->sent, bytes, len);
        const long taken = stk_conn_write(side->conn, bytes, len);
        if (taken > (long)len || taken == 0)
            side->wrong_write = true;
        if (taken <= 0)
            return;
        side->sent += (uint64_t)taken;
    }
    if (!side->finish_called && !side->plan->never_finish &&
        (!side->plan->finish_after_peer || side->finished > 0)) {
        side->finish_called = true;
        stk_conn_finish(side->conn);
        if (stk_conn_write(side->conn, "x", 1) >= 0) /* rule 4: nothing goes behind the end */
            side->wrong_write = true;
    }
}

static int on_accepted(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    note(side);
    side->accepted++;
    side->conn = conn;
    return 0;
}

static void on_opened(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    note(side);
    side->opened++;
    side->conn = conn;
    if (!ends_in(side, "opened"))
        write_more(side);
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct side *side = side_of(conn);
    const size_t use = side->plan->take > 0 && side->plan->take < len ? side->plan->take : len;

    note(side);
    if (side->opened != 1) /* rule 1 */
        side->early = true;
    oracle_take(&side->in, data, use);
    if (ends_in(side, "received"))
        return use;
    if (use < len)
        stk_conn_again(conn);
    else if (side->plan->pause_often)
        stk_conn_pause(conn);
    return use;
}

static void on_finished(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    note(side);
    side->finished++;
    if (!ends_in(side, "finished"))
        write_more(side);
}

static void on_writable(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    note(side);
    if (!ends_in(side, "writable"))
        write_more(side);
}

static void on_delivered(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    note(side);
    side->delivered++;
    ends_in(side, "delivered");
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = side_of(conn);

    note(side);
    side->closed++;
    side->conn = NULL;
    if (error != NULL)
        side->error = *error;
}

static const struct stk_protocol protocol = {
    .accepted = on_accepted,
    .opened = on_opened,
    .received = on_received,
    .finished = on_finished,
    .writable = on_writable,
    .delivered = on_delivered,
    .closed = on_closed,
};

/* --- The stage
 * ------------------------------------------------------------------------------------------ */

/* What stands between the transport and tls, and on top of all. */
static const struct variant {
    const char *name, *below, *above;
    bool tls_only; /* without tls it would be another one again */
} variants[] = {
    {"plain", "", "", false},
    {"chaos above", "", "/chaos,again=50,seed=7", false},
    {"chaos below", "/chaos,again=90,seed=11,chunk=700", "", false},
    {"chaos both", "/chaos,again=90,seed=11,chunk=700", "/chaos,again=50,seed=7", true},
    {"probes", "/probe", "/probe", true},
    {"probes and chaos", "/probe/chaos,again=50,seed=3/probe", "/chaos,again=30,seed=5/probe",
     false},
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static void put_number(char *out, size_t size, const char *base, const char *mark, const char *text)
{
    const char *at = strstr(base, mark);

    if (at == NULL)
        snprintf(out, size, "%s", base);
    else
        snprintf(out, size, "%.*s%s%s", (int)(at - base), base, text, at + strlen(mark));
}

/* A stack of two parts, with tls beginning the second, and the layers of the variant. */
static void recipe_of(const char *base, const struct variant *variant, const char *below_more,
                      unsigned port, const char *fds, char *out, size_t size)
{
    char with_port[STK_RECIPE_TEXT_MAX], with_fds[STK_RECIPE_TEXT_MAX], number[16];

    snprintf(number, sizeof number, "%u", port);
    put_number(with_port, sizeof with_port, base, "%u", number);
    put_number(with_fds, sizeof with_fds, with_port, "%d", fds);
    const char *tls = strstr(with_fds, "/tls");
    const size_t head = tls != NULL ? (size_t)(tls - with_fds) : strlen(with_fds);
    snprintf(out, size, "%.*s%s%s%s%s", (int)head, with_fds, below_more, variant->below,
             tls != NULL ? tls : "", variant->above);
}

static void prepare_side(struct side *side, const char *name, const struct plan *plan,
                         uint64_t seed, uint64_t peer_seed, uint64_t expected)
{
    memset(side, 0, sizeof *side);
    side->name = name;
    side->plan = plan;
    side->seed = seed;
    side->in.seed = peer_seed;
    side->in.size = expected;
}

/* fds[side][direction]: what a side reads from and writes to. */
static int make_fds(enum contract_fds kind, int fds[2][2])
{
    int forth[2], back[2];

    if (kind == CONTRACT_SOCKETS) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, forth) < 0)
            return -errno;
        fds[0][0] = fds[0][1] = forth[0];
        fds[1][0] = fds[1][1] = forth[1];
        return 0;
    }
    if (pipe2(forth, O_NONBLOCK | O_CLOEXEC) < 0 || pipe2(back, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    fds[0][0] = back[0], fds[0][1] = forth[1];
    fds[1][0] = forth[0], fds[1][1] = back[1];
    return 0;
}

/* What a side that could not begin has left open. */
static void close_fds(const int fds[2])
{
    for (int i = 0; i < 2; i++)
        if (fcntl(fds[i], F_GETFD) >= 0)
            close(fds[i]);
}

static const char *fds_text(const int fds[2], char *text, size_t size)
{
    snprintf(text, size, fds[0] == fds[1] ? "%d" : "%d:%d", fds[0], fds[1]);
    return text;
}

static int set_up_listener(const char *fds, struct stk_error *error)
{
    char recipe[STK_RECIPE_TEXT_MAX];

    recipe_of(stage.stack->listen, stage.variant, stage.below_b, 0, fds, recipe, sizeof recipe);
    return stk_listen(stage.loop, recipe, &protocol, &stage.b, &stage.listener, error);
}

static int set_up_client(const char *fds, struct stk_error *error)
{
    struct stk_addr addr = {0};
    char recipe[STK_RECIPE_TEXT_MAX];

    if (stage.listener != NULL)
        stk_listener_addr(stage.listener, &addr);
    recipe_of(stage.stack->connect, stage.variant, stage.below_a, stk_addr_port(&addr), fds, recipe,
              sizeof recipe);
    return stk_connect(stage.loop, recipe, &protocol, &stage.a, &stage.a.conn, error);
}

static int set_up_on_fds(struct stk_error *error)
{
    char text[40];
    int fds[2][2] = {{-1, -1}, {-1, -1}};
    int status = make_fds(stage.stack->fds, fds);

    if (status < 0)
        return status;
    status = set_up_listener(fds_text(fds[1], text, sizeof text), error);
    if (status < 0) {
        close_fds(fds[1]);
        close_fds(fds[0]);
        return status;
    }
    status = set_up_client(fds_text(fds[0], text, sizeof text), error);
    if (status < 0)
        close_fds(fds[0]);
    return status;
}

static int set_up(struct stk_error *error)
{
    int status = stk_loop_new(NULL, &stage.loop);

    if (status < 0)
        return status;
    if (stage.stack->prepare != NULL)
        stage.stack->prepare(stage.loop);
    if (stage.stack->fds != CONTRACT_NO_FDS)
        return set_up_on_fds(error);
    if (!stage.stack->echo && (status = set_up_listener("", error)) < 0)
        return status;
    return set_up_client("", error);
}

static void begin(const struct plan *a, const struct plan *b)
{
    struct stk_error error = {0};

    stage.loop = NULL;
    stage.listener = NULL;
    stage.broken = false;
    prepare_side(&stage.a, "a", a, 1, stage.stack->echo ? 1 : 2,
                 stage.stack->echo ? a->send : b->send);
    prepare_side(&stage.b, "b", b, 2, 1, a->send);
    if (set_up(&error) < 0) {
        stage.broken = true;
        if (!fault_heap_has_failed())
            printf("\n    %s: %s\n", error.layer, error.text);
    }
}

static void end(void);

/* For cases without injected faults: setting up works, or the case fails. */
static void begin_well(const struct plan *a, const struct plan *b)
{
    begin(a, b);
    if (stage.broken)
        end();
    CU_ASSERT_FALSE_FATAL(stage.broken);
}

static bool all_closed(void)
{
    const bool b_done = stage.stack->echo || stage.b.closed > 0 ||
                        (stage.b.accepted == 0 && stage.b.opened == 0 && stage.a.closed > 0);

    return stage.a.closed > 0 && b_done;
}

static void wake_paused(struct side *side)
{
    if (side->conn != NULL && side->plan->pause_often)
        stk_conn_resume(side->conn);
}

/* Turns until `done`, as long as the patience lasts; true if it came. */
static bool run_until(bool (*done)(void))
{
    const uint64_t end_us = stk_loop_update_now_us(stage.loop) + PATIENCE_US;
    const bool pauses = stage.a.plan->pause_often || stage.b.plan->pause_often;

    while (!done() && stk_loop_update_now_us(stage.loop) < end_us) {
        wake_paused(&stage.a);
        wake_paused(&stage.b);
        stk_loop_turn(stage.loop, pauses ? 1000 : 20000);
    }
    return done();
}

static void abort_side(struct side *side)
{
    if (side->conn != NULL)
        stk_conn_abort(side->conn);
}

static void end(void)
{
    if (stage.loop == NULL)
        return;
    abort_side(&stage.a);
    abort_side(&stage.b);
    if (stage.listener != NULL)
        stk_listener_close(stage.listener);
    for (int i = 0; i < 20; i++)
        stk_loop_turn(stage.loop, 0);
    stk_loop_free(stage.loop);
    CU_ASSERT_EQUAL(stage.a.callbacks_after_closed + stage.b.callbacks_after_closed, 0);
    CU_ASSERT_FALSE(stage.a.wrong_write || stage.b.wrong_write);
    CU_ASSERT_FALSE(stage.a.in.wrong || stage.b.in.wrong);
    CU_ASSERT_FALSE(stage.a.early || stage.b.early);
    CU_ASSERT_TRUE(stage.a.opened <= 1 && stage.b.opened <= 1);
    CU_ASSERT_TRUE(stage.a.finished <= 1 && stage.b.finished <= 1);
    CU_ASSERT_TRUE(stage.a.delivered <= 1 && stage.b.delivered <= 1);
    CU_ASSERT_EQUAL(probe_take_violations(), 0);
    CU_ASSERT_EQUAL(probe_alive(), 0);
    if (!stage.broken) {
        CU_ASSERT_EQUAL(stage.a.closed, 1); /* rule 6 */
        CU_ASSERT_TRUE(stage.b.closed == 1 || (stage.b.accepted == 0 && stage.b.opened == 0));
    }
}

static void complain(const struct side *side)
{
    printf("\n    side %s: opened %d finished %d delivered %d closed %d, sent %llu, received %llu "
           "of %llu%s%s%s\n",
           side->name, side->opened, side->finished, side->delivered, side->closed,
           (unsigned long long)side->sent, (unsigned long long)side->in.position,
           (unsigned long long)side->in.size, side->error.code != 0 ? ", error " : "",
           side->error.layer, side->error.text);
}

static void expect_order(const struct side *side)
{
    const bool fine = oracle_is_complete(&side->in) && side->error.code == 0 && side->finished == 1;

    if (!fine)
        complain(side);
    CU_ASSERT_TRUE(fine);
}

/* Both sides got all bytes and closed without an error. */
static void finish_in_order(void)
{
    CU_ASSERT_TRUE(run_until(all_closed));
    expect_order(&stage.a);
    if (!stage.stack->echo)
        expect_order(&stage.b);
    end();
}

/* --- Cases
 * -------------------------------------------------------------------------------------------------
 */

static uint64_t scaled(uint64_t bytes)
{
    return stage.stack->small ? bytes / 256 + 1 : stage.stack->slow ? bytes / 4 + 1 : bytes;
}

static void bytes_go_both_ways_exactly(void)
{
    const struct plan a = {.send = scaled(700001)}, b = {.send = scaled(300007)};

    begin_well(&a, &b);
    finish_in_order();
}

static void nothing_at_all_closes_in_order(void)
{
    const struct plan none = {0};

    begin_well(&none, &none);
    finish_in_order();
}

static void one_byte_at_a_time_arrives(void)
{
    const struct plan a = {.send = 1501, .piece = 1, .take = 1},
                      b = {.send = 701, .piece = 1, .take = 1};

    begin_well(&a, &b);
    finish_in_order();
}

static void megabytes_arrive_at_a_reader_that_pauses(void)
{
    const struct plan a = {.send = scaled(3000000)}, b = {.send = 1000, .pause_often = true};

    begin_well(&a, &b);
    finish_in_order();
}

static void the_connecting_side_may_finish_first(void)
{
    const struct plan a = {.send = 10}, b = {.send = scaled(200000), .finish_after_peer = true};

    begin_well(&a, &b);
    finish_in_order();
}

static void the_listening_side_may_finish_first(void)
{
    const struct plan a = {.send = scaled(200000), .finish_after_peer = true}, b = {.send = 10};

    if (stage.stack->echo)
        return;
    begin_well(&a, &b);
    finish_in_order();
}

static bool all_sent(void) { return stage.a.sent == stage.a.plan->send; }
static bool is_opened(void) { return stage.a.opened > 0; }

static void close_delivers_what_was_written(void)
{
    const struct plan a = {.send = scaled(150000), .never_finish = true},
                      b = {.finish_after_peer = true};

    if (stage.stack->echo)
        return;
    begin_well(&a, &b);
    if (run_until(all_sent))
        stk_conn_close(stage.a.conn);
    CU_ASSERT_TRUE(run_until(all_closed));
    expect_order(&stage.b);
    CU_ASSERT_EQUAL(stage.a.error.code, 0);
    end();
}

static void an_abort_at_any_turn_ends_both_sides(void)
{
    const struct plan a = {.send = scaled(100000)}, b = {.send = scaled(100000)};
    const int step = stage.stack->slow ? 7 : 1;

    for (int turn = 0; turn < 40; turn += step) {
        begin_well(&a, &b);
        for (int i = 0; i < turn; i++)
            stk_loop_turn(stage.loop, 1000);
        abort_side(turn % 2 == 0 || stage.b.conn == NULL ? &stage.a : &stage.b);
        if (!run_until(all_closed)) {
            printf("\n    aborted after turn %d\n", turn);
            complain(&stage.a);
            complain(&stage.b);
            CU_FAIL("a side does not close after an abort");
        }
        end();
    }
}

static void closing_from_any_callback_closes_once(void)
{
    static const char *const callbacks[] = {"opened", "received", "finished", "writable",
                                            "delivered"};

    for (size_t i = 0; i < sizeof callbacks / sizeof *callbacks; i++)
        for (int how = 0; how < 2; how++) {
            const struct plan ends = {
                .send = scaled(400000),
                .close_in = how == 0 ? callbacks[i] : NULL,
                .abort_in = how == 1 ? callbacks[i] : NULL,
            };
            const struct plan other = {.send = scaled(400000)};

            begin_well(&ends, &other);
            if (!run_until(all_closed)) {
                printf("\n    %s in %s\n", how == 0 ? "close" : "abort", callbacks[i]);
                complain(&stage.a);
                complain(&stage.b);
                CU_FAIL("a side does not close");
            }
            end();
        }
}

static void a_recipe_comes_back_from_a_connection(void)
{
    const struct plan a = {.send = 1, .never_finish = true}, b = {.never_finish = true};
    char text[STK_RECIPE_TEXT_MAX];
    struct stk_addr addr;

    begin_well(&a, &b);
    if (run_until(is_opened)) {
        struct stk_recipe *recipe = NULL;

        CU_ASSERT_EQUAL(
            stk_recipe_parse(stk_conn_describe(stage.a.conn, text, sizeof text), &recipe, NULL), 0);
        CU_ASSERT_STRING_EQUAL(recipe != NULL ? stk_recipe_text(recipe) : "", text);
        stk_recipe_unref(recipe);
        const int status = stk_conn_query(stage.a.conn, STK_QUERY_PEER_ADDR, &addr, sizeof addr);
        CU_ASSERT_TRUE(status == 0 || status == -ENOENT);
        CU_ASSERT_EQUAL(stk_conn_query(stage.a.conn, STK_QUERY_USER + 99, text, sizeof text),
                        -ENOENT);
    }
    end();
    CU_ASSERT_EQUAL(stage.a.opened, 1);
}

/* A scenario under a heap whose n-th allocation fails, for all n until none does. */
static void every_allocation_may_fail(void)
{
    const struct plan a = {.send = stage.stack->small ? 20 : 2000}, b = a;
    const long step = stage.stack->slow ? 5 : 1;

    for (long n = 1; n < 4000; n += step) {
        fault_heap_fail(n, n % 2 ? FAULT_ONCE : FAULT_FROM_THEN_ON);
        begin(&a, &b);
        if (!stage.broken) {
            /* A peer that lost its memory may leave without a word: then this side is ended here.
             */
            for (int i = 0; i < 300 && !all_closed(); i++)
                stk_loop_turn(stage.loop, stage.stack->slow ? 1000 : 0);
        }
        const bool failed = fault_heap_has_failed();
        if (!failed && !all_closed())
            run_until(all_closed);
        fault_heap_fail(0, FAULT_ONCE);
        end();
        if (!failed)
            return;
    }
    CU_FAIL("the scenario allocates without end");
}

/*
 * Chaos fails one side after n bytes, for some n: its error sticks, what came before is right, both
 * sides end.
 */
static void a_failure_after_any_byte_ends_both_sides(void)
{
    static const unsigned at[] = {0, 1, 2, 5, 100, 517, 1000, 4096, 10000, 40000};
    const struct plan a = {.send = scaled(200000)}, b = {.send = scaled(200000)};
    char fails[64];

    for (size_t i = 0; i < sizeof at / sizeof *at; i += stage.stack->slow ? 3 : 1) {
        if (at[i] >= a.send + b.send)
            break;
        snprintf(fails, sizeof fails, "/chaos,again=10,fail=%u", at[i]);
        stage.below_a = i % 2 == 0 || stage.stack->echo ? fails : "";
        stage.below_b = i % 2 == 0 ? "" : fails;
        begin_well(&a, &b);
        struct side *failing = stage.below_a == fails ? &stage.a : &stage.b;
        if (!run_until(all_closed)) {
            printf("\n    failing after %u bytes\n", at[i]);
            complain(&stage.a);
            complain(&stage.b);
            CU_FAIL("a side does not close after an error");
        }
        if (strcmp(failing->error.layer, "chaos") != 0)
            complain(failing);
        CU_ASSERT_STRING_EQUAL(failing->error.layer, "chaos");
        CU_ASSERT_EQUAL(failing->error.code, -ECONNRESET);
        end();
    }
    stage.below_a = stage.below_b = "";
}

/* --- Running
 * -------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*fn)(void);
    bool plain_only;
} cases[] = {
    {"bytes go both ways exactly", bytes_go_both_ways_exactly, false},
    {"nothing at all closes in order", nothing_at_all_closes_in_order, false},
    {"one byte at a time arrives", one_byte_at_a_time_arrives, false},
    {"megabytes arrive at a reader that pauses", megabytes_arrive_at_a_reader_that_pauses, true},
    {"the connecting side may finish first", the_connecting_side_may_finish_first, false},
    {"the listening side may finish first", the_listening_side_may_finish_first, false},
    {"close delivers what was written", close_delivers_what_was_written, false},
    {"an abort at any turn ends both sides", an_abort_at_any_turn_ends_both_sides, false},
    {"closing from any callback closes once", closing_from_any_callback_closes_once, false},
    {"a recipe comes back from a connection", a_recipe_comes_back_from_a_connection, false},
    {"a failure after any byte ends both sides", a_failure_after_any_byte_ends_both_sides, true},
    {"every allocation may fail", every_allocation_may_fail, true},
};

enum { CASES = sizeof cases / sizeof *cases, TESTS_MAX = 16 * VARIANTS * CASES };

static const struct contract_stack *all_stacks;
static int order[TESTS_MAX]; /* indexes over stacks, variants and cases */
static int current;

static bool is_worth_running(int which)
{
    const struct variant *variant = stage.variant;

    if (cases[which].plain_only)
        return variant == &variants[0];
    return !variant->tls_only || strstr(stage.stack->connect, "/tls") != NULL;
}

/* CUnit calls without an argument: which case it is follows from the order. */
static void run_current(void)
{
    const int index = order[current++];
    const int which = index % CASES;

    stage = (struct stage){
        .stack = &all_stacks[index / CASES / VARIANTS],
        .variant = &variants[index / CASES % VARIANTS],
        .below_a = "",
        .below_b = "",
    };
    fault_heap_install();
    cases[which].fn();
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

/* For one who looks for a fault: only cases whose names hold this text. */
static const char *only(void) { return getenv("CONTRACT_ONLY"); }

int contract_run(const char *title, const struct contract_stack *stacks)
{
    static CU_TestInfo tests[TESTS_MAX + 1];
    static char names[TESTS_MAX][128];
    int count = 0;

    probe_register();
    all_stacks = stacks;
    for (int index = 0; stacks[index / CASES / VARIANTS].name != NULL && index < TESTS_MAX;
         index++) {
        stage.stack = &stacks[index / CASES / VARIANTS];
        stage.variant = &variants[index / CASES % VARIANTS];
        snprintf(names[count], sizeof names[count], "%s, %s: %s", stage.stack->name,
                 stage.variant->name, cases[index % CASES].name);
        if (!is_worth_running(index % CASES) ||
            (only() != NULL && strstr(names[count], only()) == NULL))
            continue;
        tests[count] = (CU_TestInfo){names[count], run_current};
        order[count++] = index;
    }
    return stk_test_run(title, tests, STK_TEST_LIMIT_S);
}

/* --- A program that echoes
 * ------------------------------------------------------------------------
 */

static void echo_more(struct stk_conn *conn) { stk_conn_resume(conn); }

static size_t echo_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    const long sent = stk_conn_write(conn, data, len);

    if (sent < (long)len)
        stk_conn_pause(conn); /* until writable() */
    return sent > 0 ? (size_t)sent : 0;
}

static void echo_closed(struct stk_conn *conn, const struct stk_error *error)
{
    (void)error;
    stk_loop_stop(stk_conn_loop(conn));
}

static const struct stk_protocol echo = {
    .received = echo_received,
    .finished = stk_conn_finish,
    .writable = echo_more,
    .closed = echo_closed,
};

int contract_echo(int argc, char **argv)
{
    struct stk_listener *listener;
    struct stk_error error = {0};
    struct stk_loop *loop;

    if (argc != 3 || strcmp(argv[1], "--echo") != 0)
        return -1;
    if (stk_loop_new(NULL, &loop) < 0)
        return 1;
    if (stk_listen(loop, argv[2], &echo, NULL, &listener, &error) < 0) {
        fprintf(stderr, "%s: %s\n", error.layer, error.text);
        return 1;
    }
    stk_loop_run(loop);
    stk_listener_close(listener);
    stk_loop_drain(loop, 1000000);
    stk_loop_free(loop);
    return 0;
}

const char *contract_echo_process(const char *recipe)
{
    static char segment[STK_RECIPE_TEXT_MAX];
    char program[PATH_MAX], command[STK_RECIPE_TEXT_MAX], encoded[STK_RECIPE_TEXT_MAX];
    const ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);

    program[len > 0 ? len : 0] = '\0';
    if (snprintf(command, sizeof command, "'%s' --echo %s", program, recipe) >=
            (int)sizeof command ||
        snprintf(segment, sizeof segment, "/process/%s",
                 stk_percent_encode(command, encoded, sizeof encoded)) >= (int)sizeof segment) {
        fprintf(stderr, "contract: the path of this program is too long: %s\n", program);
        exit(1);
    }
    return segment;
}
