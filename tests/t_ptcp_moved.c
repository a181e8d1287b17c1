/*
 * Goal: over another path all begins anew; what was sent over the old one says nothing of it, and
 * one connection's silence nothing of what others share. Method: two cores joined by a small
 * simulated network, in virtual time.
 */
#include "bbr.h"
#include "ptcp_many.h"

static bool starts_lossy(struct pair *net, int from, uint8_t *bytes, size_t size, bool probe)
{
    int *to_lose = net->tap_state;

    (void)bytes;
    if (from != PAIR_A || probe || size < 1000 || *to_lose == 0)
        return true;
    --*to_lose;
    return false;
}

static void fill_path_for(uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    do {
        write_more(a[0]);
        pair_read(&pair, b[0]);
    } while (pair_step(&pair, until_us));
}

static void move(void)
{
    ptcp_association_moved(pair.end[PAIR_A], pair.now_us, pair.association, PTCP_MOVE_PATH);
}

static void a_probe_over_the_old_path_says_nothing_of_the_new_one(void)
{
    uint16_t most = 0;

    set_up_with(5000000, (struct ptcp_endpoint_options){.max_datagram = 9000});
    connect_one(0, NULL);
    while (!a[0]->path->mtu.outstanding || a[0]->path->mtu.current < 1472)
        fill_path_for(MS);
    pair.net.mtu = 1300;
    move();
    for (int i = 0; i < 1000; i++) {
        fill_path_for(MS);
        most = a[0]->path->mtu.current > most ? a[0]->path->mtu.current : most;
    }
    CU_ASSERT_TRUE(most <= 1300);
    CU_ASSERT_EQUAL(a[0]->error, 0);
    end(1);
}

static void losses_on_the_old_path_are_not_the_new_one_s(void)
{
    int to_lose = 0;

    set_up(5000000);
    pair.net.marks = true;
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    const struct ptcp_path *path = a[0]->path;
    CU_ASSERT_EQUAL(path->ecn.state, PTCP_ECN_CAPABLE);
    pair.tap = starts_lossy;
    pair.tap_state = &to_lose;
    to_lose = 5;
    while (to_lose > 0)
        CU_ASSERT_TRUE_FATAL(pair_step(&pair, MINUTE));
    move();
    const uint64_t lost = a[0]->engine->recovery.lost_packets, bytes = path->delivery.lost;
    CU_ASSERT_EQUAL(path->ecn.state, PTCP_ECN_TESTING);
    fill_path_for(200 * MS);
    CU_ASSERT_TRUE(a[0]->engine->recovery.lost_packets >= lost + 5);
    CU_ASSERT_EQUAL(path->delivery.lost, bytes);
    CU_ASSERT_EQUAL(path->reduction.lost, 0);
    CU_ASSERT_EQUAL(path->ecn.state, PTCP_ECN_CAPABLE);
    end(1);
}

/* The new path is a tenth as fast; the old one still answers, and its bytes arrive. */
static void bytes_that_the_old_path_delivers_are_not_the_new_one_s(void)
{
    const uint64_t rate = 500000;

    set_up(10 * rate);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    const struct ptcp_path *path = a[0]->path;
    const uint64_t under_way = path->delivery.in_flight, before = path->delivery.delivered;
    CU_ASSERT_TRUE(under_way > 50000);
    pair.net.rate_bytes_per_s = rate;
    move();
    for (int i = 0; i < 500; i++) {
        fill_path_for(MS);
        CU_ASSERT_TRUE_FATAL(ptcp_bbr_max_bw(ptcp_bbr_of(&a[0]->path->cc)) <= rate * 11 / 10);
    }
    CU_ASSERT_TRUE(path->delivery.delivered - before >= rate / 4);
    CU_ASSERT_TRUE(path->delivery.delivered - before <= rate / 2);
    CU_ASSERT_TRUE(path->delivery.rate <= rate * 11 / 10);
    end(1);
}

