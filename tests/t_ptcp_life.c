/*
 * Goal: a connection opens, lives and ends as the specification says, whatever is lost.
 * Method: two cores in memory; single packets are dropped, clocks are compared exactly.
 */
#include "ptcp_pair.h"

#include "error.h"
#include "harness.h"

static struct pair pair;
static struct ptcp_conn *a, *b;

static void set_up(uint64_t seed, bool sealed)
{
    pair_init(&pair, seed, sealed);
    a = b = NULL;
}

static void connect_both(void)
{
    pair_connect(&pair, &a, &b);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    pair_run_for(&pair, 100000);
}

static void tear_down(void)
{
    if (a)
        ptcp_conn_release(a, pair.now_us);
    if (b)
        ptcp_conn_release(b, pair.now_us);
    a = b = NULL;
    pair_free(&pair);
}

static long put(struct ptcp_conn *conn, const char *text)
{
    return ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)text, strlen(text)}, 1);
}

static bool gets(struct ptcp_conn *conn, const char *text)
{
    char buffer[256];
    const long len = ptcp_conn_recv(conn, pair.now_us, &(struct iovec){buffer, sizeof(buffer)}, 1);

    return len == (long)strlen(text) && memcmp(buffer, text, (size_t)len) == 0;
}

static int error_of(struct ptcp_conn *conn)
{
    const char *text;

    return ptcp_conn_error(conn, &text);
}

/* --- Opening ------------------------------------------------------------------------------------
 */

static void plain_mode_keeps_nothing_before_the_cookie_returns(void)
{
    set_up(1, false);
    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    a = pair_open(&pair, PAIR_A, NULL);
    pair_flush(&pair, PAIR_A);
    pair.now_us += 10000;
    pair_deliver(&pair);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 0);
    pair_run_for(&pair, 100000);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 1);
    b = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL(b);
    CU_ASSERT_TRUE(ptcp_conn_take_events(a) & PTCP_READY);
    tear_down();
}

static void sealed_mode_carries_bytes_in_the_first_packet(void)
{
    set_up(1, true);
    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    a = pair_open(&pair, PAIR_A, NULL);
    put(a, "early");
    pair_flush(&pair, PAIR_A);
    pair.now_us += 10000;
    pair_deliver(&pair);
    b = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT_TRUE(gets(b, "early"));
    tear_down();
}

/* B has a SYN with bytes that may be a recording. */
static void send_early_syn(void)
{
    set_up(1, true);
    pair.early[PAIR_B] = true;
    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    a = pair_open(&pair, PAIR_A, NULL);
    put(a, "early");
    ptcp_conn_finish(a, pair.now_us);
    pair_flush(&pair, PAIR_A);
    pair.now_us += 10000;
    pair_deliver(&pair);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 1);
    CU_ASSERT_PTR_NULL(ptcp_accept(pair.end[PAIR_B]));
    CU_ASSERT_PTR_NULL(ptcp_next_event(pair.end[PAIR_B]));
}

static void an_early_syn_waits_until_the_association_is_ready(void)
{
    send_early_syn();
    ptcp_association_ready(pair.end[PAIR_B], pair.now_us, pair.association + 1);
    CU_ASSERT_PTR_NULL(ptcp_accept(pair.end[PAIR_B]));
    ptcp_association_ready(pair.end[PAIR_B], pair.now_us, pair.association);
    b = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT_TRUE(ptcp_conn_take_events(b) & PTCP_RX_EOF);
    CU_ASSERT_TRUE(gets(b, "early"));
    tear_down();
}

static void an_early_syn_opens_when_its_sender_uses_the_answer(void)
{
    const uint64_t start_us = 1000000;

    send_early_syn();
    CU_ASSERT_EQUAL(pair.now_us, start_us + 10000);
    while (a->state == PTCP_STATE_SYN_SENT && pair_step(&pair, start_us + 1000000))
        ;
    CU_ASSERT_EQUAL(pair.now_us, start_us + 20000); /* one round trip for who opens */
    CU_ASSERT_PTR_NULL(ptcp_accept(pair.end[PAIR_B]));
    pair_run_for(&pair, 40000);
    b = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT_TRUE(gets(b, "early"));
    tear_down();
}

