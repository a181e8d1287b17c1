/*
 * Goal: BBR keeps its model and its states as docs/ptcp.md says.
 * Method: hand-made samples of a path with a known rate and round trip, round by round.
 */
#include "bbr.h"
#include "harness.h"

enum { MTU = 1000, RTT_US = 40000, RATE = 10000000 /* bytes/s */, BDP = 400000 };

static struct world {
    struct ptcp_cc cc;
    struct ptcp_rtt rtt;
    uint64_t now_us, delivered, lost;
    uint64_t rate;   /* bytes/s that the path has */
    uint64_t rtt_us; /* of the next samples */
} world;

static struct ptcp_bbr *bbr(void) { return ptcp_bbr_of(&world.cc); }

static void set_up(void)
{
    world = (struct world){.now_us = 1000000, .rate = RATE, .rtt_us = RTT_US};
    ptcp_rtt_init(&world.rtt);
    ptcp_cc_init(&world.cc, &ptcp_bbr, MTU);
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* A round: the window, or what the path takes meanwhile, is delivered and acknowledged in one go.
 */
static void one_round(void)
{
    const uint64_t window = world.cc.window_bytes;
    const uint64_t bytes = least(window, world.rate * world.rtt_us / 1000000);
    struct ptcp_ack_sample ack = {.acked_bytes = bytes,
                                  .in_flight_before = window,
                                  .sent_in_flight = bytes,
                                  .prior_delivered = world.delivered,
                                  .rtt_us = world.rtt_us,
                                  .rate_bytes_per_s = bytes * 1000000 / world.rtt_us,
                                  .calm_bytes = world.cc.calm ? bytes : 0,
                                  .rtt = &world.rtt};

    world.now_us += world.rtt_us;
    world.delivered += bytes;
    ptcp_rtt_sample(&world.rtt, world.rtt_us, 0);
    ack.now_us = world.now_us;
    ack.newest_sent_us = world.now_us - world.rtt_us;
    ack.delivered = world.delivered;
    world.cc.type->on_ack(&world.cc, &ack);
}

static void lose(uint64_t bytes, uint64_t of_bytes)
{
    for (uint64_t lost = MTU; lost <= bytes; lost += MTU) {
        const struct ptcp_lost_packet packet = {.now_us = world.now_us,
                                                .sent_us = world.now_us - world.rtt_us,
                                                .bytes = MTU,
                                                .sent_in_flight = of_bytes,
                                                .lost_since = lost,
                                                .delivered = world.delivered,
                                                .calm = world.cc.calm};
        world.cc.type->on_packet_lost(&world.cc, &packet);
    }
    world.cc.type->on_loss(&world.cc,
                           &(struct ptcp_loss_sample){.now_us = world.now_us, .lost_bytes = bytes});
}

static void rounds_until(enum ptcp_bbr_state state)
{
    for (int i = 0; i < 400 && bbr()->state != state; i++)
        one_round();
    CU_ASSERT_EQUAL_FATAL(bbr()->state, state);
}

/* --- States -------------------------------------------------------------------------------------
 */

static void startup_ends_when_the_rate_grows_no_more(void)
{
    set_up();
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_STARTUP);
    rounds_until(PTCP_BBR_DOWN);
    CU_ASSERT_TRUE(bbr()->full_bw_reached);
    CU_ASSERT_EQUAL(ptcp_bbr_max_bw(bbr()), RATE);
    CU_ASSERT_EQUAL(bbr()->min_rtt_us, RTT_US);
    CU_ASSERT_EQUAL(ptcp_bbr_bdp(&world.cc, 100), BDP);
}

static void the_first_round_is_paced(void)
{
    set_up();
    CU_ASSERT_EQUAL(world.cc.type->pacing_rate(&world.cc, &world.rtt), 0);
    ptcp_rtt_sample(&world.rtt, RTT_US, 0);
    /* Ten packets over 40 ms, 2.77 times as fast. */
    CU_ASSERT_EQUAL(world.cc.type->pacing_rate(&world.cc, &world.rtt), 692501);
}

static void the_cycle_goes_through_its_phases(void)
{
    static const enum ptcp_bbr_state phases[] = {PTCP_BBR_DOWN, PTCP_BBR_CRUISE, PTCP_BBR_REFILL,
                                                 PTCP_BBR_UP, PTCP_BBR_DOWN};
    static const unsigned paces[] = {90, 100, 100, 125, 90};

    set_up();
    for (unsigned i = 0; i < 5; i++) {
        rounds_until(phases[i]);
        const unsigned part = paces[i] == 100 ? 100 : PTCP_BBR_PACING_PERCENT;
        CU_ASSERT_EQUAL(world.cc.type->pacing_rate(&world.cc, &world.rtt),
                        RATE / 100 * paces[i] / 100 * part);
        CU_ASSERT_TRUE(world.cc.window_bytes <= 4 * BDP);
    }
}

