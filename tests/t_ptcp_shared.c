/*
 * Goal: connections of one association share what is known of their path and take fair turns at
 * it, by urgency; the first of them pays for what the others get for nothing.
 * Method: two cores joined by a small simulated network, many connections in one association.
 */
#include "harness.h"
#include "ptcp_pair.h"

enum { MANY = 20, MS = 1000, SECOND = 1000 * MS, ASSOCIATION = 7 };

static struct pair pair;
static struct ptcp_conn *a[MANY], *b[MANY];
static int retained, released;

static void retain(void *context, uint64_t association)
{
    (void)context;
    CU_ASSERT_EQUAL(association, ASSOCIATION);
    retained++;
}

static void release(void *context, uint64_t association)
{
    (void)context;
    CU_ASSERT_EQUAL(association, ASSOCIATION);
    released++;
}

static void set_up(void)
{
    const struct ptcp_endpoint_options options = {
        .max_datagram = 1472, .retain = retain, .release = release};

    retained = released = 0;
    pair_init_with(&pair, 1, true, options);
}

static void connect_some(int count)
{
    for (int i = 0; i < count; i++) {
        pair_connect(&pair, &a[i], &b[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]);
    }
}

static void write_some(struct ptcp_conn *conn, size_t len)
{
    static const uint8_t bytes[1 << 16];

    while (len > 0) {
        const size_t part = len < sizeof bytes ? len : sizeof bytes;
        const long took =
            ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)bytes, part}, 1);

        if (took <= 0)
            return;
        len -= (size_t)took;
    }
}

/* All of them write without end, for so long; what each has brought over. */
static void transfer_for(int count, uint64_t duration_us, uint64_t got[])
{
    const uint64_t until_us = pair.now_us + duration_us;

    memset(got, 0, (size_t)count * sizeof *got);
    do {
        for (int i = 0; i < count; i++) {
            write_some(a[i], 1 << 20);
            got[i] += pair_read(&pair, b[i]);
        }
    } while (pair_step(&pair, until_us));
}

/* --- What is shared ------------------------------------------------------------------------- */

static void one_path_serves_the_connections_of_an_association(void)
{
    set_up();
    connect_some(2);
    CU_ASSERT_PTR_EQUAL(a[0]->path, a[1]->path);
    CU_ASSERT_PTR_EQUAL(b[0]->path, b[1]->path);
    CU_ASSERT_EQUAL(a[0]->path->users, 2);
    pair_free(&pair);
    CU_ASSERT_EQUAL(retained, 2); /* once on each side */
    CU_ASSERT_EQUAL(released, 2);
}

static void plain_connections_have_paths_of_their_own(void)
{
    pair_init(&pair, 1, false);
    connect_some(2);
    CU_ASSERT_PTR_NOT_EQUAL(a[0]->path, a[1]->path);
    pair_free(&pair);
}

static void a_new_connection_begins_with_the_window_that_others_have_earned(void)
{
    uint64_t got[1];

    set_up();
    pair.net.rate_bytes_per_s = 10000000;
    connect_some(1);
    transfer_for(1, 2 * SECOND, got);
    const uint64_t window_bytes = a[0]->path->cc.window_bytes;
    CU_ASSERT_TRUE(window_bytes > 4 * PTCP_CC_INITIAL_PACKETS * (uint64_t)1472);
    ptcp_conn_finish(a[0], pair.now_us);
    ptcp_conn_finish(b[0], pair.now_us);
    while (pair_step(&pair, pair.now_us + 100 * MS) && pair.flying)
        pair_read(&pair, b[0]);
    a[1] = pair_open(&pair, PAIR_A, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a[1]);
    CU_ASSERT_TRUE(a[1]->path->rtt.sampled);
    CU_ASSERT_TRUE(a[1]->path->cc.window_bytes >= window_bytes);
    pair_free(&pair);
}

/* Openings are small and far between: their rate is not the path's, and must not become its pace.
 */
static void openings_say_nothing_of_the_path_s_rate(void)
{
    set_up();
    connect_some(MANY);
    const uint64_t window_bytes = (uint64_t)PTCP_CC_INITIAL_PACKETS * 1000;
    const uint64_t rate = window_bytes * 1000000 / a[0]->path->rtt.smoothed_us;
    CU_ASSERT_TRUE(a[0]->path->pacer.rate >= rate);
    pair_free(&pair);
}

static void the_path_outlives_its_last_connection_for_a_while(void)
{
    set_up();
    connect_some(1);
    ptcp_conn_finish(a[0], pair.now_us);
    ptcp_conn_finish(b[0], pair.now_us);
    pair_run_for(&pair, SECOND);
    ptcp_conn_release(a[0], pair.now_us);
    ptcp_conn_release(b[0], pair.now_us);
    CU_ASSERT_PTR_NOT_NULL(ptcp_paths_find(pair.end[PAIR_A], ASSOCIATION));
    CU_ASSERT_EQUAL(released, 0);
    pair_run_for(&pair, 40 * (uint64_t)SECOND);
    CU_ASSERT_PTR_NULL(ptcp_paths_find(pair.end[PAIR_A], ASSOCIATION));
    CU_ASSERT_EQUAL(released, 2);
    pair_free(&pair);
}