static void an_early_syn_leaves_nothing_when_the_association_fails(void)
{
    send_early_syn();
    ptcp_association_failed(pair.end[PAIR_B], pair.now_us, pair.association, -ETIMEDOUT, "silent");
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 0);
    CU_ASSERT_EQUAL(pair.end[PAIR_B]->waiting, 0);
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_B]), 0);
    CU_ASSERT_PTR_NULL(ptcp_accept(pair.end[PAIR_B]));
    tear_down();
}

static void who_stops_listening_resets_what_is_about_to_open(void)
{
    send_early_syn();
    ptcp_unlisten(pair.end[PAIR_B], pair.now_us);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 0);
    pair_run_for(&pair, 2000000); /* it has no answer yet and asks again */
    CU_ASSERT_EQUAL(error_of(a), -ECONNREFUSED);
    tear_down();
}

static void syns_that_cross_make_one_connection(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        set_up(3, sealed);
        a = pair_open(&pair, PAIR_A, NULL);
        b = pair_open(&pair, PAIR_B, NULL);
        pair_run_for(&pair, 200000);
        CU_ASSERT_EQUAL(a->state, PTCP_STATE_ESTABLISHED);
        CU_ASSERT_EQUAL(b->state, PTCP_STATE_ESTABLISHED);
        CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_A]), 1);
        CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 1);
        put(a, "from a");
        put(b, "from b");
        pair_run_for(&pair, 100000);
        CU_ASSERT_TRUE(gets(a, "from b") && gets(b, "from a"));
        tear_down();
    }
}

static void crossing_survives_loss(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        set_up(seed, false);
        pair.net.loss_permille = 300;
        a = pair_open(&pair, PAIR_A, NULL);
        b = pair_open(&pair, PAIR_B, NULL);
        put(a, "x");
        put(b, "y");
        pair_run_for(&pair, 14000000);
        CU_ASSERT_TRUE(gets(a, "y") && gets(b, "x"));
        tear_down();
    }
}

static void handshakes_survive_heavy_loss(void)
{
    int failed = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        set_up(seed, seed & 1);
        pair.net.loss_permille = 300;
        pair_connect(&pair, &a, &b);
        failed += b == NULL;
        tear_down();
    }
    CU_ASSERT_EQUAL(failed, 0);
}

static void nobody_listening_refuses_at_once(void)
{
    set_up(1, false);
    a = pair_open(&pair, PAIR_A, NULL);
    pair_run_for(&pair, 100000);
    CU_ASSERT_EQUAL(error_of(a), -ECONNREFUSED);
    tear_down();
}

static uint64_t fails_after(struct ptcp_conn *conn)
{
    const uint64_t start_us = pair.now_us;

    while (!error_of(conn) && pair_step(&pair, start_us + 1000000000))
        ;
    return pair.now_us - start_us;
}

static void a_dead_host_fails_at_the_connect_timeout(void)
{
    const struct stk_ptcp_options options = {.connect_timeout_us = 7000000};

    set_up(1, false);
    pair.net.cut[PAIR_B] = true;
    a = pair_open(&pair, PAIR_A, &options);
    CU_ASSERT_EQUAL(fails_after(a), 7000000);
    CU_ASSERT_EQUAL(error_of(a), -ETIMEDOUT);
    tear_down();
}