static void a_trace_of_a_queue_takes_a_percent_of_the_pace(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    world.rtt_us = RTT_US + RTT_US / PTCP_BBR_TRACE_DIVISOR;
    one_round();
    CU_ASSERT_EQUAL(world.cc.type->pacing_rate(&world.cc, &world.rtt), RATE);
    world.rtt_us += 10;
    one_round();
    CU_ASSERT_EQUAL(world.cc.type->pacing_rate(&world.cc, &world.rtt), RATE * 99 / 100);
    world.rtt_us = RTT_US;
    one_round();
    CU_ASSERT_EQUAL(world.cc.type->pacing_rate(&world.cc, &world.rtt), RATE);
}

static void the_least_rtt_is_probed_with_half_in_flight(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    world.rtt_us = RTT_US * 2; /* a queue, or another way */
    rounds_until(PTCP_BBR_PROBE_RTT);
    CU_ASSERT_TRUE(world.now_us >= 5000000);
    CU_ASSERT_TRUE(world.cc.window_bytes <= BDP);
    CU_ASSERT_TRUE(world.cc.low_samples);
    const uint64_t from_us = world.now_us;
    rounds_until(PTCP_BBR_CRUISE);
    CU_ASSERT_TRUE(world.now_us - from_us >= PTCP_BBR_PROBE_RTT_US);
    CU_ASSERT_FALSE(world.cc.low_samples);
    CU_ASSERT_FALSE(world.cc.calm);
}

static void seconds_without_probe(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 25; i++) {
        one_round();
        CU_ASSERT_NOT_EQUAL(bbr()->state, PTCP_BBR_PROBE_RTT);
    }
}

static void who_cruises_without_a_queue_need_not_probe(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    seconds_without_probe(60);
    CU_ASSERT_EQUAL(bbr()->min_rtt_us, RTT_US);
}

/* In each CRUISE others fill the queue for a round: they are there. */
static void an_empty_queue_between_others_puts_the_probe_off_once(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    for (int i = 0; i < 9 * 25; i++) {
        const bool own = bbr()->cruise_rounds == PTCP_BBR_OWN_ROUNDS;

        world.rtt_us = own ? RTT_US + RTT_US / PTCP_BBR_QUEUE_DIVISOR + 10 : RTT_US;
        one_round();
        CU_ASSERT_NOT_EQUAL(bbr()->state, PTCP_BBR_PROBE_RTT);
    }
    for (int i = 0; i < 2 * 25 && bbr()->state != PTCP_BBR_PROBE_RTT; i++) {
        world.rtt_us = RTT_US * 5 / 4;
        one_round();
    }
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_PROBE_RTT);
}

/* Only a probe can tell it from a queue; then it is what others are measured by. */
static void a_longer_route_is_probed_and_becomes_the_measure(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    seconds_without_probe(8);
    world.rtt_us = RTT_US * 3 / 2;
    const uint64_t from_us = world.now_us;
    rounds_until(PTCP_BBR_PROBE_RTT);
    CU_ASSERT_TRUE(world.now_us - from_us <= PTCP_BBR_PROBE_RTT_EVERY_US + 2 * world.rtt_us);
    for (int i = 0; i < 400 && bbr()->min_rtt_us == RTT_US; i++)
        one_round();
    CU_ASSERT_EQUAL(bbr()->min_rtt_us, RTT_US * 3 / 2);
    CU_ASSERT_TRUE(world.now_us - from_us <= PTCP_BBR_MIN_RTT_US + PTCP_BBR_PROBE_RTT_EVERY_US);
    rounds_until(PTCP_BBR_CRUISE);
    seconds_without_probe(20);
}

/* Every other round one packet of its 400 is lost. */
static bool is_probed_with_losses_in(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 25 && bbr()->state != PTCP_BBR_PROBE_RTT; i++) {
        if (i % 2 == 0)
            lose(MTU, BDP);
        one_round();
    }
    return bbr()->state == PTCP_BBR_PROBE_RTT;
}

static void losses_want_a_probe_until_enough_is_known_of_them(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    bbr()->calm_acked = (PTCP_BBR_KNOWN_PACKETS - 1) * MTU;
    CU_ASSERT_TRUE(is_probed_with_losses_in(6));

    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    bbr()->calm_acked = PTCP_BBR_KNOWN_PACKETS * MTU;
    CU_ASSERT_FALSE(is_probed_with_losses_in(20));
}

