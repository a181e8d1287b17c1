/*
 * Goal: what is due leaves, even if its turn does not come or memory lacks for a moment; what has
 * nothing to do rests. Method: two cores joined by a small simulated network, in virtual time;
 * allocations that fail for one moment.
 */
#include "ptcp_many.h"

/* --- Memory that lacks ------------------------------------------------------------------------ */

static bool starved;

static void *feed(void *context, void *block, size_t size)
{
    (void)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return starved ? NULL : realloc(block, size);
}

/* What `side` has to say now finds no memory. */
static void starve(int side)
{
    starved = true;
    pair_flush(&pair, side);
    starved = false;
}

static void set_up_fed(void)
{
    stk_alloc_hook(feed, NULL);
    set_up(0);
}

static void end_fed(int count)
{
    end(count);
    stk_alloc_hook(NULL, NULL);
}

static void bytes_leave_once_there_is_memory(void)
{
    set_up_fed();
    connect_one(0, NULL);
    pair_run_for(&pair, 5 * SECOND);
    CU_ASSERT_PTR_NULL(a[0]->engine);
    write_bytes(a[0], 100);
    starve(PAIR_A);
    pair_run_for(&pair, 100 * MS);
    CU_ASSERT_EQUAL(pair_read(&pair, b[0]), 100);
    end_fed(1);
}

static void an_opening_leaves_once_there_is_memory(void)
{
    for (int ready = 0; ready < 2; ready++) {
        const struct ptcp_open open = {.association = pair.association, .ready = ready};

        set_up_fed();
        ptcp_listen(pair.end[PAIR_B], NULL, 0);
        CU_ASSERT_EQUAL(ptcp_open(pair.end[PAIR_A], pair.now_us, &open, &a[0]), 0);
        starve(PAIR_A);
        pair_run_for(&pair, 100 * MS);
        CU_ASSERT_TRUE(ptcp_state_is_open(a[0]->state));
        end_fed(1);
    }
}

static void an_ack_leaves_once_there_is_memory(void)
{
    set_up_fed();
    connect_one(0, NULL);
    pair_run_for(&pair, 5 * SECOND);
    write_bytes(a[0], 4000);
    pair_flush(&pair, PAIR_A);
    pair.now_us += pair.net.delay_us;
    pair_deliver(&pair);
    starve(PAIR_B);
    pair_run_for(&pair, pair.net.delay_us + 15 * MS);
    CU_ASSERT_EQUAL(a[0]->engine->recovery.in_flight, 0);
    CU_ASSERT_EQUAL(a[0]->engine->recovery.timeouts, 0);
    end_fed(1);
}

static void who_rests_is_woken_once_there_is_memory(void)
{
    set_up_fed();
    connect_one(0, NULL);
    pair_run_for(&pair, 5 * SECOND);
    const uint64_t sent = a[0]->packets_sent;
    CU_ASSERT_PTR_NULL(a[0]->engine);
    ptcp_association_moved(pair.end[PAIR_A], pair.now_us, pair.association, PTCP_MOVE_PORT);
    starve(PAIR_A);
    CU_ASSERT_PTR_NULL(a[0]->engine);
    pair_run_for(&pair, 100 * MS);
    CU_ASSERT_TRUE(a[0]->packets_sent > sent);
    end_fed(1);
}

/* --- Turns that do not come ------------------------------------------------------------------- */

static void an_ack_does_not_wait_for_a_turn_that_does_not_come(void)
{
    static const struct stk_ptcp_options urgent = {.priority_given = 1, .priority = 0};

    set_up(0);
    connect_one(0, NULL);
    connect_one(1, &urgent);
    pair_run_for(&pair, SECOND);
    write_bytes(b[0], 3000);
    while (!a[0]->engine || a[0]->engine->in.contiguous < 3000)
        CU_ASSERT_TRUE_FATAL(pair_step(&pair, MINUTE));
    pair.net.rate_bytes_per_s = 1000000;
    write_bytes(a[0], 1); /* it has the turn, and its ACK will go with the byte */
    write_more(a[1]);     /* but now this one has it, and fills the window */
    pair_run_for(&pair, 60 * MS);
    CU_ASSERT_EQUAL(b[0]->engine->recovery.in_flight, 0);
    CU_ASSERT_EQUAL(b[0]->engine->recovery.timeouts, 0);
    end(2);
}

/* --- Rest ------------------------------------------------------------------------------------- */

enum { TRANSFER_BYTES = 4 << 20 };

