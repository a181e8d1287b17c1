/*
 * Goal: time-outs end what is dead, soon, and nothing that lives. Method: two cores joined by a
 * small simulated network, in virtual time.
 */
#include "error.h"
#include "ptcp_many.h"

static const struct stk_ptcp_options urgent = {.priority_given = 1, .priority = 0},
                                     patient = {.priority_given = 1, .priority = 7};

/* Connection 0 fills the path for so long. */
static void be_busy_for(uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    do {
        write_more(a[0]);
        pair_read(&pair, b[0]);
    } while (pair_step(&pair, until_us));
}

/* What the peer has of connection `i` once nothing of connection 0 is left. */
static uint64_t arrives(int i)
{
    const uint64_t until_us = pair.now_us + MINUTE;
    uint64_t got = 0;

    while (got == 0 && pair_step(&pair, until_us)) {
        pair_read(&pair, b[0]);
        got = pair_read(&pair, b[i]);
    }
    return got;
}

/* --- Who waits for a turn --------------------------------------------------------------------- */

/* Connection 1 has 100 bytes to send, and connection 0 takes the path. */
static void begin_behind_an_urgent_one(void)
{
    set_up(125000);
    connect_one(0, &urgent);
    connect_one(1, &patient);
    be_busy_for(SECOND);
    write_bytes(a[1], 100);
}

static void who_waits_for_a_turn_for_minutes_has_not_timed_out(void)
{
    begin_behind_an_urgent_one();
    be_busy_for(3 * MINUTE);
    CU_ASSERT_EQUAL(a[1]->error, 0);
    CU_ASSERT_EQUAL(arrives(1), 100);
    end(2);
}

static void a_grant_meanwhile_does_not_end_the_wait(void)
{
    begin_behind_an_urgent_one();
    be_busy_for(3 * MINUTE);
    write_more(b[1]);
    be_busy_for(3 * SECOND);
    CU_ASSERT_TRUE(pair_read(&pair, a[1]) > 200000);
    be_busy_for(SECOND);
    CU_ASSERT_EQUAL(a[1]->error, 0);
    CU_ASSERT_EQUAL(arrives(1), 100);
    end(2);
}

static void write_when_invited(void)
{
    struct ptcp_conn *conn;

    while ((conn = ptcp_next_event(pair.end[PAIR_A])))
        if (ptcp_conn_take_events(conn) & PTCP_TX && !conn->error)
            write_more(conn);
}

static void a_round_of_equals_may_take_longer_than_the_user_time_out(void)
{
    uint64_t until_us;
    int failed = 0;

    set_up(0);
    for (int i = 0; i < MANY; i++)
        connect_one(i, NULL);
    pair.net.rate_bytes_per_s = 125000;
    until_us = pair.now_us + 10 * MINUTE;
    for (int i = 0; i < MANY; i++)
        write_more(a[i]);
    do {
        write_when_invited();
        for (int i = 0; i < MANY; i++)
            pair_read(&pair, b[i]);
    } while (pair_step(&pair, until_us));
    for (int i = 0; i < MANY; i++)
        failed += a[i]->error != 0;
    CU_ASSERT_EQUAL(failed, 0);
    end(MANY);
}

static void what_a_user_left_behind_waits_for_its_turn_too(void)
{
    begin_behind_an_urgent_one();
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
        pair_read(&pair, b[0]);
        b[1] = ptcp_accept(pair.end[PAIR_B]);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(b[1]);
    CU_ASSERT_EQUAL(pair_read(&pair, b[1]), 100);
    CU_ASSERT_TRUE(ptcp_state_is_open(a[1]->state));
    end(2);
}

static void who_waits_behind_a_dead_path_times_out_as_all_do(void)
{
    begin_behind_an_urgent_one();
    be_busy_for(10 * SECOND);
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = true;
    be_busy_for(62 * SECOND);
    CU_ASSERT_EQUAL(a[0]->error, -ETIMEDOUT);
    CU_ASSERT_EQUAL(a[1]->error, -ETIMEDOUT);
    end(2);
}

/* --- Who waits for the reader ----------------------------------------------------------------- */

/* Drops one full packet of the last 30 KB that the peer's window allows. */
static bool lose_one_near_the_end(struct pair *net, int from, uint8_t *bytes, size_t size,
                                  bool probe)
{
    const struct ptcp_engine *engine = a[0] ? a[0]->engine : NULL;
    bool *lost = net->tap_state;

    (void)bytes;
    if (probe || from != PAIR_A || size < 1000 || *lost || !engine ||
        engine->out.next + 30000 < engine->flow.peer_limit)
        return true;
    *lost = true;
    return false;
}