static void the_backlog_is_bounded(void)
{
    struct ptcp_conn *many[5];

    set_up(1, false);
    ptcp_listen(pair.end[PAIR_B], NULL, 3);
    for (int i = 0; i < 5; i++)
        many[i] = pair_open(&pair, PAIR_A, NULL);
    pair_run_for(&pair, 1000000);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 3);
    for (int i = 0; i < 5; i++)
        ptcp_conn_release(many[i], pair.now_us);
    ptcp_unlisten(pair.end[PAIR_B], pair.now_us);
    tear_down();
}

/* --- Ending
 * ----------------------------------------------------------------------------------------- */

static void each_direction_ends_by_itself(void)
{
    set_up(1, false);
    connect_both();
    put(a, "last");
    ptcp_conn_finish(a, pair.now_us);
    CU_ASSERT_EQUAL(put(a, "more"), STK_ESHUTDOWN);
    pair_run_for(&pair, 100000);
    CU_ASSERT_TRUE(ptcp_conn_take_events(b) & PTCP_RX_EOF);
    CU_ASSERT_TRUE(ptcp_conn_take_events(a) & PTCP_TX_DONE);
    CU_ASSERT_EQUAL(a->state, PTCP_STATE_FIN_WAIT_2);
    CU_ASSERT_EQUAL(b->state, PTCP_STATE_CLOSE_WAIT);
    CU_ASSERT_TRUE(gets(b, "last"));
    CU_ASSERT_EQUAL(ptcp_conn_peek(b, &(struct iovec){0}, 1), 0);
    put(b, "still open");
    pair_run_for(&pair, 100000);
    CU_ASSERT_TRUE(gets(a, "still open"));
    ptcp_conn_finish(b, pair.now_us);
    pair_run_for(&pair, 100000);
    CU_ASSERT_TRUE(ptcp_conn_take_events(a) & PTCP_CLOSED);
    CU_ASSERT_TRUE(ptcp_conn_take_events(b) & PTCP_CLOSED);
    tear_down();
}

static bool drop_some(struct pair *p, int from, uint8_t *bytes, size_t size, bool probe)
{
    unsigned *left = p->tap_state;

    (void)from;
    (void)bytes;
    (void)size;
    (void)probe;
    if (*left == 0)
        return true;
    --*left;
    return false;
}

/* B has A's FIN, and has sent its own; what A says to that is lost. */
static void stop_in_last_ack(const char *last_words, bool words_arrive)
{
    set_up(1, true);
    connect_both();
    ptcp_conn_finish(a, pair.now_us);
    pair_run_for(&pair, 100000);
    put(b, last_words);
    if (words_arrive)
        pair_run_for(&pair, 100000);
    pair.net.cut[PAIR_A] = true;
    ptcp_conn_finish(b, pair.now_us);
    pair_run_for(&pair, 15000);
    CU_ASSERT_EQUAL(b->state, PTCP_STATE_LAST_ACK);
    ptcp_conn_take_events(b);
    ptcp_association_failed(pair.end[PAIR_B], pair.now_us, pair.association, -ECONNRESET, "left");
}

static void a_peer_that_leaves_after_it_had_all_is_no_error(void)
{
    stop_in_last_ack("bye", true);
    CU_ASSERT_EQUAL(error_of(b), 0);
    CU_ASSERT_EQUAL(ptcp_conn_take_events(b), PTCP_TX_DONE | PTCP_CLOSED);
    tear_down();
}

static void a_peer_that_leaves_before_it_acknowledged_all_is_an_error(void)
{
    stop_in_last_ack("bye", false);
    CU_ASSERT_EQUAL(error_of(b), -ECONNRESET);
    CU_ASSERT_TRUE(ptcp_conn_take_events(b) & PTCP_ERROR);
    tear_down();
}