/* Near the end, so that nothing comes long after it. */
static bool lose_one(struct pair *net, int from, uint8_t *bytes, size_t size, bool probe)
{
    bool *lost = net->tap_state;

    (void)bytes;
    if (probe || from != PAIR_A || size < 1000 || *lost || !a[0] ||
        a[0]->engine->out.next + 20000 < TRANSFER_BYTES)
        return true;
    *lost = true;
    return false;
}

static void transfer(int i, uint64_t total)
{
    static const uint8_t block[1 << 16];
    uint64_t wrote = 0, got = 0;

    while (got < total) {
        long took = 1;

        while (wrote < total && took > 0) {
            const uint64_t left = total - wrote;
            const size_t len = left < sizeof(block) ? (size_t)left : sizeof(block);

            took = ptcp_conn_send(a[i], pair.now_us, &(struct iovec){(void *)block, len}, 1);
            wrote += took > 0 ? (uint64_t)took : 0;
        }
        CU_ASSERT_TRUE_FATAL(pair_step(&pair, pair.now_us + MINUTE));
        got += pair_read(&pair, b[i]);
    }
}

/* Its packets that were given up are remembered for as long as their ACKs may come, not longer. */
static void an_idle_connection_of_a_busy_association_rests(void)
{
    bool lost = false;

    set_up(12500000);
    pair.tap = lose_one;
    pair.tap_state = &lost;
    connect_one(0, NULL);
    connect_one(1, NULL);
    transfer(0, TRANSFER_BYTES);
    CU_ASSERT_TRUE(a[0]->engine->recovery.lost_packets > 0);
    for (int i = 0; i < 100; i++) {
        write_bytes(a[1], 1);
        pair_run_for(&pair, 100 * MS);
        pair_read(&pair, b[1]);
    }
    CU_ASSERT_PTR_NULL(a[0]->engine);
    CU_ASSERT_PTR_NULL(b[0]->engine);
    end(2);
}

static void what_a_resting_connection_has_to_say_by_the_way_is_said_later(void)
{
    set_up(12500000);
    connect_one(0, NULL);
    transfer(0, TRANSFER_BYTES);
    pair_run_for(&pair, 500 * MS);
    a[0]->due |= PTCP_DUE_FREQUENCY;
    a[0]->asked_every = 7;
    pair_run_for(&pair, 5 * SECOND);
    CU_ASSERT_PTR_NULL(a[0]->engine);
    write_bytes(a[0], 1);
    pair_run_for(&pair, 20 * MS);
    CU_ASSERT_FALSE(a[0]->due & PTCP_DUE_FREQUENCY);
    CU_ASSERT_EQUAL(b[0]->engine->acks.every, 7);
    end(1);
}

static void windows_of_those_that_wake_are_within_the_memory_of_the_port(void)
{
    enum { COUNT = 40, MEMORY = 4 << 20 };
    const struct ptcp_endpoint_options options = {.max_datagram = 1472, .memory_bytes = MEMORY};

    set_up_with(0, options);
    for (int i = 0; i < COUNT; i++) {
        connect_one(i, NULL);
        pair_run_for(&pair, 2 * SECOND); /* it rests, and its window is free for others */
    }
    for (int i = 0; i < COUNT; i++)
        write_bytes(a[i], 100);
    pair_run_for(&pair, 100 * MS);
    CU_ASSERT_TRUE(pair.end[PAIR_A]->windows <= MEMORY + COUNT * STK_PTCP_BUFFER_MIN);
    CU_ASSERT_TRUE(pair.end[PAIR_B]->windows <= MEMORY + COUNT * STK_PTCP_BUFFER_MIN);
    CU_ASSERT_TRUE(pair.end[PAIR_B]->windows > MEMORY / 2);
    end(COUNT);
}

static CU_TestInfo tests[] = {
    {"bytes leave once there is memory", bytes_leave_once_there_is_memory},
    {"an opening leaves once there is memory", an_opening_leaves_once_there_is_memory},
    {"an ack leaves once there is memory", an_ack_leaves_once_there_is_memory},
    {"who rests is woken once there is memory", who_rests_is_woken_once_there_is_memory},
    {"an ack does not wait for a turn that does not come",
     an_ack_does_not_wait_for_a_turn_that_does_not_come},
    {"an idle connection of a busy association rests",
     an_idle_connection_of_a_busy_association_rests},
    {"what a resting connection has to say by the way is said later",
     what_a_resting_connection_has_to_say_by_the_way_is_said_later},
    {"windows of those that wake are within the memory of the port",
     windows_of_those_that_wake_are_within_the_memory_of_the_port},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp wakeup", tests)