/* Both ends of an exchange in order, B the second. */
static void end_in_order(void)
{
    connect_some(1);
    ptcp_conn_finish(a[0], pair.now_us);
    pair_run_for(&pair, SECOND);
    ptcp_conn_finish(b[0], pair.now_us);
    pair_run_for(&pair, SECOND);
    ptcp_conn_release(a[0], pair.now_us);
    ptcp_conn_release(b[0], pair.now_us);
}

static void who_finished_second_has_nothing_to_repeat(void)
{
    set_up();
    end_in_order();
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_A]), 1);
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_B]), 0);
    pair_free(&pair);
}

static void in_plain_mode_both_remember_the_connection(void)
{
    pair_init(&pair, 1, false);
    end_in_order();
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_A]), 1);
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_B]), 1);
    pair_free(&pair);
}

/* Whatever gets lost at the end, each opening finds its answer and nobody an error. */
static void many_short_connections_end_in_order_under_loss(void)
{
    set_up();
    connect_some(1);
    pair.net.loss_permille = 100;
    for (int i = 1; i < 400; i++) {
        struct ptcp_conn *opener = pair_open(&pair, PAIR_A, NULL), *listener = NULL;
        const uint64_t until_us = pair.now_us + 30 * (uint64_t)SECOND;
        uint64_t got = 0;

        write_some(opener, 100);
        ptcp_conn_finish(opener, pair.now_us);
        while (!listener && pair_step(&pair, until_us))
            listener = ptcp_accept(pair.end[PAIR_B]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(listener);
        write_some(listener, 100);
        ptcp_conn_finish(listener, pair.now_us);
        while ((opener->state != PTCP_STATE_TIME_WAIT || listener->state != PTCP_STATE_TIME_WAIT) &&
               pair_step(&pair, until_us)) {
            got += pair_read(&pair, opener);
            pair_read(&pair, listener);
        }
        got += pair_read(&pair, opener);
        CU_ASSERT_EQUAL(got, 100);
        CU_ASSERT_EQUAL(opener->error, 0);
        CU_ASSERT_EQUAL(listener->error, 0);
        ptcp_conn_release(opener, pair.now_us);
        ptcp_conn_release(listener, pair.now_us);
    }
    pair_free(&pair);
}

static void an_association_that_was_never_heard_from_is_released_at_once(void)
{
    set_up();
    a[0] = pair_open(&pair, PAIR_A, NULL);
    pair_flush(&pair, PAIR_A);
    ptcp_conn_release(a[0], pair.now_us);
    CU_ASSERT_EQUAL(retained, 1);
    CU_ASSERT_EQUAL(released, 1);
    pair_free(&pair);
}

static void an_association_whose_last_user_had_bytes_to_send_is_released_too(void)
{
    set_up();
    connect_some(1);
    pair_run_for(&pair, 100 * MS);
    write_some(a[0], 1000);
    ptcp_conn_abort(a[0], pair.now_us, 0);
    ptcp_conn_release(a[0], pair.now_us);
    pair_run_for(&pair, 40 * SECOND);
    ptcp_conn_release(b[0], pair.now_us);
    CU_ASSERT_EQUAL(pair.end[PAIR_A]->paths.count, 0);
    CU_ASSERT_EQUAL(released, 1);
    pair_free(&pair);
}

static void an_association_that_fails_ends_its_connections_and_no_others(void)
{
    set_up();
    connect_some(2);
    ptcp_association_failed(pair.end[PAIR_A], pair.now_us, ASSOCIATION + 1, -ECONNRESET, "other");
    CU_ASSERT_EQUAL(a[0]->error, 0);
    ptcp_association_failed(pair.end[PAIR_A], pair.now_us, ASSOCIATION, -ECONNRESET, "gone");
    CU_ASSERT_EQUAL(a[0]->error, -ECONNRESET);
    CU_ASSERT_EQUAL(a[1]->error, -ECONNRESET);
    CU_ASSERT_EQUAL(released, 0); /* handles are still held */
    ptcp_conn_release(a[0], pair.now_us);
    ptcp_conn_release(a[1], pair.now_us);
    CU_ASSERT_EQUAL(released, 1);
    pair_free(&pair);
}

/* --- Turns ---------------------------------------------------------------------------------- */

static void no_connection_starves(void)
{
    uint64_t got[MANY], sum = 0;

    set_up();
    pair.net.rate_bytes_per_s = 2000000;
    pair.net.queue_us = 40 * MS;
    connect_some(MANY);
    transfer_for(MANY, 20 * (uint64_t)SECOND, got);
    for (int i = 0; i < MANY; i++)
        sum += got[i];
    CU_ASSERT_TRUE(sum > 30000000);
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT_TRUE(got[i] > sum / MANY * 3 / 4);
        CU_ASSERT_TRUE(got[i] < sum / MANY * 5 / 4);
    }
    pair_free(&pair);
}

