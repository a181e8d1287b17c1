/*
 * Goal: control packets of connections that share an association leave together, and mean what
 * they would mean alone.
 * Method: two cores, joined by hand so that runs are seen as they leave.
 */
#include "company.h"
#include "harness.h"
#include "ptcp_pair.h"

enum { MANY = 20, MESSAGE_BYTES = 3000 };

static struct pair pair;
static struct ptcp_conn *a[MANY], *b[MANY];

static void connect_all(void)
{
    pair_init(&pair, 1, true);
    for (int i = 0; i < MANY; i++) {
        pair_connect(&pair, &a[i], &b[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]);
    }
    pair_run_for(&pair, 1000000); /* nothing is owed to anybody */
}

static void write_everywhere(void)
{
    static const uint8_t bytes[MESSAGE_BYTES];

    for (int i = 0; i < MANY; i++)
        CU_ASSERT_EQUAL(
            ptcp_conn_send(a[i], pair.now_us, &(struct iovec){(void *)bytes, sizeof bytes}, 1),
            MESSAGE_BYTES);
}

/* What one side's output looked like. */
struct seen {
    unsigned runs, packets, longest;
    uint16_t largest;
    bool unequal;
};

/* Hands all that `from` has to say to the other side, at once. */
static struct seen hand_over(int from)
{
    struct seen seen = {0};
    struct stk_run run;

    while (ptcp_output(pair.end[from], pair.now_us, &run, pair.buffer, PTCP_OUTPUT_BYTES_MIN)) {
        stk_run_flatten(&run);
        if (getenv("DBG")) {
            fprintf(stderr, "from %d count %d size %d last %d:", from, run.count, run.size,
                    run.last_size);
            for (unsigned i = 0; i < run.count; i++)
                fprintf(stderr, " %02x", stk_run_at(&run, i)[0]);
            fprintf(stderr, "\n");
        }
        seen.runs++;
        seen.packets += run.count;
        seen.longest = run.count > seen.longest ? run.count : seen.longest;
        seen.largest = run.size > seen.largest ? run.size : seen.largest;
        seen.unequal |= run.last_size != run.size;
        ptcp_input(pair.end[!from], pair.now_us, &run, 1);
    }
    return seen;
}

static void acknowledgements_of_many_leave_in_one_run(void)
{
    unsigned longest = 0;

    connect_all();
    write_everywhere();
    for (int ms = 0; ms < 500; ms++, pair.now_us += 1000) {
        ptcp_timeout(pair.end[PAIR_A], pair.now_us);
        ptcp_timeout(pair.end[PAIR_B], pair.now_us);
        hand_over(PAIR_A);
        const struct seen acks = hand_over(PAIR_B);

        CU_ASSERT_TRUE(acks.largest <= PTCP_COMPANY_CONTROL_BYTES);
        CU_ASSERT_FALSE(acks.unequal);
        CU_ASSERT_TRUE(acks.packets < 2 || acks.runs < acks.packets);
        longest = acks.longest > longest ? acks.longest : longest;
    }
    CU_ASSERT_TRUE(longest >= 3);
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(ptcp_conn_unsent(a[i]), 0); /* each was acknowledged all it sent */
        CU_ASSERT_EQUAL(a[i]->error, 0);
    }
    pair_free(&pair);
}

static void who_has_nothing_to_say_is_left_alone(void)
{
    static const uint8_t bytes[MESSAGE_BYTES];

    connect_all();
    CU_ASSERT_EQUAL(
        ptcp_conn_send(a[3], pair.now_us, &(struct iovec){(void *)bytes, sizeof bytes}, 1),
        MESSAGE_BYTES);
    hand_over(PAIR_A);
    const struct seen acks = hand_over(PAIR_B);
    CU_ASSERT_EQUAL(acks.longest, 1);
    CU_ASSERT_TRUE(acks.packets >= 1);
    pair_free(&pair);
}

/* Padding behind it would be more of them. */
static void a_short_probe_with_bytes_of_a_stream_goes_alone(void)
{
    static const uint8_t bytes[MESSAGE_BYTES];
    struct stk_run run;

    connect_all();
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(ptcp_conn_send(a[0], pair.now_us, &(struct iovec){(void *)bytes, 1}, 1), 1);
        while (ptcp_output(pair.end[PAIR_A], pair.now_us, &run, pair.buffer, PTCP_OUTPUT_BYTES_MIN))
            CU_ASSERT_EQUAL(run.count, 1); /* and it is lost */
    }
    a[0]->engine->recovery.probes = 1; /* as after the first of a time-out, which took an ACK */
    ptcp_endpoint_touch(pair.end[PAIR_A], a[0]);
    for (int i = 1; i < MANY; i++)
        CU_ASSERT_EQUAL(
            ptcp_conn_send(b[i], pair.now_us, &(struct iovec){(void *)bytes, sizeof bytes}, 1),
            MESSAGE_BYTES);
    hand_over(PAIR_B);
    pair.now_us += 1000; /* an ACK that is told to be late is longer than the probe */
    CU_ASSERT_TRUE(hand_over(PAIR_A).longest >= 3);
    const struct ptcp_ranges *ahead = &b[0]->engine->in.ahead;
    CU_ASSERT_EQUAL_FATAL(ahead->count, 1);
    CU_ASSERT_EQUAL(ptcp_ranges_at(ahead, 0)->first, 1);
    CU_ASSERT_EQUAL(ptcp_ranges_at(ahead, 0)->end, 2);
    pair_free(&pair);
}

static CU_TestInfo tests[] = {
    {"acknowledgements of many leave in one run", acknowledgements_of_many_leave_in_one_run},
    {"who has nothing to say is left alone", who_has_nothing_to_say_is_left_alone},
    {"a short probe with bytes of a stream goes alone",
     a_short_probe_with_bytes_of_a_stream_goes_alone},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp company", tests)