/* Side A hears all, and says nothing: one wake-up will answer it all. */
static void let_a_sleep_for(uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    for (;;) {
        pair_flush(&pair, PAIR_B);
        const uint64_t timer_us = ptcp_next_timeout_us(pair.end[PAIR_B], pair.now_us);
        const uint64_t packet_us = pair.flying ? pair.flying->due_us : UINT64_MAX;
        const uint64_t next_us = timer_us < packet_us ? timer_us : packet_us;

        if (next_us > until_us)
            break;
        pair.now_us = next_us > pair.now_us ? next_us : pair.now_us;
        ptcp_timeout(pair.end[PAIR_B], pair.now_us);
        pair_deliver(&pair);
    }
    pair.now_us = until_us;
}

static void a_loss_beside_the_question_for_room_does_not_end_the_asking(void)
{
    const uint64_t until_us = MINUTE;
    bool lost = false;

    set_up(0);
    pair.tap = lose_one_near_the_end;
    pair.tap_state = &lost;
    connect_one(0, NULL);
    while (a[0]->engine->flow.blocked_at != a[0]->engine->flow.peer_limit) {
        write_more(a[0]);
        CU_ASSERT_TRUE_FATAL(pair_step(&pair, until_us));
    }
    let_a_sleep_for(100 * MS);
    CU_ASSERT_TRUE(lost && a[0]->engine->out.lost.count > 0);
    pair_run_for(&pair, 5 * MINUTE);
    CU_ASSERT_EQUAL(a[0]->error, 0);
    CU_ASSERT_NOT_EQUAL(a[0]->blocked_us, UINT64_MAX);
    end(1);
}

/* --- Who seeks its peer ----------------------------------------------------------------------- */

static const struct stk_ptcp_options durable = {.durable_us = 60000000};

/* The opener is told of new associations, whose handshakes fail; or, without, of none. */
static uint64_t seek_in_vain(bool with, bool write)
{
    const uint64_t start_us = pair.now_us;
    uint64_t association = pair.association, fails_us = UINT64_MAX;

    ptcp_association_failed(pair.end[PAIR_A], pair.now_us, association, -ETIMEDOUT, "lost");
    while (!a[0]->error && pair.now_us < start_us + 10 * MINUTE) {
        pair_run_for(&pair, 100 * MS);
        if (write && pair.now_us - start_us == 30 * SECOND)
            write_bytes(a[0], 100);
        if (ptcp_next_event(pair.end[PAIR_A]) && ptcp_conn_take_events(a[0]) & PTCP_SEEK) {
            ptcp_durable_carry(a[0], pair.now_us, with ? ++association : 0);
            fails_us = with ? pair.now_us + 15 * SECOND : UINT64_MAX;
        }
        if (pair.now_us >= fails_us) {
            fails_us = UINT64_MAX;
            ptcp_association_failed(pair.end[PAIR_A], pair.now_us, association, -ETIMEDOUT, "no");
        }
    }
    return pair.now_us - start_us;
}

static void who_seeks_its_peer_in_vain_gives_up_in_time(void)
{
    for (int i = 0; i < 4; i++) {
        set_up(0);
        ptcp_listen(pair.end[PAIR_B], &durable, 0);
        a[0] = pair_open(&pair, PAIR_A, &durable);
        pair_run_for(&pair, 3 * SECOND);
        b[0] = ptcp_accept(pair.end[PAIR_B]);
        CU_ASSERT_TRUE_FATAL(b[0] && a[0]->durable->agreed);
        pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = true;
        const uint64_t took_us = seek_in_vain(i & 1, i & 2);
        CU_ASSERT_EQUAL(a[0]->error, -ETIMEDOUT);
        CU_ASSERT_TRUE(took_us >= MINUTE && took_us <= MINUTE + SECOND);
        end(1);
    }
}

/* --- Who is forgotten ------------------------------------------------------------------------- */

/* Connection `i` sends a byte every ten seconds, and its peer reads it. */
static void chat_for(int i, uint64_t duration_us)
{
    for (uint64_t us = 0; us < duration_us; us += 10 * SECOND) {
        write_bytes(a[i], 1);
        pair_run_for(&pair, 10 * SECOND);
        CU_ASSERT_EQUAL(pair_read(&pair, b[i]), 1);
    }
}