static void the_more_urgent_connection_goes_first(void)
{
    uint64_t got[3];

    set_up();
    pair.net.rate_bytes_per_s = 2000000;
    pair.net.queue_us = 40 * MS;
    connect_some(3);
    transfer_for(3, 2 * SECOND, got);
    ptcp_conn_set_priority(a[1], 0);
    transfer_for(3, 5 * (uint64_t)SECOND, got);
    CU_ASSERT_TRUE(got[1] > 20 * (got[0] + got[2]));
    ptcp_conn_set_priority(a[1], PTCP_PRIORITIES - 1);
    transfer_for(3, 5 * (uint64_t)SECOND, got);
    CU_ASSERT_TRUE(20 * got[1] < got[0] + got[2]);
    pair_free(&pair);
}

static void an_option_gives_the_urgency(void)
{
    const struct stk_ptcp_options urgent = {.priority_given = 1, .priority = 0};

    set_up();
    a[0] = pair_open(&pair, PAIR_A, &urgent);
    a[1] = pair_open(&pair, PAIR_A, NULL);
    CU_ASSERT_EQUAL(a[0]->turn.priority, 0);
    CU_ASSERT_EQUAL(a[1]->turn.priority, PTCP_PRIORITY_DEFAULT);
    pair_free(&pair);
}

static void a_connection_whose_reader_sleeps_holds_nobody_back(void)
{
    uint64_t got = 0;

    set_up();
    pair.net.rate_bytes_per_s = 2000000;
    connect_some(2);
    ptcp_conn_set_priority(a[0], 0);
    const uint64_t until_us = pair.now_us + 5 * (uint64_t)SECOND;
    do {
        write_some(a[0], 1 << 20); /* which nobody reads */
        write_some(a[1], 1 << 20);
        got += pair_read(&pair, b[1]);
    } while (pair_step(&pair, until_us));
    CU_ASSERT_TRUE(got > 8000000);
    pair_free(&pair);
}

static void windows_are_together_within_the_memory_of_the_port(void)
{
    const struct ptcp_endpoint_options options = {.max_datagram = 1472, .memory_bytes = 3 << 19};
    uint64_t got[3], sum = 0;

    pair_init_with(&pair, 1, true, options);
    pair.end[PAIR_A]->pool.limit = UINT32_MAX; /* only the reader is short of memory */
    pair.net.rate_bytes_per_s = 20000000;
    pair.net.delay_us = 50 * MS;
    connect_some(3);
    transfer_for(3, 10 * (uint64_t)SECOND, got);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]->engine);
        CU_ASSERT_TRUE(got[i] > 1000000);
        sum += b[i]->engine->flow.window;
    }
    CU_ASSERT_EQUAL(pair.end[PAIR_B]->windows, sum);
    CU_ASSERT_TRUE(sum > 3 * (256 << 10)); /* some have grown */
    CU_ASSERT_TRUE(sum <= 3 << 19);
    pair_free(&pair);
}

static uint64_t who(void *context, uint64_t association)
{
    (void)context;
    return association;
}

/* The port has no memory for the window that the path had before. */
static void who_finds_no_memory_waits_until_others_give_some_back(void)
{
    enum { CHUNKS = 16 };
    const struct ptcp_endpoint_options options = {.max_datagram = 1472,
                                                  .memory_bytes = CHUNKS * PTCP_CHUNK_BYTES};
    struct iovec one = {(void *)"x", 1};

    pair_init_with(&pair, 1, true, options);
    connect_some(MANY);
    pair.net.cut[PAIR_A] = true;
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(ptcp_conn_send(a[i], pair.now_us, &one, 1), i < CHUNKS ? 1 : STK_AGAIN);
        ptcp_conn_take_events(a[i]);
    }
    CU_ASSERT_EQUAL(ptcp_conn_send(a[CHUNKS], pair.now_us, &one, 1), STK_AGAIN);
    ptcp_conn_release(a[MANY - 1], pair.now_us); /* one of those who wait leaves */
    pair_run_for(&pair, SECOND);
    for (int i = CHUNKS; i < MANY - 1; i++)
        CU_ASSERT_FALSE(ptcp_conn_take_events(a[i]) & PTCP_TX);
    pair.net.cut[PAIR_A] = false;
    pair_run_for(&pair, 5 * SECOND);
    for (int i = CHUNKS; i < MANY - 1; i++) {
        CU_ASSERT_TRUE(ptcp_conn_take_events(a[i]) & PTCP_TX);
        CU_ASSERT_EQUAL(ptcp_conn_send(a[i], pair.now_us, &one, 1), 1);
        CU_ASSERT_EQUAL(a[i]->error, 0);
    }
    pair_free(&pair);
}

