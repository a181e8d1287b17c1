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

static CU_TestInfo tests[] = {
    {"acknowledgements of many leave in one run", acknowledgements_of_many_leave_in_one_run},
    {"who has nothing to say is left alone", who_has_nothing_to_say_is_left_alone},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp company", tests)