static void what_is_under_way_elsewhere_takes_no_room(void)
{
    set_up(5000000);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    const struct ptcp_recovery *recovery = &a[0]->engine->recovery;
    const struct ptcp_path *path = a[0]->path;
    const uint64_t under_way = recovery->in_flight;
    CU_ASSERT_TRUE(under_way > 100000 && path->delivery.in_flight == under_way);
    move();
    CU_ASSERT_EQUAL(path->delivery.in_flight, 0);
    CU_ASSERT_EQUAL(recovery->in_flight, under_way);
    CU_ASSERT_EQUAL(recovery->elsewhere, under_way);
    fill_path_for(MS);
    CU_ASSERT_TRUE(path->delivery.in_flight + path->mtu.current > path->cc.window_bytes);
    fill_path_for(500 * MS);
    CU_ASSERT_EQUAL(recovery->elsewhere, 0);
    end(1);
}

/* The clock stands still in a turn: what left in it before the move went the old way. */
static void what_left_at_the_moment_of_the_move_went_the_old_way(void)
{
    set_up(5000000);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    const struct ptcp_recovery *recovery = &a[0]->engine->recovery;
    const struct ptcp_path *path = a[0]->path;
    while (recovery->last_eliciting_us < pair.now_us) {
        CU_ASSERT_TRUE_FATAL(pair_step(&pair, MINUTE));
        pair_read(&pair, b[0]);
        write_more(a[0]);
        pair_flush(&pair, PAIR_A);
    }
    move();
    pair.net.cut[PAIR_A] = true;
    const uint64_t delivered = path->delivery.delivered;
    while (recovery->largest_acked < recovery->elsewhere_end)
        CU_ASSERT_TRUE_FATAL(pair_step(&pair, pair.now_us + SECOND));
    CU_ASSERT_EQUAL(recovery->elsewhere, 0);
    CU_ASSERT_EQUAL(path->delivery.delivered, delivered);
    CU_ASSERT_FALSE(path->rtt.sampled);
    end(1);
}

static void what_left_with_another_association_says_nothing_of_the_new_path(void)
{
    set_up(5000000);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    CU_ASSERT_EQUAL_FATAL(ptcp_paths_move(pair.end[PAIR_A], a[0], pair.association + 1), 0);
    const struct ptcp_recovery *recovery = &a[0]->engine->recovery;
    const struct ptcp_sent *record = ptcp_sent_newest_lost(&recovery->ring);
    CU_ASSERT_PTR_NOT_NULL_FATAL(record);
    for (; record; record = ptcp_sent_before(&recovery->ring, record))
        CU_ASSERT_FALSE(ptcp_recovery_went_here(recovery, a[0]->path, record));
    end(1);
}

static void who_rests_while_it_moves_is_acknowledged_often_again(void)
{
    set_up(5000000);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    while (pair_step(&pair, pair.now_us + 2 * SECOND))
        pair_read(&pair, b[0]);
    CU_ASSERT_PTR_NULL_FATAL(a[0]->engine);
    CU_ASSERT_TRUE(a[0]->asked_every > PTCP_ACK_PACKETS);
    move();
    pair_run_for(&pair, 20 * MS);
    CU_ASSERT_EQUAL(a[0]->asked_every, PTCP_ACK_PACKETS);
    CU_ASSERT_EQUAL(b[0]->engine->acks.every, PTCP_ACK_PACKETS);
    end(1);
}

static uint64_t address;

static uint64_t who_is_there(void *context, uint64_t association)
{
    (void)context;
    (void)association;
    return address;
}

/* The peer acknowledges nothing any more from when the path jumps. */
static unsigned jumps_after_move_to(uint64_t to)
{
    const struct ptcp_path *path = a[0]->path;
    bool jumped = false;

    address = to;
    move();
    for (int i = 0; i < 200; i++) {
        fill_path_for(MS);
        jumped |= path->careful.phase == PTCP_CAREFUL_UNVALIDATED;
        pair.net.cut[PAIR_B] = jumped;
    }
    pair.net.cut[PAIR_B] = false;
    return jumped;
}

static void what_was_tried_in_vain_is_tried_nowhere_else(void)
{
    const uint8_t key[16] = {0};
    struct ptcp_history *history = ptcp_history_new(key);
    struct ptcp_memory memory;

    CU_ASSERT_PTR_NOT_NULL_FATAL(history);
    address = 1;
    set_up_with(5000000, (struct ptcp_endpoint_options){
                             .max_datagram = 1472, .history = history, .who = who_is_there});
    connect_one(0, NULL);
    fill_path_for(SECOND);
    CU_ASSERT_EQUAL(jumps_after_move_to(2), 1);
    CU_ASSERT_EQUAL(jumps_after_move_to(3), 0);
    /* Nor by others, where it was tried. */
    CU_ASSERT_FALSE(ptcp_history_take(history, 2, pair.now_us, &memory));
    CU_ASSERT_EQUAL(jumps_after_move_to(2), 0);
    end(1);
    ptcp_history_leave(history);
}