/* Side A's word does not get through. */
static void abort_in_the_dark(int i)
{
    ptcp_conn_abort(a[i], pair.now_us, 0);
    pair.net.cut[PAIR_A] = true;
    pair_flush(&pair, PAIR_A);
    pair.net.cut[PAIR_A] = false;
}

static void a_reset_that_is_lost_is_said_again(void)
{
    for (int lost = 1; lost <= 2; lost++) {
        set_up(0);
        connect_one(0, NULL);
        connect_one(1, NULL);
        pair_run_for(&pair, 2 * SECOND);
        abort_in_the_dark(0);
        pair_run_for(&pair, 500 * MS);
        pair.net.cut[PAIR_A] = lost > 1;
        pair_run_for(&pair, SECOND);
        CU_ASSERT_EQUAL(b[0]->error, lost > 1 ? 0 : -ECONNRESET);
        pair.net.cut[PAIR_A] = false;
        pair_run_for(&pair, 4 * SECOND);
        CU_ASSERT_EQUAL(b[0]->error, -ECONNRESET);
        CU_ASSERT_EQUAL(b[1]->error, 0);
        end(2);
    }
}

static void a_reset_is_said_three_times_and_no_more(void)
{
    set_up(0);
    connect_one(0, NULL);
    connect_one(1, NULL);
    pair_run_for(&pair, 2 * SECOND);
    const uint64_t sent = pair.sent[PAIR_A];
    ptcp_conn_abort(a[0], pair.now_us, 0);
    pair_run_for(&pair, 10 * SECOND);
    CU_ASSERT_EQUAL(pair.sent[PAIR_A], sent + PTCP_RESET_TIMES);
    end(2);
}

static void all_hear_of_it_when_many_are_aborted_at_once(void)
{
    int deaf = 0;

    set_up(0);
    for (int i = 0; i < MANY; i++)
        connect_one(i, NULL);
    pair_run_for(&pair, 2 * SECOND);
    for (int i = 1; i < MANY; i++)
        ptcp_conn_abort(a[i], pair.now_us, 0);
    pair_run_for(&pair, 100 * MS);
    for (int i = 1; i < MANY; i++)
        deaf += b[i]->error != -ECONNRESET;
    CU_ASSERT_EQUAL(deaf, 0);
    CU_ASSERT_EQUAL(b[0]->error, 0);
    end(MANY);
}

static void who_was_forgotten_finds_out(void)
{
    set_up(0);
    connect_one(0, NULL);
    connect_one(1, NULL);
    pair_run_for(&pair, 2 * SECOND);
    abort_in_the_dark(0);
    pair.net.cut[PAIR_A] = true;
    pair_run_for(&pair, 6 * SECOND);
    pair.net.cut[PAIR_A] = false;
    chat_for(1, 3 * MINUTE);
    CU_ASSERT_EQUAL(b[0]->error, 0);
    chat_for(1, 4 * MINUTE);
    CU_ASSERT_EQUAL(b[0]->error, -ETIMEDOUT);
    CU_ASSERT_EQUAL(b[1]->error, 0);
    end(2);
}

static void who_alone_is_not_answered_does_not_doubt_the_path(void)
{
    for (int busy = 0; busy < 2; busy++) {
        set_up(1250000);
        connect_one(0, NULL);
        connect_one(1, NULL);
        pair_run_for(&pair, 2 * SECOND);
        pair.tap = is_heard;
        if (busy)
            be_busy_for(SECOND);
        write_bytes(a[1], 1);
        ptcp_conn_take_events(a[1]);
        if (busy)
            be_busy_for(5 * SECOND);
        else
            pair_run_for(&pair, 5 * SECOND);
        CU_ASSERT_TRUE(a[1]->engine->recovery.pto_count > 2);
        CU_ASSERT_EQUAL(!(ptcp_conn_take_events(a[1]) & PTCP_DOUBT), busy);
        end(2);
    }
}

/* Both write without end, for so long; what each has brought over. */
static void transfer_for(uint64_t duration_us, uint64_t got[2])
{
    const uint64_t until_us = pair.now_us + duration_us;

    got[0] = got[1] = 0;
    do {
        for (int i = 0; i < 2; i++) {
            write_more(a[i]);
            got[i] += pair_read(&pair, b[i]);
        }
    } while (pair_step(&pair, until_us));
}

