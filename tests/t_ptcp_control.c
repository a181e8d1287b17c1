/*
 * Goal: what governs the pace follows its RFC: CUBIC, HyStart++, pacing, datagram size, recovery.
 * Method: hand-made samples against the formulas, and rules one by one.
 */
#include "cc.h"
#include "cubic.h"
#include "error.h"
#include "hystart.h"
#include "mtu.h"
#include "pacer.h"
#include "recovery.h"

#include "harness.h"

static bool close_to(double a, double b) { return a - b < 0.01 && b - a < 0.01; }

/* RFC 9438 figure 1: W_cubic(t) = 0.4 (t - K)^3 + W_max; K = cbrt((W_max - cwnd) / 0.4). */
static void cubic_follows_its_formula(void)
{
    CU_ASSERT_TRUE(close_to(ptcp_cubic_k(100, 70), 4.2172));
    CU_ASSERT_TRUE(close_to(ptcp_cubic_k(1000, 700), 9.0856));
    CU_ASSERT_TRUE(close_to(ptcp_cubic_k(70, 70), 0));
    CU_ASSERT_TRUE(close_to(ptcp_cubic_window(0, 4.2172, 100), 70));
    CU_ASSERT_TRUE(close_to(ptcp_cubic_window(4.2172, 4.2172, 100), 100));
    CU_ASSERT_TRUE(close_to(ptcp_cubic_window(8.4344, 4.2172, 100), 130));
}

static struct ptcp_rtt rtt_of(uint64_t rtt_us)
{
    struct ptcp_rtt rtt;

    ptcp_rtt_init(&rtt);
    ptcp_rtt_sample(&rtt, rtt_us, 0);
    return rtt;
}

static void ack_all(struct ptcp_cc *cc, const struct ptcp_rtt *rtt, uint64_t now_us, uint64_t bytes)
{
    const struct ptcp_ack_sample ack = {.now_us = now_us,
                                        .acked_bytes = bytes,
                                        .in_flight_before = cc->window_bytes,
                                        .newest_sent_us = now_us - rtt->smoothed_us,
                                        .rtt_us = rtt->smoothed_us,
                                        .rtt = rtt};

    cc->type->on_ack(cc, &ack);
}

static void cubic_cuts_to_seven_tenths_and_comes_back_in_time(void)
{
    const struct ptcp_rtt rtt = rtt_of(100000);
    uint64_t now_us = 1000000;
    struct ptcp_cc cc;

    ptcp_cc_init(&cc, &ptcp_cubic, 1000);
    cc.window_bytes = 1000000;
    cc.type->on_loss(
        &cc, &(struct ptcp_loss_sample){.now_us = now_us, .newest_lost_sent_us = now_us - 1});
    CU_ASSERT_EQUAL(cc.window_bytes, 700000);
    cc.type->on_loss(
        &cc, &(struct ptcp_loss_sample){.now_us = now_us + 10, .newest_lost_sent_us = now_us - 1});
    CU_ASSERT_EQUAL(cc.window_bytes, 700000);
    now_us += 200000;
    for (int i = 0; i < 90; i++, now_us += 100000)
        ack_all(&cc, &rtt, now_us, cc.window_bytes);
    /* K is 9.09 s: after 9 s the window is close below where it was. */
    CU_ASSERT_TRUE(cc.window_bytes > 970000 && cc.window_bytes < 1030000);
}

static void undo_restores_the_window(void)
{
    struct ptcp_cc cc;
    const struct ptcp_cc_type *types[] = {&ptcp_cubic, &ptcp_reno};

    for (int i = 0; i < 2; i++) {
        ptcp_cc_init(&cc, types[i], 1000);
        cc.window_bytes = 500000;
        cc.type->on_loss(&cc, &(struct ptcp_loss_sample){.now_us = 5, .newest_lost_sent_us = 4});
        CU_ASSERT_TRUE(cc.window_bytes < 500000);
        cc.type->on_undo(&cc, 0);
        CU_ASSERT_EQUAL(cc.window_bytes, 500000);
        CU_ASSERT_EQUAL(cc.ssthresh_bytes, UINT64_MAX);
    }
}