/* Who has moved learns it two round trips later: its packets have taken the new way since. */
static void what_this_side_sent_since_it_moved_is_the_new_path_s(void)
{
    for (int rounds = 0; rounds <= 4; rounds += 4) {
        set_up(5000000);
        connect_one(0, NULL);
        fill_path_for(500 * MS);
        const struct ptcp_recovery *recovery = &a[0]->engine->recovery;
        struct ptcp_path *path = a[0]->path;
        const uint64_t round_trip_us = path->rtt.smoothed_us, under_way = recovery->in_flight;
        pair.net.cut[PAIR_B] = true;
        pair_run_for(&pair, rounds * round_trip_us);
        ptcp_association_moved(pair.end[PAIR_A], pair.now_us, pair.association, PTCP_MOVE_SELF);
        CU_ASSERT_TRUE(recovery->in_flight >= under_way);
        if (rounds == 0) {
            CU_ASSERT_EQUAL(recovery->elsewhere, 0);
            CU_ASSERT_EQUAL(path->delivery.in_flight, under_way);
        } else {
            CU_ASSERT_TRUE(recovery->elsewhere >= under_way);
            CU_ASSERT_TRUE(path->delivery.in_flight < under_way / 4); /* probes at most */
        }
        CU_ASSERT_EQUAL(path->cc.window_bytes, PTCP_CC_INITIAL_PACKETS * PTCP_MTU_BASE);
        CU_ASSERT_FALSE(path->rtt.sampled);
        pair.net.cut[PAIR_B] = false;
        fill_path_for(2 * round_trip_us);
        CU_ASSERT_EQUAL(path->cc.window_bytes > under_way, rounds == 0);
        fill_path_for(SECOND);
        CU_ASSERT_EQUAL(recovery->elsewhere, 0);
        end(1);
    }
}

static void a_small_window_is_acknowledged_often_again(void)
{
    set_up(5000000);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    CU_ASSERT_TRUE(a[0]->asked_every > PTCP_ACK_PACKETS);
    CU_ASSERT_TRUE(b[0]->engine->acks.every > PTCP_ACK_PACKETS);
    move();
    CU_ASSERT_EQUAL(a[0]->asked_every, PTCP_ACK_PACKETS);
    pair_run_for(&pair, 20 * MS);
    CU_ASSERT_EQUAL(b[0]->engine->acks.every, PTCP_ACK_PACKETS);
    end(1);
}

/* All that is to be sent again would go in small packets. */
static void the_size_is_searched_before_what_is_lost_is_sent_again(void)
{
    set_up(5000000);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    const struct ptcp_path *path = a[0]->path;
    CU_ASSERT_EQUAL(path->mtu.current, 1472);
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = true;
    pair_run_for(&pair, 100 * MS);
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = false;
    move();
    CU_ASSERT_TRUE(a[0]->engine->out.lost.count > 0);
    CU_ASSERT_EQUAL(path->mtu.current, PTCP_MTU_BASE);
    fill_path_for(50 * MS);
    CU_ASSERT_EQUAL(path->mtu.current, 1472);
    CU_ASSERT_TRUE(a[0]->engine->out.lost.count > 0);
    end(1);
}

static void marks_are_tried_anew_where_the_old_path_had_none(void)
{
    set_up(5000000);
    connect_one(0, NULL);
    fill_path_for(500 * MS);
    CU_ASSERT_EQUAL(a[0]->path->ecn.state, PTCP_ECN_FAILED);
    pair.net.marks = true;
    move();
    fill_path_for(500 * MS);
    CU_ASSERT_EQUAL(a[0]->path->ecn.state, PTCP_ECN_CAPABLE);
    end(1);
}