/* Its peer has left, say, and the word of it got lost. */
static void who_alone_is_not_answered_holds_nobody_back(void)
{
    const uint64_t rate_bytes_per_s = 1250000;
    uint64_t got[2];

    set_up(rate_bytes_per_s);
    connect_one(0, NULL);
    connect_one(1, NULL);
    transfer_for(SECOND, got);
    pair.tap = is_heard;
    transfer_for(20 * SECOND, got);
    CU_ASSERT_TRUE(a[1]->engine->recovery.pto_count > PTCP_PTO_ASIDE);
    CU_ASSERT_TRUE(a[1]->engine->recovery.in_flight <= 2 * PTCP_PTO_PROBES * 1472);
    CU_ASSERT_TRUE(got[0] > 16 * rate_bytes_per_s);
    pair.tap = NULL;
    transfer_for(10 * SECOND, got);
    CU_ASSERT_TRUE(got[0] > 3 * rate_bytes_per_s);
    CU_ASSERT_TRUE(got[1] > 3 * rate_bytes_per_s);
    end(2);
}

static void who_stands_aside_goes_on_asking(void)
{
    set_up(1250000);
    connect_one(0, NULL);
    connect_one(1, NULL);
    be_busy_for(SECOND);
    pair.tap = is_heard;
    write_bytes(a[1], 100);
    be_busy_for(20 * SECOND);
    CU_ASSERT_TRUE(a[1]->engine->recovery.pto_count > PTCP_PTO_ASIDE + 2);
    pair.tap = NULL;
    be_busy_for(4 * SECOND);
    CU_ASSERT_EQUAL(pair_read(&pair, b[1]), 100);
    end(2);
}

/* What connection 0 has written arrives, and time goes by. */
static void read_for(uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    do
        pair_read(&pair, b[0]);
    while (pair_step(&pair, until_us));
}

/* The same, where the other one has something to say now and then only. */
static void who_alone_is_not_answered_does_not_come_back_while_others_are_silent(void)
{
    uint64_t got[2];

    set_up(1250000);
    connect_one(0, NULL);
    connect_one(1, NULL);
    transfer_for(SECOND, got);
    pair.tap = is_heard;
    transfer_for(10 * SECOND, got);
    read_for(10 * SECOND);
    for (int i = 0; i < 10; i++) {
        read_for(2 * SECOND);
        write_bytes(a[0], 1000);
        pair_run_for(&pair, 300 * MS);
        CU_ASSERT_EQUAL(pair_read(&pair, b[0]), 1000);
    }
    pair.tap = NULL;
    transfer_for(10 * SECOND, got);
    CU_ASSERT_TRUE(got[1] > 3 * 1250000);
    end(2);
}

static const struct stk_ptcp_options idle = {.idle_timeout_us = 60000000};

static void the_idle_time_out_is_about_the_peer_s_life(void)
{
    set_up(0);
    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    connect_one(0, &idle);
    connect_one(1, &idle);
    chat_for(1, 10 * MINUTE);
    CU_ASSERT_EQUAL(a[0]->error, 0);
    CU_ASSERT_EQUAL(b[0]->error, 0);
    pair_run_for(&pair, 10 * MINUTE); /* one of them asks for both */
    CU_ASSERT_EQUAL(a[0]->error, 0);
    CU_ASSERT_EQUAL(a[1]->error, 0);
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = true;
    pair_run_for(&pair, MINUTE + 15 * SECOND);
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
    {"a loss beside the question for room does not end the asking",
     a_loss_beside_the_question_for_room_does_not_end_the_asking},
    {"who seeks its peer in vain gives up in time", who_seeks_its_peer_in_vain_gives_up_in_time},
    {"a reset that is lost is said again", a_reset_that_is_lost_is_said_again},
    {"a reset is said three times and no more", a_reset_is_said_three_times_and_no_more},
    {"all hear of it when many are aborted at once", all_hear_of_it_when_many_are_aborted_at_once},
    {"who was forgotten finds out", who_was_forgotten_finds_out},
    {"who alone is not answered holds nobody back", who_alone_is_not_answered_holds_nobody_back},
    {"who stands aside goes on asking", who_stands_aside_goes_on_asking},
    {"who alone is not answered does not come back while others are silent",
     who_alone_is_not_answered_does_not_come_back_while_others_are_silent},
    {"who alone is not answered does not doubt the path",
     who_alone_is_not_answered_does_not_doubt_the_path},
    {"the idle time-out is about the peer's life", the_idle_time_out_is_about_the_peer_s_life},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp timeout", tests)