static void a_lost_fin_comes_again(void)
{
    for (unsigned lost = 1; lost <= 8; lost++) {
        unsigned left = lost;

        set_up(lost, false);
        connect_both();
        pair.tap = drop_some;
        pair.tap_state = &left;
        ptcp_conn_finish(a, pair.now_us);
        ptcp_conn_finish(b, pair.now_us);
        pair_run_for(&pair, 20000000);
        CU_ASSERT_EQUAL(error_of(a), 0);
        CU_ASSERT_EQUAL(error_of(b), 0);
        CU_ASSERT_TRUE(ptcp_conn_take_events(a) & PTCP_CLOSED);
        CU_ASSERT_TRUE(ptcp_conn_take_events(b) & PTCP_CLOSED);
        tear_down();
    }
}

static void a_reset_tells_the_peer(void)
{
    set_up(1, false);
    connect_both();
    put(b, "before");
    pair_run_for(&pair, 100000);
    put(b, "never read by b's user");
    ptcp_conn_abort(b, pair.now_us, PTCP_RESET_CANCELLED);
    CU_ASSERT_EQUAL(error_of(b), -ECONNABORTED);
    pair_run_for(&pair, 100000);
    CU_ASSERT_EQUAL(error_of(a), -ECONNRESET);
    CU_ASSERT_TRUE(gets(a, "before")); /* what came before the error stays readable */
    CU_ASSERT_EQUAL(ptcp_conn_peek(a, &(struct iovec){0}, 1), -ECONNRESET);
    tear_down();
}

static void a_lost_reset_is_repeated_when_the_peer_speaks(void)
{
    unsigned left = 1;

    set_up(1, false);
    connect_both();
    pair.tap = drop_some;
    pair.tap_state = &left;
    ptcp_conn_abort(b, pair.now_us, PTCP_RESET_CANCELLED);
    pair_run_for(&pair, 50000);
    CU_ASSERT_EQUAL(error_of(a), 0);
    put(a, "hello?");
    pair_run_for(&pair, 100000);
    CU_ASSERT_EQUAL(error_of(a), -ECONNRESET);
    tear_down();
}

static void bytes_for_a_user_who_left_are_answered_by_reset(void)
{
    set_up(1, false);
    connect_both();
    ptcp_conn_release(b, pair.now_us);
    b = NULL;
    pair_run_for(&pair, 100000);
    put(a, "anybody?");
    pair_run_for(&pair, 200000);
    CU_ASSERT_EQUAL(error_of(a), -ECONNRESET);
    tear_down();
}

static void time_wait_entries_are_bounded_and_end(void)
{
    pair_init_with(&pair, 1, false,
                   (struct ptcp_endpoint_options){.max_datagram = 1472, .time_wait_max = 2});
    for (int i = 0; i < 4; i++) {
        connect_both();
        ptcp_conn_finish(a, pair.now_us);
        ptcp_conn_finish(b, pair.now_us);
        pair_run_for(&pair, 200000);
        ptcp_conn_release(a, pair.now_us);
        ptcp_conn_release(b, pair.now_us);
        a = b = NULL;
    }
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_A]), 2);
    pair_run_for(&pair, 31000000);
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_A]), 0);
    CU_ASSERT_EQUAL(ptcp_next_timeout_us(pair.end[PAIR_A], pair.now_us), UINT64_MAX);
    tear_down();
}

/* --- Time
 * ------------------------------------------------------------------------------------------------
 */

static void silence_after_sending_fails_at_the_user_timeout(void)
{
    set_up(1, false);
    connect_both();
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = true;
    put(a, "into the dark");
    CU_ASSERT_EQUAL(fails_after(a), STK_PTCP_USER_TIMEOUT_US);
    CU_ASSERT_EQUAL(error_of(a), -ETIMEDOUT);
    tear_down();
}

static void a_killed_peer_is_found_by_keepalive(void)
{
    set_up(1, false);
    connect_both();
    pair.net.cut[PAIR_B] = true;
    CU_ASSERT_TRUE(fails_after(a) <= STK_PTCP_USER_TIMEOUT_US);
    CU_ASSERT_EQUAL(error_of(a), -ETIMEDOUT);
    tear_down();
}