static void losses_of_the_start_want_none_if_none_follow(void)
{
    set_up();
    lose(5 * MTU, BDP);
    rounds_until(PTCP_BBR_CRUISE);
    CU_ASSERT_TRUE(bbr()->lossy);
    seconds_without_probe(20);
}

static void after_silence_no_probe_is_due(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    world.now_us += 20000000;
    world.cc.type->on_sent(&world.cc, world.now_us, world.delivered, 0, true);
    CU_ASSERT_EQUAL(world.cc.type->pacing_rate(&world.cc, &world.rtt), RATE);
    one_round();
    CU_ASSERT_NOT_EQUAL(bbr()->state, PTCP_BBR_PROBE_RTT);
}

/* --- Losses -------------------------------------------------------------------------------------
 */

static void losses_of_a_probe_bound_what_is_in_flight(void)
{
    set_up();
    rounds_until(PTCP_BBR_UP);
    lose(40000, 600000);
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_DOWN);
    CU_ASSERT_EQUAL(bbr()->inflight_longterm, 600000);
    one_round();
    CU_ASSERT_TRUE(world.cc.window_bytes <= 600000);
}

static void few_losses_are_borne(void)
{
    set_up();
    rounds_until(PTCP_BBR_UP);
    lose(10000, 600000);
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_UP);
    CU_ASSERT_EQUAL(bbr()->inflight_longterm, UINT64_MAX);
}

static bool is_excess(uint64_t packets, uint64_t of_packets, uint64_t allowed_ppm)
{
    return ptcp_bbr_is_excess(&world.cc, packets * MTU, of_packets * MTU, allowed_ppm);
}

static void the_paths_own_loss_is_not_held_against_it(void)
{
    set_up();
    rounds_until(PTCP_BBR_UP);
    bbr()->calm_acked = 1900 * MTU;
    bbr()->calm_lost = 100 * MTU;
    CU_ASSERT_FALSE(is_excess(10, 100, 0)); /* 6 may be its own, 5 more are chance */
    CU_ASSERT_TRUE(is_excess(11, 100, 0));
    CU_ASSERT_FALSE(is_excess(12, 100, PTCP_BBR_LOSS_PPM));
    CU_ASSERT_TRUE(is_excess(13, 100, PTCP_BBR_LOSS_PPM));
    bbr()->calm_lost = 1900 * MTU; /* never more than a tenth */
    CU_ASSERT_TRUE(is_excess(17, 100, 0));
}

static void what_few_packets_tell_of_the_path_is_doubted(void)
{
    set_up();
    CU_ASSERT_TRUE(is_excess(1, 100, 0)); /* nothing is known, nothing allowed */
    rounds_until(PTCP_BBR_UP);
    bbr()->calm_acked = 60 * MTU;
    CU_ASSERT_FALSE(is_excess(6, 100, 0)); /* none of 60 was lost: 3 of 100 may be, by chance 6 */
    CU_ASSERT_TRUE(is_excess(7, 100, 0));
    bbr()->calm_acked = 10000 * MTU;
    CU_ASSERT_TRUE(is_excess(1, 100, 0));
}

static void in_a_queue_nothing_is_put_down_to_doubt(void)
{
    set_up();
    rounds_until(PTCP_BBR_UP);
    bbr()->calm_acked = 60 * MTU;
    bbr()->round_rtt_us = RTT_US * 3 / 2;
    CU_ASSERT_TRUE(is_excess(1, 100, 0));
}

static void losses_without_delay_leave_the_cruising_rate(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    lose(5000, BDP * 2);
    one_round();
    one_round();
    CU_ASSERT_EQUAL(bbr()->bw_shortterm, UINT64_MAX);
}

static void losses_in_a_queue_lower_it(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    bbr()->inflight_longterm = 1000000;
    one_round();
    world.rtt_us = RTT_US * 3 / 2;
    world.rate = RATE / 2; /* somebody else has the other half */
    one_round();
    lose(20000, BDP * 2);
    one_round();
    one_round();
    CU_ASSERT_EQUAL(bbr()->bw_shortterm, RATE * 70 / 100);
    CU_ASSERT_EQUAL(bbr()->inflight_longterm, 850000);
    CU_ASSERT_EQUAL(bbr()->bw, RATE * 70 / 100);
}

