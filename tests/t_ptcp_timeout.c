/*
 * Goal: time-outs end what is dead, soon, and nothing that lives. Method: two cores joined by a
 * small simulated network, in virtual time.
 */
#include "error.h"
#include "harness.h"
#include "ptcp_pair.h"

enum { MANY = 130, MS = 1000, SECOND = 1000 * MS };

static const uint64_t MINUTE = 60 * SECOND;

static struct pair pair;
static struct ptcp_conn *a[MANY], *b[MANY];

static void set_up(uint64_t rate_bytes_per_s)
{
    pair_init(&pair, 1, true);
    pair.net.rate_bytes_per_s = rate_bytes_per_s;
    pair.net.queue_us = 100 * MS;
    memset(a, 0, sizeof(a));
    memset(b, 0, sizeof(b));
}

static void connect_one(int i, const struct stk_ptcp_options *options)
{
    const uint64_t until_us = pair.now_us + 10 * SECOND;

    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    a[i] = pair_open(&pair, PAIR_A, options);
    while (!b[i] && pair_step(&pair, until_us))
        b[i] = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]);
}

static const struct stk_ptcp_options urgent = {.priority_given = 1, .priority = 0},
                                     patient = {.priority_given = 1, .priority = 7};

/* As much as there is room for. */
static void write_more(struct ptcp_conn *conn)
{
    static const uint8_t block[1 << 16];

    while (ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)block, sizeof(block)}, 1) > 0)
        ;
}

static void write_bytes(struct ptcp_conn *conn, size_t len)
{
    static const uint8_t block[1 << 12];

    CU_ASSERT_EQUAL(
        ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)block, len}, 1), (long)len);
}

static uint64_t read_all(struct ptcp_conn *conn)
{
    struct iovec slice;
    uint64_t total = 0;

    while (ptcp_conn_peek(conn, &slice, 1) > 0) {
        total += slice.iov_len;
        ptcp_conn_consume(conn, pair.now_us, slice.iov_len);
    }
    return total;
}

/* Connection 0 fills the path for so long. */
static void be_busy_for(uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    do {
        write_more(a[0]);
        read_all(b[0]);
    } while (pair_step(&pair, until_us));
}

/* What the peer has of connection `i` once nothing of connection 0 is left. */
static uint64_t arrives(int i)
{
    const uint64_t until_us = pair.now_us + MINUTE;
    uint64_t got = 0;

    while (got == 0 && pair_step(&pair, until_us)) {
        read_all(b[0]);
        got = read_all(b[i]);
    }
    return got;
}

static void end(int count)
{
    for (int i = 0; i < count; i++) {
        if (a[i])
            ptcp_conn_release(a[i], pair.now_us);
        if (b[i])
            ptcp_conn_release(b[i], pair.now_us);
    }
    pair_free(&pair);
}

/* --- Who waits for a turn --------------------------------------------------------------------- */

static void who_waits_for_a_turn_for_minutes_has_not_timed_out(void)
{
    set_up(125000);
    connect_one(0, &urgent);
    connect_one(1, &patient);
    be_busy_for(SECOND);
    write_bytes(a[1], 100);
    be_busy_for(3 * MINUTE);
    CU_ASSERT_EQUAL(a[1]->error, 0);
    CU_ASSERT_EQUAL(arrives(1), 100);
    end(2);
}

static void a_grant_meanwhile_does_not_end_the_wait(void)
{
    set_up(125000);
    connect_one(0, &urgent);
    connect_one(1, &patient);
    be_busy_for(SECOND);
    write_bytes(a[1], 100);
    be_busy_for(3 * MINUTE);
    write_more(b[1]);
    be_busy_for(3 * SECOND);
    CU_ASSERT_TRUE(read_all(a[1]) > 200000);
    be_busy_for(SECOND);
    CU_ASSERT_EQUAL(a[1]->error, 0);
    CU_ASSERT_EQUAL(arrives(1), 100);
    end(2);
}

static void a_round_of_equals_may_take_longer_than_the_user_time_out(void)
{
    uint64_t until_us;
    int failed = 0;

    set_up(0);
    for (int i = 0; i < MANY; i++)
        connect_one(i, NULL);
    pair.net.rate_bytes_per_s = 125000;
    until_us = pair.now_us + 5 * MINUTE;
    do {
        for (int i = 0; i < MANY; i++) {
            write_more(a[i]);
            read_all(b[i]);
        }
    } while (pair_step(&pair, until_us));
    for (int i = 0; i < MANY; i++)
        failed += a[i]->error != 0;
    CU_ASSERT_EQUAL(failed, 0);
    end(MANY);
}

static void what_a_user_left_behind_waits_for_its_turn_too(void)
{
    set_up(125000);
    connect_one(0, &urgent);
    connect_one(1, &patient);
    be_busy_for(SECOND);
    write_bytes(a[1], 100);
    ptcp_conn_finish(a[1], pair.now_us);
    ptcp_conn_release(a[1], pair.now_us);
    a[1] = NULL;
    be_busy_for(3 * MINUTE);
    CU_ASSERT_EQUAL(b[1]->error, 0);
    CU_ASSERT_EQUAL(arrives(1), 100);
    end(2);
}

static void an_opening_that_waits_for_its_turn_has_not_timed_out(void)
{
    const uint64_t until_us = MINUTE;

    set_up(125000);
    connect_one(0, &urgent);
    be_busy_for(SECOND);
    a[1] = pair_open(&pair, PAIR_A, &patient);
    write_bytes(a[1], 100);
    be_busy_for(MINUTE);
    CU_ASSERT_EQUAL(a[1]->error, 0);
    CU_ASSERT_EQUAL(a[1]->state, PTCP_STATE_SYN_SENT);
    for (uint64_t us = 0; !b[1] && us < until_us; us += SECOND) {
        pair_run_for(&pair, SECOND);
        read_all(b[0]);
        b[1] = ptcp_accept(pair.end[PAIR_B]);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(b[1]);
    CU_ASSERT_EQUAL(read_all(b[1]), 100);
    CU_ASSERT_TRUE(ptcp_state_is_open(a[1]->state));
    end(2);
}

static void who_waits_behind_a_dead_path_times_out_as_all_do(void)
{
    set_up(125000);
    connect_one(0, &urgent);
    connect_one(1, &patient);
    be_busy_for(SECOND);
    write_bytes(a[1], 100);
    be_busy_for(10 * SECOND);
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = true;
    be_busy_for(62 * SECOND);
    CU_ASSERT_EQUAL(a[0]->error, -ETIMEDOUT);
    CU_ASSERT_EQUAL(a[1]->error, -ETIMEDOUT);
    end(2);
}

static CU_TestInfo tests[] = {
    {"who waits for a turn for minutes has not timed out",
     who_waits_for_a_turn_for_minutes_has_not_timed_out},
    {"a grant meanwhile does not end the wait", a_grant_meanwhile_does_not_end_the_wait},
    {"a round of equals may take longer than the user time-out",
     a_round_of_equals_may_take_longer_than_the_user_time_out},
    {"what a user left behind waits for its turn too",
     what_a_user_left_behind_waits_for_its_turn_too},
    {"an opening that waits for its turn has not timed out",
     an_opening_that_waits_for_its_turn_has_not_timed_out},
    {"who waits behind a dead path times out as all do",
     who_waits_behind_a_dead_path_times_out_as_all_do},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp timeout", tests)