static void write_word(struct ptcp_conn *conn)
{
    CU_ASSERT_EQUAL(ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)"word", 4}, 1), 4);
}

static void read_word(struct ptcp_conn *conn)
{
    char word[8];

    CU_ASSERT_EQUAL(ptcp_conn_recv(conn, pair.now_us, &(struct iovec){word, sizeof word}, 1), 4);
    CU_ASSERT_EQUAL(memcmp(word, "word", 4), 0);
}

/* Each word comes after a rest of both; so do the ends. */
static void a_connection_that_rests_goes_on_as_it_was(void)
{
    struct stk_ptcp_stats before, after;

    set_up(1, true);
    connect_both();
    for (int i = 0; i < 5; i++) {
        write_word(a);
        pair_run_for(&pair, 20000);
        read_word(b);
        write_word(b);
        pair_run_for(&pair, 300000);
        read_word(a);
        ptcp_conn_stats(a, &before);
        pair_run_for(&pair, 3000000);
        CU_ASSERT_PTR_NULL(a->engine);
        CU_ASSERT_PTR_NULL(b->engine);
        ptcp_conn_stats(a, &after);
        CU_ASSERT_EQUAL(after.stream_sent, 4 * (uint64_t)(i + 1));
        CU_ASSERT_EQUAL(after.stream_consumed, 4 * (uint64_t)(i + 1));
        CU_ASSERT_EQUAL(after.send_window_bytes, before.send_window_bytes);
        CU_ASSERT_EQUAL(after.packets_lost, before.packets_lost);
    }
    CU_ASSERT_EQUAL(ptcp_conn_peek(a, &(struct iovec){0}, 1), STK_AGAIN);
    ptcp_conn_finish(a, pair.now_us);
    pair_run_for(&pair, 3000000);
    CU_ASSERT_PTR_NULL(b->engine);
    CU_ASSERT_EQUAL(ptcp_conn_peek(b, &(struct iovec){0}, 1), 0);
    write_word(b);
    ptcp_conn_finish(b, pair.now_us);
    pair_run_for(&pair, 300000);
    read_word(a);
    CU_ASSERT_EQUAL(error_of(a), 0);
    CU_ASSERT_EQUAL(error_of(b), 0);
    tear_down();
}

/* No packet tells that nothing is left to do. */
static void who_reads_late_rests_all_the_same(void)
{
    set_up(1, true);
    connect_both();
    write_word(a);
    pair_run_for(&pair, 20000);
    write_word(b);
    pair_run_for(&pair, 300000);
    CU_ASSERT_PTR_NULL(b->engine->recovery.ring.slots); /* all is acknowledged */
    read_word(b);
    read_word(a);
    pair_run_for(&pair, 3000000);
    CU_ASSERT_PTR_NULL(a->engine);
    CU_ASSERT_PTR_NULL(b->engine);
    tear_down();
}

static void a_connection_that_rests_can_be_aborted(void)
{
    set_up(1, true);
    connect_both();
    pair_run_for(&pair, 3000000);
    CU_ASSERT_PTR_NULL(a->engine);
    CU_ASSERT_PTR_NULL(b->engine);
    ptcp_conn_abort(a, pair.now_us, PTCP_RESET_CANCELLED);
    pair_run_for(&pair, 100000);
    CU_ASSERT_EQUAL(error_of(b), -ECONNRESET);
    tear_down();
}

static void keepalive_keeps_an_idle_connection(void)
{
    set_up(1, false);
    connect_both();
    pair_run_for(&pair, UINT64_C(3600000000));
    CU_ASSERT_EQUAL(error_of(a), 0);
    CU_ASSERT_TRUE(a->packets_sent < 1000);
    CU_ASSERT_PTR_NULL(a->engine); /* an idle connection holds no buffers */
    CU_ASSERT_PTR_NULL(b->engine);
    tear_down();
}