static void who_does_not_answer_to_losses_leaves_us_half_until_the_next_probe(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    world.rtt_us = RTT_US * 3 / 2;
    world.rate = RATE / 10; /* somebody else has the rest */
    for (int i = 0; i < 12 && bbr()->state == PTCP_BBR_CRUISE; i++) {
        lose(20000, BDP);
        one_round();
    }
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_CRUISE);
    CU_ASSERT_EQUAL(bbr()->bw_shortterm, RATE / 2);
    CU_ASSERT_EQUAL(bbr()->inflight_shortterm, BDP / 2);
}

static void our_own_queue_speaks_of_nobody_else(void)
{
    set_up();
    rounds_until(PTCP_BBR_UP);
    rounds_until(PTCP_BBR_DOWN);
    bbr()->calm_acked = 10000 * MTU;
    world.rtt_us = RTT_US * 3 / 2;
    lose(5000, BDP * 3 / 2);
    one_round();
    one_round();
    CU_ASSERT_EQUAL(bbr()->bw_shortterm, UINT64_MAX);
}

static void a_wrong_loss_leads_back_to_the_probe(void)
{
    set_up();
    rounds_until(PTCP_BBR_UP);
    lose(40000, 600000);
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_DOWN);
    world.cc.type->on_undo(&world.cc, world.delivered);
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_REFILL);
    CU_ASSERT_EQUAL(bbr()->inflight_longterm, UINT64_MAX);
}

static void a_mark_ends_a_probe_like_a_loss(void)
{
    set_up();
    rounds_until(PTCP_BBR_UP);
    const struct ptcp_ack_sample ack = {
        .now_us = world.now_us, .delivered = world.delivered, .sent_in_flight = 550000};

    world.cc.type->on_ecn(&world.cc, &ack);
    CU_ASSERT_EQUAL(bbr()->state, PTCP_BBR_DOWN);
    CU_ASSERT_EQUAL(bbr()->inflight_longterm, 550000);
}

static void persistent_congestion_leaves_the_least_window(void)
{
    set_up();
    rounds_until(PTCP_BBR_CRUISE);
    world.cc.type->on_loss(&world.cc, &(struct ptcp_loss_sample){.persistent = true});
    CU_ASSERT_EQUAL(world.cc.window_bytes, PTCP_CC_MIN_PACKETS * MTU);
    /* The model stands, so that the window is back in a few rounds. */
    for (int i = 0; i < 8; i++)
        one_round();
    CU_ASSERT_TRUE(world.cc.window_bytes >= BDP);
}

static CU_TestInfo tests[] = {
    {"startup ends when the rate grows no more", startup_ends_when_the_rate_grows_no_more},
    {"the first round is paced", the_first_round_is_paced},
    {"the cycle goes through its phases", the_cycle_goes_through_its_phases},
    {"a trace of a queue takes a percent of the pace",
     a_trace_of_a_queue_takes_a_percent_of_the_pace},
    {"the least RTT is probed with half in flight", the_least_rtt_is_probed_with_half_in_flight},
    {"who cruises without a queue need not probe", who_cruises_without_a_queue_need_not_probe},
    {"an empty queue between others puts the probe off once",
     an_empty_queue_between_others_puts_the_probe_off_once},
    {"a longer route is probed and becomes the measure",
     a_longer_route_is_probed_and_becomes_the_measure},
    {"losses want a probe until enough is known of them",
     losses_want_a_probe_until_enough_is_known_of_them},
    {"losses of the start want none if none follow", losses_of_the_start_want_none_if_none_follow},
    {"after silence no probe is due", after_silence_no_probe_is_due},
    {"losses of a probe bound what is in flight", losses_of_a_probe_bound_what_is_in_flight},
    {"few losses are borne", few_losses_are_borne},
    {"the path's own loss is not held against it", the_paths_own_loss_is_not_held_against_it},
    {"what few packets tell of the path is doubted", what_few_packets_tell_of_the_path_is_doubted},
    {"in a queue nothing is put down to doubt", in_a_queue_nothing_is_put_down_to_doubt},
    {"who does not answer to losses leaves us half until the next probe",
     who_does_not_answer_to_losses_leaves_us_half_until_the_next_probe},
    {"our own queue speaks of nobody else", our_own_queue_speaks_of_nobody_else},
    {"losses without delay leave the cruising rate", losses_without_delay_leave_the_cruising_rate},
    {"losses in a queue lower it", losses_in_a_queue_lower_it},
    {"a wrong loss leads back to the probe", a_wrong_loss_leads_back_to_the_probe},
    {"a mark ends a probe like a loss", a_mark_ends_a_probe_like_a_loss},
    {"persistent congestion leaves the least window",
     persistent_congestion_leaves_the_least_window},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp bbr", tests)