static void persistent_congestion_leaves_the_least_window(void)
{
    struct ptcp_cc cc;

    ptcp_cc_init(&cc, &ptcp_cubic, 1000);
    cc.type->on_loss(
        &cc, &(struct ptcp_loss_sample){.now_us = 5, .newest_lost_sent_us = 4, .persistent = true});
    CU_ASSERT_EQUAL(cc.window_bytes, PTCP_CC_MIN_PACKETS * 1000);
}

static void an_unused_window_does_not_grow(void)
{
    struct ptcp_cc cc;
    const struct ptcp_rtt rtt = rtt_of(10000);

    ptcp_cc_init(&cc, &ptcp_cubic, 1000);
    cc.type->on_ack(&cc, &(struct ptcp_ack_sample){
                             .now_us = 100000, .acked_bytes = 3000, .unused = true, .rtt = &rtt});
    CU_ASSERT_EQUAL(cc.window_bytes, 10000);
}

static enum ptcp_hystart_phase round_of(struct ptcp_hystart *h, uint64_t *packet, uint64_t rtt_us)
{
    enum ptcp_hystart_phase phase = PTCP_HYSTART_SLOW;

    for (int i = 0; i < 10; i++, (*packet)++)
        phase = ptcp_hystart_ack(h, *packet, *packet + 10, rtt_us);
    return phase;
}

static void growing_delay_ends_slow_start_after_five_rounds(void)
{
    struct ptcp_hystart h;
    uint64_t packet = 0;
    int rounds = 0;

    ptcp_hystart_init(&h);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(round_of(&h, &packet, 50000), PTCP_HYSTART_SLOW);
    while (round_of(&h, &packet, 60000) != PTCP_HYSTART_DONE && rounds < 20)
        rounds++;
    CU_ASSERT_TRUE(rounds >= PTCP_HYSTART_CSS_ROUNDS - 1 && rounds <= PTCP_HYSTART_CSS_ROUNDS + 2);
}

static void jitter_that_goes_leads_back_to_slow_start(void)
{
    struct ptcp_hystart h;
    uint64_t packet = 0;

    ptcp_hystart_init(&h);
    for (int i = 0; i < 3; i++)
        round_of(&h, &packet, 50000);
    round_of(&h, &packet, 60000);
    round_of(&h, &packet, 60000);
    CU_ASSERT_EQUAL(h.phase, PTCP_HYSTART_CONSERVATIVE);
    round_of(&h, &packet, 50000);
    CU_ASSERT_EQUAL(h.phase, PTCP_HYSTART_SLOW);
}

static void the_pacer_keeps_the_rate_and_its_bursts(void)
{
    struct ptcp_pacer pacer;
    uint64_t now_us = 1000000, sent = 0, burst = 0;

    ptcp_pacer_init(&pacer, 1000);
    ptcp_pacer_set(&pacer, now_us, 1000000, 1000); /* 1 MB/s */
    while (ptcp_pacer_next_us(&pacer, now_us) == now_us) {
        ptcp_pacer_spend(&pacer, 1000);
        burst++;
    }
    CU_ASSERT_TRUE(burst <= PTCP_PACER_BURST_PACKETS);
    const uint64_t start_us = now_us;
    while (now_us < start_us + 1000000) {
        const uint64_t next_us = ptcp_pacer_next_us(&pacer, now_us);
        if (next_us > now_us) {
            now_us = next_us;
            continue;
        }
        ptcp_pacer_spend(&pacer, 1000);
        sent += 1000;
    }
    CU_ASSERT_TRUE(sent >= 990000 && sent <= 1010000);
}

/* --- Recovery ----------------------------------------------------------------------------------
 */

static struct {
    struct ptcp_records records;
    struct ptcp_recovery recovery;
    struct ptcp_path path;
    int acked, lost;
} world;