static void the_idle_timeout_ends_a_silent_connection(void)
{
    const struct stk_ptcp_options options = {.idle_timeout_us = 5000000, .keepalive_off = 1};

    set_up(1, false);
    ptcp_listen(pair.end[PAIR_B], &options, 0);
    a = pair_open(&pair, PAIR_A, &options);
    pair_run_for(&pair, 1000000);
    b = ptcp_accept(pair.end[PAIR_B]);
    fails_after(a);
    CU_ASSERT_EQUAL(pair.now_us, a->heard_us + 5000000);
    CU_ASSERT_EQUAL(error_of(a), -ETIMEDOUT);
    tear_down();
}

/* --- Flow control
 * -------------------------------------------------------------------------------------------- */

static uint64_t fill(struct ptcp_conn *conn)
{
    static uint8_t block[65536];
    uint64_t total = 0;
    long took;

    while ((took = ptcp_conn_send(conn, pair.now_us, &(struct iovec){block, sizeof(block)}, 1)) > 0)
        total += (uint64_t)took;
    return total;
}

static uint64_t drain(struct ptcp_conn *conn)
{
    static uint8_t block[65536];
    uint64_t total = 0;
    long got;

    while ((got = ptcp_conn_recv(conn, pair.now_us, &(struct iovec){block, sizeof(block)}, 1)) > 0)
        total += (uint64_t)got;
    return total;
}

static void a_window_update_that_is_lost_does_not_stop_the_stream(void)
{
    unsigned left = 6;

    set_up(1, false);
    connect_both();
    fill(a);
    pair_run_for(&pair, 2000000);
    fill(a);
    pair_run_for(&pair, 70000000); /* longer than the user time-out: a full window is no silence */
    CU_ASSERT_EQUAL(error_of(a), 0);
    CU_ASSERT_EQUAL(ptcp_reasm_readable(&b->engine->in), b->engine->flow.granted);
    const uint64_t before = drain(b);
    CU_ASSERT_TRUE(before >= STK_PTCP_RECEIVE_WINDOW_INIT);
    pair.tap = drop_some;
    pair.tap_state = &left;
    pair_run_for(&pair, 10000000);
    CU_ASSERT_TRUE(drain(b) > 0);
    tear_down();
}

static void the_window_grows_with_the_reader_and_stays_bounded(void)
{
    set_up(1, false);
    pair.net.delay_us = 50000;
    connect_both();
    for (int i = 0; i < 4000; i++) {
        fill(a);
        drain(b);
        pair_step(&pair, pair.now_us + 1000000);
    }
    CU_ASSERT_TRUE(b->engine->flow.window > STK_PTCP_RECEIVE_WINDOW_INIT);
    CU_ASSERT_TRUE(b->engine->flow.window <= STK_PTCP_RECEIVE_WINDOW_MAX);
    CU_ASSERT_TRUE(a->engine->out.limit <= STK_PTCP_SEND_BUFFER_MAX);
    tear_down();
}

static void who_leaves_in_the_middle_of_a_stream_resets_it(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        for (int steps = 1; steps < 400; steps += 37) {
            set_up(1, sealed);
            connect_both();
            fill(a);
            for (int i = 0; i < steps; i++) {
                pair_step(&pair, pair.now_us + 100000);
                drain(b);
            }
            ptcp_conn_release(b, pair.now_us);
            b = NULL;
            for (int i = 0; i < 50; i++) {
                fill(a);
                pair_run_for(&pair, 100000);
            }
            CU_ASSERT_EQUAL(error_of(a), -ECONNRESET);
            CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 0);
            tear_down();
        }
    }
}

static void room_is_announced_once_after_again(void)
{
    set_up(1, false);
    connect_both();
    fill(a);
    ptcp_conn_take_events(a);
    CU_ASSERT_EQUAL(put(a, "x"), STK_AGAIN);
    pair_run_for(&pair, 3000000);
    CU_ASSERT_TRUE(ptcp_conn_take_events(a) & PTCP_TX);
    CU_ASSERT_FALSE(ptcp_conn_take_events(a) & PTCP_TX);
    tear_down();
}

