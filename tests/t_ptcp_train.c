/*
 * Goal: packets that came together mean what they would mean one by one. Method: two cores, joined
 * by hand, and their twins, whose runs are taken apart; after each step both pairs agree, while
 * numbers are missing, repeated or changed.
 */
#include "harness.h"
#include "ptcp_pair.h"

enum { PAIRS = 2, STEPS = 300, WRITE_MAX = 200000 };

/* Pair 0 hands runs over whole, pair 1 each packet by itself. */
static struct pair pairs[PAIRS];
static struct ptcp_conn *from[PAIRS], *to[PAIRS];
static uint64_t written;

static void connect_both(bool sealed)
{
    written = 0;
    for (int p = 0; p < PAIRS; p++) {
        pair_init(&pairs[p], 1, sealed);
        pair_connect(&pairs[p], &from[p], &to[p]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(to[p]);
        pair_run_for(&pairs[p], 1000000);
    }
}

static void end_both(void)
{
    for (int p = 0; p < PAIRS; p++)
        pair_free(&pairs[p]);
}

static void write_both(uint64_t wish)
{
    static uint8_t bytes[WRITE_MAX];
    long took[PAIRS];

    for (uint64_t i = 0; i < wish; i++)
        bytes[i] = pair_byte(written + i, 0);
    for (int p = 0; p < PAIRS; p++)
        took[p] = ptcp_conn_send(from[p], pairs[p].now_us, &(struct iovec){bytes, wish}, 1);
    CU_ASSERT_EQUAL(took[0], took[1]);
    written += took[0] > 0 ? (uint64_t)took[0] : 0;
}

static void read_both(void)
{
    for (int p = 0; p < PAIRS; p++) {
        struct iovec slice;

        while (ptcp_conn_peek(to[p], &slice, 1) > 0) {
            const uint8_t *bytes = slice.iov_base;
            const uint64_t at = to[p]->engine->in.consumed;

            for (size_t i = 0; i < slice.iov_len; i += 97)
                CU_ASSERT_EQUAL(bytes[i], pair_byte(at + i, 0));
            ptcp_conn_consume(to[p], pairs[p].now_us, slice.iov_len);
        }
    }
}

/* --- What happens to a run on the way ------------------------------------------------------------
 */

enum harm { HARM_NONE, HARM_GAP, HARM_TWICE, HARM_BYTE, HARM_KINDS };

struct fate {
    enum harm harm;
    unsigned at;
    uint8_t ecn;
};

static void give(struct pair *pair, int side, const struct stk_run *run, bool whole)
{
    if (whole) {
        ptcp_input(pair->end[side], pair->now_us, run, 1);
        return;
    }
    for (unsigned i = 0; i < run->count; i++) {
        struct stk_run one = *run;

        one.data = stk_run_at(run, i);
        one.count = 1;
        one.size = one.last_size = stk_run_size(run, i);
        ptcp_input(pair->end[side], pair->now_us, &one, 1);
    }
}

/* The packets [first, end) of a run. */
static void give_part(struct pair *pair, int side, struct stk_run run, unsigned first, unsigned end,
                      bool whole)
{
    const uint16_t last = stk_run_size(&run, end - 1);

    if (first >= end)
        return;
    run.data = stk_run_at(&run, first);
    run.count = (uint16_t)(end - first);
    run.last_size = last;
    if (run.count == 1)
        run.size = last;
    give(pair, side, &run, whole);
}

static void deliver(struct pair *pair, int side, const struct stk_run *run, const struct fate *fate,
                    bool whole)
{
    const unsigned at = fate->at % run->count;

    switch (fate->harm) {
    case HARM_GAP:
        give_part(pair, side, *run, 0, at, whole);
        give_part(pair, side, *run, at + 1, run->count, whole);
        break;
    case HARM_TWICE:
        give_part(pair, side, *run, 0, at + 1, whole);
        give_part(pair, side, *run, at, run->count, whole);
        break;
    case HARM_BYTE: /* of a header: what comes of that is no data of this connection */
        if (at > 0 || run->count == 1) {
            stk_run_at(run, at)[1] ^= 0x40;
            give(pair, side, run, whole);
            break;
        } /* fallthrough */
    default:
        give(pair, side, run, whole);
    }
}

/* All that one side has to say; both pairs must say the same. */
static void hand_over(int side, const struct fate *fate)
{
    struct stk_run run[PAIRS];
    int more[PAIRS];

    do {
        for (int p = 0; p < PAIRS; p++) {
            more[p] = ptcp_output(pairs[p].end[side], pairs[p].now_us, &run[p], pairs[p].buffer,
                                  PTCP_OUTPUT_BYTES_MIN);
            if (!more[p])
                continue;
            stk_run_flatten(&run[p]);
            run[p].ecn = fate->ecn;
            if (run[p].association == 0)
                run[p].peer = &pairs[p].addr[side];
            deliver(&pairs[p], !side, &run[p], fate, p == 0);
        }
        CU_ASSERT_EQUAL_FATAL(more[0], more[1]);
        if (more[0]) {
            CU_ASSERT_EQUAL(run[0].count, run[1].count);
            CU_ASSERT_EQUAL(run[0].last_size, run[1].last_size);
        }
    } while (more[0]);
}

/* --- Agreement -----------------------------------------------------------------------------------
 */

static bool agree(void)
{
    const struct ptcp_engine *a = to[0]->engine, *b = to[1]->engine;
    struct stk_ptcp_stats x, y;

    if (!a != !b || to[0]->error != to[1]->error)
        return false;
    ptcp_conn_stats(to[0], &x);
    ptcp_conn_stats(to[1], &y);
    return (!a || (a->in.contiguous == b->in.contiguous && a->acks.waiting == b->acks.waiting &&
                   a->acks.due_us == b->acks.due_us && a->acks.newest_us == b->acks.newest_us &&
                   a->acks.received.count == b->acks.received.count &&
                   memcmp(a->acks.ecn, b->acks.ecn, sizeof(a->acks.ecn)) == 0)) &&
           x.packets_received == y.packets_received && x.bytes_received == y.bytes_received &&
           ptcp_conn_expected(to[0]) == ptcp_conn_expected(to[1]) && to[0]->events == to[1]->events;
}

static void pass_time(uint64_t us)
{
    for (int p = 0; p < PAIRS; p++) {
        pairs[p].now_us += us;
        ptcp_timeout(pairs[p].end[PAIR_A], pairs[p].now_us);
        ptcp_timeout(pairs[p].end[PAIR_B], pairs[p].now_us);
    }
}

static void compare(uint64_t seed, bool sealed)
{
    struct stk_prng prng;

    stk_prng_seed(&prng, seed);
    connect_both(sealed);
    for (int step = 0; step < STEPS && from[0]->error == 0; step++) {
        const bool harmed = stk_prng_below(&prng, 5) == 0;
        const struct fate fate = {
            .harm = harmed ? (enum harm)stk_prng_below(&prng, HARM_KINDS) : HARM_NONE,
            .at = (unsigned)stk_prng_below(&prng, 64),
            .ecn = stk_prng_below(&prng, 50) == 0 ? STK_ECN_CE : STK_ECN_ECT0};

        write_both(stk_prng_below(&prng, WRITE_MAX));
        hand_over(PAIR_A, &fate);
        if (!agree()) {
            fprintf(stderr, "seed %llu, step %d\n", (unsigned long long)seed, step);
            CU_FAIL("the pairs differ");
            break;
        }
        read_both();
        hand_over(PAIR_B, &(struct fate){.ecn = STK_ECN_NOT});
        pass_time(1000 + stk_prng_below(&prng, 30000));
    }
    CU_ASSERT_TRUE(to[0]->engine && to[0]->engine->in.contiguous > 1000000);
    end_both();
}

static void sealed_runs_mean_what_their_packets_mean(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        compare(seed, true);
}

static void plain_runs_mean_what_their_packets_mean(void)
{
    for (uint64_t seed = 101; seed <= 120; seed++)
        compare(seed, false);
}

/* The next run of A's with as many stream packets, the ones before it are handed over. */
static struct stk_run next_run(struct pair *pair, unsigned least)
{
    struct stk_run run = {.count = 0};

    while (
        ptcp_output(pair->end[PAIR_A], pair->now_us, &run, pair->buffer, PTCP_OUTPUT_BYTES_MIN)) {
        stk_run_flatten(&run);
        if (run.association == 0)
            run.peer = &pair->addr[PAIR_A];
        if (run.count >= least && run.data[0] == PTCP_STREAM)
            return run;
        give(pair, PAIR_B, &run, true);
    }
    CU_FAIL_FATAL("no such run");
    return run;
}

/* Connections of an association may well be at the same number and offset. */
static void a_packet_with_another_id_is_not_taken(void)
{
    for (int i = 0; i < 2 * 8 * 2; i++) {
        const unsigned byte = 1 + i / 4, at = i / 2 % 2;

        connect_both(i & 1);
        write_both(20000);
        const struct stk_run run = next_run(&pairs[0], 3);
        const uint64_t before = ptcp_conn_received(to[0]);
        stk_run_at(&run, at)[byte] ^= 0x40;
        give(&pairs[0], PAIR_B, &run, true);
        CU_ASSERT_EQUAL(ptcp_conn_received(to[0]),
                        before + at * (run.size - (uint64_t)PTCP_STREAM_HEADER_BYTES));
        CU_ASSERT_TRUE(to[0]->engine->in.ahead.count > 0);
        end_both();
    }
}

static void bytes_beyond_the_grant_or_the_end_break_the_connection(void)
{
    for (int i = 0; i < 4; i++) {
        connect_both(i & 1);
        write_both(1000);
        const struct stk_run one = next_run(&pairs[0], 1);
        give(&pairs[0], PAIR_B, &one, true); /* it wakes up */
        write_both(20000);
        const struct stk_run run = next_run(&pairs[0], 3);
        struct ptcp_engine *engine = to[0]->engine;
        const uint64_t most = engine->in.contiguous + run.size - PTCP_STREAM_HEADER_BYTES;

        *(i & 2 ? &engine->in.fin_offset : &engine->flow.granted) = most;
        give(&pairs[0], PAIR_B, &run, true);
        CU_ASSERT_EQUAL(to[0]->error, -EPROTO);
        CU_ASSERT_EQUAL(ptcp_conn_received(to[0]), most);
        end_both();
    }
}

static void the_end_of_a_stream_is_heard_in_a_run(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct iovec slice;

        connect_both(sealed);
        write_both(3000);
        ptcp_conn_finish(from[0], pairs[0].now_us);
        const struct stk_run run = next_run(&pairs[0], 2);
        const uint8_t type = stk_run_at(&run, run.count - 1)[0];
        CU_ASSERT_EQUAL(type, PTCP_STREAM | PTCP_STREAM_FIN);
        give(&pairs[0], PAIR_B, &run, true);
        CU_ASSERT_EQUAL(pair_read(&pairs[0], to[0]), 3000);
        CU_ASSERT_EQUAL(ptcp_conn_peek(to[0], &slice, 1), 0);
        end_both();
    }
}

static CU_TestInfo tests[] = {
    {"sealed runs mean what their packets mean", sealed_runs_mean_what_their_packets_mean},
    {"plain runs mean what their packets mean", plain_runs_mean_what_their_packets_mean},
    {"a packet with another id is not taken", a_packet_with_another_id_is_not_taken},
    {"bytes beyond the grant or the end break the connection",
     bytes_beyond_the_grant_or_the_end_break_the_connection},
    {"the end of a stream is heard in a run", the_end_of_a_stream_is_heard_in_a_run},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp train", tests)