static void count_acked(void *owner, const struct ptcp_sent *record)
{
    (void)owner;
    (void)record;
    world.acked++;
}

static void count_lost(void *owner, const struct ptcp_sent *record)
{
    (void)owner;
    (void)record;
    world.lost++;
}

static const struct ptcp_recovery_owner counter = {count_acked, count_lost};

static void set_up(void)
{
    world.acked = world.lost = 0;
    ptcp_records_init(&world.records, UINT32_MAX);
    ptcp_recovery_init(&world.recovery, &world.records);
    ptcp_path_init(&world.path, &ptcp_cubic, 0, 1472, 1200);
}

static void tear_down(void)
{
    ptcp_recovery_free(&world.recovery, &world.path);
    ptcp_records_free(&world.records);
}

static void send_at(uint64_t now_us)
{
    struct ptcp_sent record = {.size = 1000, .flags = PTCP_SENT_ELICITING};

    CU_ASSERT_EQUAL_FATAL(ptcp_sent_reserve(&world.recovery.ring, true), 0);
    ptcp_recovery_sent(&world.recovery, &world.path, now_us, &record);
}

static int ack_at(uint64_t now_us, uint64_t first, uint64_t last)
{
    struct ptcp_ack ack = {.count = 1};

    ack.range[0] = (struct ptcp_range){first, last + 1};
    return ptcp_recovery_ack(&world.recovery, &world.path, now_us, &ack, &counter, NULL);
}

static void three_later_packets_make_one_lost(void)
{
    set_up();
    for (uint64_t i = 0; i < 4; i++)
        send_at(1000000 + i);
    CU_ASSERT_EQUAL(ack_at(1050000, 1, 2), 1);
    CU_ASSERT_EQUAL(world.lost, 0);
    CU_ASSERT_EQUAL(ack_at(1050001, 3, 3), 1);
    CU_ASSERT_EQUAL(world.lost, 1);
    CU_ASSERT_EQUAL(world.recovery.in_flight, 0);
    tear_down();
}

static void a_late_packet_is_lost_by_time(void)
{
    set_up();
    send_at(1000000);
    send_at(1000000);
    ack_at(1050000, 1, 1);
    CU_ASSERT_EQUAL(world.lost, 0);
    const uint64_t due_us = ptcp_recovery_due_us(&world.recovery, &world.path, false);
    CU_ASSERT_EQUAL(due_us, 1000000 + 50000 + 50000 / 8);
    ptcp_recovery_timeout(&world.recovery, &world.path, due_us, &counter, NULL);
    CU_ASSERT_EQUAL(world.lost, 1);
    tear_down();
}

static void a_wrong_loss_is_undone_and_teaches_patience(void)
{
    set_up();
    for (uint64_t i = 0; i < 6; i++)
        send_at(1000000 + i);
    const uint64_t window = world.path.cc.window_bytes;
    ack_at(1050000, 3, 3);
    CU_ASSERT_EQUAL(world.lost, 1);
    CU_ASSERT_TRUE(world.path.cc.window_bytes < window + 1000);
    ack_at(1050001, 0, 0);
    CU_ASSERT_EQUAL(world.recovery.spurious_packets, 1);
    CU_ASSERT_TRUE(world.path.cc.window_bytes >= window);
    CU_ASSERT_TRUE(world.recovery.reorder_packets > PTCP_REORDER_PACKETS);
    tear_down();
}

static void packets_never_sent_can_not_be_acknowledged(void)
{
    set_up();
    send_at(1000000);
    CU_ASSERT_EQUAL(ack_at(1050000, 0, 1), -EPROTO);
    ptcp_sent_reserve(&world.recovery.ring, true);
    ptcp_sent_skip(&world.recovery.ring);
    send_at(1000001);
    CU_ASSERT_EQUAL(ack_at(1050000, 0, 2), -EPROTO);
    tear_down();
}