static void a_move_forgets_the_old_path_and_goes_on(void)
{
    set_up(1, true);
    connect_both();
    fill(a);
    pair_run_for(&pair, 200000);
    ptcp_association_moved(pair.end[PAIR_A], pair.now_us, pair.association, PTCP_MOVE_PATH);
    CU_ASSERT_FALSE(a->path->rtt.sampled);
    CU_ASSERT_EQUAL(a->engine->recovery.in_flight, 0);
    pair_run_for(&pair, 2000000);
    CU_ASSERT_TRUE(a->path->rtt.sampled);
    CU_ASSERT_EQUAL(error_of(a), 0);
    drain(b);
    tear_down();
}

static CU_TestInfo tests[] = {
    {"plain mode keeps nothing before the cookie returns",
     plain_mode_keeps_nothing_before_the_cookie_returns},
    {"sealed mode carries bytes in the first packet",
     sealed_mode_carries_bytes_in_the_first_packet},
    {"an early syn waits until the association is ready",
     an_early_syn_waits_until_the_association_is_ready},
    {"an early syn opens when its sender uses the answer",
     an_early_syn_opens_when_its_sender_uses_the_answer},
    {"an early syn leaves nothing when the association fails",
     an_early_syn_leaves_nothing_when_the_association_fails},
    {"who stops listening resets what is about to open",
     who_stops_listening_resets_what_is_about_to_open},
    {"syns that cross make one connection", syns_that_cross_make_one_connection},
    {"crossing survives loss", crossing_survives_loss},
    {"handshakes survive heavy loss", handshakes_survive_heavy_loss},
    {"nobody listening refuses at once", nobody_listening_refuses_at_once},
    {"a dead host fails at the connect timeout", a_dead_host_fails_at_the_connect_timeout},
    {"the backlog is bounded", the_backlog_is_bounded},
    {"each direction ends by itself", each_direction_ends_by_itself},
    {"a peer that leaves after it had all is no error",
     a_peer_that_leaves_after_it_had_all_is_no_error},
    {"a peer that leaves before it acknowledged all is an error",
     a_peer_that_leaves_before_it_acknowledged_all_is_an_error},
    {"a lost fin comes again", a_lost_fin_comes_again},
    {"a reset tells the peer", a_reset_tells_the_peer},
    {"a lost reset is repeated when the peer speaks",
     a_lost_reset_is_repeated_when_the_peer_speaks},
    {"bytes for a user who left are answered by reset",
     bytes_for_a_user_who_left_are_answered_by_reset},
    {"time wait entries are bounded and end", time_wait_entries_are_bounded_and_end},
    {"silence after sending fails at the user timeout",
     silence_after_sending_fails_at_the_user_timeout},
    {"a killed peer is found by keepalive", a_killed_peer_is_found_by_keepalive},
    {"keepalive keeps an idle connection", keepalive_keeps_an_idle_connection},
    {"a connection that rests goes on as it was", a_connection_that_rests_goes_on_as_it_was},
    {"who reads late rests all the same", who_reads_late_rests_all_the_same},
    {"a connection that rests can be aborted", a_connection_that_rests_can_be_aborted},
    {"the idle timeout ends a silent connection", the_idle_timeout_ends_a_silent_connection},
    {"a window update that is lost does not stop the stream",
     a_window_update_that_is_lost_does_not_stop_the_stream},
    {"the window grows with the reader and stays bounded",
     the_window_grows_with_the_reader_and_stays_bounded},
    {"who leaves in the middle of a stream resets it",
     who_leaves_in_the_middle_of_a_stream_resets_it},
    {"room is announced once after again", room_is_announced_once_after_again},
    {"a move forgets the old path and goes on", a_move_forgets_the_old_path_and_goes_on},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp life", tests)