static void who_alone_is_not_answered_changes_nothing_for_others(void)
{
    set_up(1250000);
    pair.net.marks = true;
    connect_one(0, NULL);
    connect_one(1, NULL);
    fill_path_for(SECOND);
    const uint16_t size = a[0]->path->mtu.current;
    pair.tap = is_heard;
    write_bytes(a[1], 1);
    fill_path_for(5 * SECOND);
    CU_ASSERT_TRUE(a[1]->engine->recovery.pto_count > 3);
    CU_ASSERT_EQUAL(a[0]->path->ecn.state, PTCP_ECN_CAPABLE);
    CU_ASSERT_EQUAL(a[0]->path->mtu.current, size);
    end(2);
}

/* A sends it again; but B has it all, knows that A has heard so, and is not there any more. */
static void an_ack_of_what_the_old_path_carried_counts_yet(void)
{
    set_up(0);
    connect_one(0, NULL);
    pair_run_for(&pair, 200 * MS);
    pair.net.cut[PAIR_B] = true;
    write_bytes(a[0], 3000);
    ptcp_conn_finish(a[0], pair.now_us);
    pair_run_for(&pair, 100 * MS);
    CU_ASSERT_EQUAL(pair_read(&pair, b[0]), 3000);
    ptcp_conn_finish(b[0], pair.now_us);
    move();
    pair.net.cut[PAIR_A] = true;
    pair_run_for(&pair, MS);
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = false;
    pair_run_for(&pair, 2 * MINUTE);
    CU_ASSERT_EQUAL(a[0]->error, 0);
    CU_ASSERT_EQUAL(a[0]->state, PTCP_STATE_TIME_WAIT);
    CU_ASSERT_EQUAL(b[0]->state, PTCP_STATE_TIME_WAIT);
    end(1);
}

/* B answers to where A was until A has proved that it is there no more; and A has nothing to add.
 */
static void what_came_before_the_switch_is_acknowledged_after_it(void)
{
    set_up(0);
    connect_one(0, NULL);
    pair_run_for(&pair, 200 * MS);
    pair.net.cut[PAIR_B] = true;
    write_bytes(a[0], 3000);
    pair_run_for(&pair, 40 * MS);
    CU_ASSERT_EQUAL(pair_read(&pair, b[0]), 3000);
    pair.net.cut[PAIR_B] = false;
    CU_ASSERT_TRUE(a[0]->path->delivery.in_flight > 3000);
    ptcp_association_moved(pair.end[PAIR_B], pair.now_us, pair.association, PTCP_MOVE_PATH);
    pair_run_for(&pair, pair.net.delay_us + MS);
    CU_ASSERT_EQUAL(a[0]->path->delivery.in_flight, 0);
    CU_ASSERT_EQUAL(a[0]->engine->recovery.pto_count, 0);
    end(1);
}

static CU_TestInfo tests[] = {
    {"a probe over the old path says nothing of the new one",
     a_probe_over_the_old_path_says_nothing_of_the_new_one},
    {"losses on the old path are not the new one's", losses_on_the_old_path_are_not_the_new_one_s},
    {"bytes that the old path delivers are not the new one's",
     bytes_that_the_old_path_delivers_are_not_the_new_one_s},
    {"what is under way elsewhere takes no room", what_is_under_way_elsewhere_takes_no_room},
    {"what left at the moment of the move went the old way",
     what_left_at_the_moment_of_the_move_went_the_old_way},
    {"what left with another association says nothing of the new path",
     what_left_with_another_association_says_nothing_of_the_new_path},
    {"who rests while it moves is acknowledged often again",
     who_rests_while_it_moves_is_acknowledged_often_again},
    {"what was tried in vain is tried nowhere else", what_was_tried_in_vain_is_tried_nowhere_else},
    {"what this side sent since it moved is the new path's",
     what_this_side_sent_since_it_moved_is_the_new_path_s},
    {"a small window is acknowledged often again", a_small_window_is_acknowledged_often_again},
    {"the size is searched before what is lost is sent again",
     the_size_is_searched_before_what_is_lost_is_sent_again},
    {"marks are tried anew where the old path had none",
     marks_are_tried_anew_where_the_old_path_had_none},
    {"who alone is not answered changes nothing for others",
     who_alone_is_not_answered_changes_nothing_for_others},
    {"an ACK of what the old path carried counts yet",
     an_ack_of_what_the_old_path_carried_counts_yet},
    {"what came before the switch is acknowledged after it",
     what_came_before_the_switch_is_acknowledged_after_it},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp moved", tests)