static void silence_leads_to_probes_with_growing_patience(void)
{
    uint64_t now_us = 1000000, last_us = 0;

    set_up();
    send_at(now_us);
    ack_at(now_us + 50000, 0, 0);
    send_at(now_us += 60000);
    for (int i = 0; i < 8; i++) {
        const uint64_t due_us = ptcp_recovery_due_us(&world.recovery, &world.path, false);

        CU_ASSERT_TRUE(due_us > now_us && due_us - now_us >= last_us);
        CU_ASSERT_TRUE(due_us - now_us <= PTCP_PTO_MAX_US);
        last_us = due_us - now_us;
        ptcp_recovery_timeout(&world.recovery, &world.path, due_us, &counter, NULL);
        CU_ASSERT_EQUAL(world.recovery.probes, PTCP_PTO_PROBES);
        send_at(now_us = due_us);
    }
    CU_ASSERT_EQUAL(world.lost, 0);
    tear_down();
}

static void a_long_silence_is_persistent_congestion(void)
{
    set_up();
    send_at(1000000);
    ack_at(1010000, 0, 0);
    for (uint64_t i = 0; i < 10; i++)
        send_at(1100000 + i * 500000);
    ack_at(5610000, 10, 10);
    CU_ASSERT_EQUAL(world.recovery.persistent, 1);
    CU_ASSERT_EQUAL(world.path.cc.window_bytes, PTCP_CC_MIN_PACKETS * 1200);
    tear_down();
}

static void connections_of_a_path_count_together(void)
{
    struct ptcp_sent record = {.size = 700, .flags = PTCP_SENT_ELICITING};
    struct ptcp_recovery other;

    set_up();
    ptcp_recovery_init(&other, &world.records);
    CU_ASSERT_EQUAL_FATAL(ptcp_sent_reserve(&other.ring, true), 0);
    ptcp_recovery_sent(&other, &world.path, 1000000, &record);
    send_at(1000000);
    CU_ASSERT_EQUAL(world.path.delivery.in_flight, 1700);
    CU_ASSERT_EQUAL(world.recovery.in_flight, 1000);
    ack_at(1050000, 0, 0);
    CU_ASSERT_EQUAL(world.path.delivery.in_flight, 700);
    CU_ASSERT_EQUAL(world.path.delivery.delivered, 1000);
    CU_ASSERT_EQUAL(world.path.delivery.rate, 1000 * 20);
    /* One that ends takes its packets along. */
    ptcp_recovery_free(&other, &world.path);
    CU_ASSERT_EQUAL(world.path.delivery.in_flight, 0);
    tear_down();
}

static CU_TestInfo tests[] = {
    {"cubic follows its formula", cubic_follows_its_formula},
    {"cubic cuts to seven tenths and comes back in time",
     cubic_cuts_to_seven_tenths_and_comes_back_in_time},
    {"undo restores the window", undo_restores_the_window},
    {"persistent congestion leaves the least window",
     persistent_congestion_leaves_the_least_window},
    {"an unused window does not grow", an_unused_window_does_not_grow},
    {"growing delay ends slow start after five rounds",
     growing_delay_ends_slow_start_after_five_rounds},
    {"jitter that goes leads back to slow start", jitter_that_goes_leads_back_to_slow_start},
    {"the pacer keeps the rate and its bursts", the_pacer_keeps_the_rate_and_its_bursts},
    {"three later packets make one lost", three_later_packets_make_one_lost},
    {"a late packet is lost by time", a_late_packet_is_lost_by_time},
    {"a wrong loss is undone and teaches patience", a_wrong_loss_is_undone_and_teaches_patience},
    {"packets never sent can not be acknowledged", packets_never_sent_can_not_be_acknowledged},
    {"silence leads to probes with growing patience",
     silence_leads_to_probes_with_growing_patience},
    {"connections of a path count together", connections_of_a_path_count_together},
    {"a long silence is persistent congestion", a_long_silence_is_persistent_congestion},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp control", tests)