static void a_memory_that_changes_no_window_takes_no_grant_back(void)
{
    static const uint8_t key[16] = {1};
    struct ptcp_history *history = ptcp_history_new(key);
    struct ptcp_memory memory = {.who = ASSOCIATION, .window = 8 << 20};

    CU_ASSERT_PTR_NOT_NULL_FATAL(history);
    pair_init_with(
        &pair, 1, true,
        (struct ptcp_endpoint_options){
            .max_datagram = 1472, .memory_bytes = 1 << 19, .history = history, .who = who});
    connect_some(1);
    pair_run_for(&pair, 100 * MS);
    CU_ASSERT_TRUE_FATAL(ptcp_conn_wake(a[0]));
    const uint64_t window = a[0]->engine->flow.window;
    memory.at_us = pair.end[PAIR_A]->now_us;
    ptcp_history_put(history, &memory);
    a[0]->engine->flow.update = true;
    ptcp_paths_recall(pair.end[PAIR_A], a[0]->path);
    CU_ASSERT_EQUAL(a[0]->engine->flow.window, window);
    CU_ASSERT_TRUE(a[0]->engine->flow.update);
    pair_free(&pair);
    ptcp_history_leave(history);
}

static void a_connection_that_ends_gives_its_part_of_the_window_back(void)
{
    set_up();
    pair.net.rate_bytes_per_s = 2000000;
    connect_some(2);
    write_some(a[0], 1 << 20);
    pair_flush(&pair, PAIR_A);
    CU_ASSERT_TRUE(a[0]->path->delivery.in_flight > 0);
    ptcp_conn_abort(a[0], pair.now_us, 0);
    CU_ASSERT_EQUAL(a[1]->path->delivery.in_flight, a[1]->engine->recovery.in_flight);
    pair_free(&pair);
}

/* What is open already, and what is written at once, reaches the other side in half a round trip.
 */
static void a_further_connection_needs_no_round_trip(void)
{
    set_up();
    connect_some(1);
    const uint64_t begun_us = pair.now_us;
    a[1] = pair_open(&pair, PAIR_A, NULL);
    write_some(a[1], 100);
    b[1] = NULL;
    while (!b[1] && pair_step(&pair, begun_us + SECOND))
        b[1] = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b[1]);
    CU_ASSERT_EQUAL(pair_read(&pair, b[1]), 100);
    CU_ASSERT_EQUAL(pair.now_us - begun_us, pair.net.delay_us);
    pair_free(&pair);
}

static CU_TestInfo tests[] = {
    {"one path serves the connections of an association",
     one_path_serves_the_connections_of_an_association},
    {"plain connections have paths of their own", plain_connections_have_paths_of_their_own},
    {"a new connection begins with the window that others have earned",
     a_new_connection_begins_with_the_window_that_others_have_earned},
    {"openings say nothing of the path's rate", openings_say_nothing_of_the_path_s_rate},
    {"the path outlives its last connection for a while",
     the_path_outlives_its_last_connection_for_a_while},
    {"who finished second has nothing to repeat", who_finished_second_has_nothing_to_repeat},
    {"in plain mode both remember the connection", in_plain_mode_both_remember_the_connection},
    {"many short connections end in order under loss",
     many_short_connections_end_in_order_under_loss},
    {"an association that was never heard from is released at once",
     an_association_that_was_never_heard_from_is_released_at_once},
    {"an association whose last user had bytes to send is released, too",
     an_association_whose_last_user_had_bytes_to_send_is_released_too},
    {"an association that fails ends its connections and no others",
     an_association_that_fails_ends_its_connections_and_no_others},
    {"no connection starves", no_connection_starves},
    {"the more urgent connection goes first", the_more_urgent_connection_goes_first},
    {"an option gives the urgency", an_option_gives_the_urgency},
    {"a connection whose reader sleeps holds nobody back",
     a_connection_whose_reader_sleeps_holds_nobody_back},
    {"windows are together within the memory of the port",
     windows_are_together_within_the_memory_of_the_port},
    {"who finds no memory waits until others give some back",
     who_finds_no_memory_waits_until_others_give_some_back},
    {"a memory that changes no window takes no grant back",
     a_memory_that_changes_no_window_takes_no_grant_back},
    {"a connection that ends gives its part of the window back",
     a_connection_that_ends_gives_its_part_of_the_window_back},
    {"a further connection needs no round trip", a_further_connection_needs_no_round_trip},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp shared", tests)
