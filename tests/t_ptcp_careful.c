/*
 * Goal: careful resume goes through its phases as docs/ptcp.md section 7 says, and what is
 * remembered is bounded, old one day, and used by one path at a time.
 * Method: a path alone with hand-made ACKs and losses; the history alone.
 */
#include "harness.h"
#include "path.h"

enum {
    MTU = 1200,
    RTT_US = 50000,
    BYTES = 600000,
    FIRST = 12000, /* the initial window */
    WHO = 77,
};

static struct ptcp_path path;
static uint64_t now_us;

static const struct ptcp_memory memory = {
    .who = WHO, .bytes = BYTES, .at_us = 1000000, .rtt_us = RTT_US, .window = 1 << 20};

static void set_up(const char *controller, uint64_t rtt_us)
{
    now_us = memory.at_us + 60000000;
    ptcp_path_init(&path, ptcp_cc_find(controller), 0, 1472, 0);
    ptcp_rtt_sample(&path.rtt, rtt_us, 0);
    ptcp_careful_begin(&path, &memory);
}

static void ack(uint64_t bytes, uint64_t sent_us, bool app_limited)
{
    const struct ptcp_ack_sample sample = {.now_us = now_us,
                                           .acked_bytes = bytes,
                                           .in_flight_before = path.delivery.in_flight + bytes,
                                           .newest_sent_us = sent_us,
                                           .app_limited = app_limited,
                                           .rtt = &path.rtt};
    ptcp_careful_acked(&path, &sample);
}

static void jump(const char *controller)
{
    set_up(controller, RTT_US);
    path.delivery.in_flight = FIRST;
    ack(FIRST, now_us - RTT_US, false);
    CU_ASSERT_EQUAL_FATAL(path.careful.phase, PTCP_CAREFUL_UNVALIDATED);
}

/* The jump is under way, and its first packet was acknowledged. */
static void fill(const char *controller)
{
    jump(controller);
    const uint64_t sent_us = now_us + 1;
    now_us += RTT_US - 1;
    path.delivery.in_flight = BYTES / 2 - MTU;
    ack(MTU, sent_us, false);
    CU_ASSERT_EQUAL_FATAL(path.careful.phase, PTCP_CAREFUL_VALIDATING);
}

/* --- Phases --------------------------------------------------------------------------------- */

static void half_is_tried_once_the_first_window_has_arrived(void)
{
    set_up("cubic", RTT_US);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RECONNAISSANCE);
    ack(FIRST - PTCP_CAREFUL_LATE * MTU - 1, now_us, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RECONNAISSANCE);
    CU_ASSERT_EQUAL(path.cc.window_bytes, FIRST);
    ack(1, now_us, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_UNVALIDATED);
    CU_ASSERT_EQUAL(path.cc.window_bytes, BYTES / 2);
    /* Over one round trip. */
    CU_ASSERT_EQUAL(ptcp_careful_rate(&path, 1 << 30), BYTES / 2 * UINT64_C(20) + 1);
}

static void who_has_little_to_send_does_not_jump(void)
{
    set_up("cubic", RTT_US);
    ack(10 * FIRST, now_us, true);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RECONNAISSANCE);
    CU_ASSERT_EQUAL(path.cc.window_bytes, FIRST);
}

static void any_loss_or_mark_before_it_forbids_it(void)
{
    set_up("bbr", RTT_US);
    ptcp_careful_lost(&path, now_us, MTU, now_us);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
    set_up("bbr", RTT_US);
    ptcp_careful_marked(&path, now_us);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
    CU_ASSERT_EQUAL(path.cc.window_bytes, FIRST);
}

static void an_unlike_rtt_forbids_it(void)
{
    set_up("bbr", RTT_US / 2 - 1);
    ack(FIRST, now_us, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
    set_up("bbr", 2 * RTT_US + 1);
    ack(FIRST, now_us, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
    CU_ASSERT_EQUAL(path.cc.window_bytes, FIRST);
}

static void it_is_validated_by_its_last_packet(void)
{
    fill("cubic");
    CU_ASSERT_EQUAL(path.cc.window_bytes, BYTES / 2 + MTU);
    ack(MTU, now_us, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_VALIDATING);
    ack(MTU, now_us + 1, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
    CU_ASSERT_EQUAL(ptcp_careful_rate(&path, 5), 5);
}

/* However slowly the controller's own model follows. */
static void what_is_acknowledged_of_it_lets_twice_as_much_go(void)
{
    fill("bbr");
    for (uint64_t acked = MTU; acked < BYTES / 2; acked += MTU) {
        CU_ASSERT_EQUAL(path.cc.window_bytes, BYTES / 2 + acked);
        CU_ASSERT_EQUAL(ptcp_careful_rate(&path, 1), (BYTES / 2 * UINT64_C(20) + 1) * 5 / 2);
        path.cc.window_bytes = FIRST;
        ack(MTU, now_us, false);
    }
    ack(MTU, now_us + 1, false);
    CU_ASSERT_EQUAL(path.cc.window_bytes, BYTES + MTU);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
}

/* The last two packets of the initial window may have got lost instead. */
static void a_loss_before_it_that_is_noticed_late_ends_it(void)
{
    set_up("cubic", RTT_US);
    path.delivery.in_flight = FIRST;
    ack(FIRST - PTCP_CAREFUL_LATE * MTU, now_us - RTT_US, false);
    CU_ASSERT_EQUAL_FATAL(path.careful.phase, PTCP_CAREFUL_UNVALIDATED);
    ptcp_careful_lost(&path, now_us + 1, PTCP_CAREFUL_LATE * MTU, now_us - RTT_US);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RETREAT);
    CU_ASSERT_TRUE(path.cc.window_bytes <= FIRST);
}

static void what_was_not_used_is_not_kept(void)
{
    jump("cubic");
    now_us += RTT_US;
    path.delivery.in_flight = 2 * MTU;
    ack(MTU, now_us - RTT_US, true);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
    CU_ASSERT_EQUAL(path.cc.window_bytes, FIRST + MTU);
}

static void a_loss_of_it_leads_back_to_half_of_what_arrived(void)
{
    fill("cubic");
    ptcp_careful_lost(&path, now_us, MTU, path.careful.first_us - 1); /* an older one */
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_VALIDATING);
    ptcp_careful_lost(&path, now_us, MTU, path.careful.first_us);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RETREAT);
    CU_ASSERT_EQUAL(path.cc.window_bytes, (FIRST + MTU) / 2);
    CU_ASSERT_EQUAL(path.cc.ssthresh_bytes, (FIRST + MTU) / 2);
    CU_ASSERT_TRUE(path.reduction.lost == UINT32_MAX); /* and stays there, whatever comes late */
    ack(MTU, now_us, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RETREAT);
    ack(MTU, now_us + 1, false);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_NORMAL);
}

static void bbr_bears_few_losses_of_it(void)
{
    fill("bbr");
    ptcp_careful_lost(&path, now_us, PTCP_CAREFUL_LOSSES * MTU, now_us);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_VALIDATING);
    ptcp_careful_lost(&path, now_us, 1, now_us);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RETREAT);
    CU_ASSERT_EQUAL(path.cc.window_bytes, (FIRST + MTU) / 2);
}

static void a_mark_leads_back(void)
{
    jump("bbr");
    ptcp_careful_marked(&path, now_us);
    CU_ASSERT_EQUAL(path.careful.phase, PTCP_CAREFUL_RETREAT);
    CU_ASSERT_TRUE(path.cc.window_bytes <= FIRST);
}

/* --- Memory --------------------------------------------------------------------------------- */

static void what_was_wrong_is_not_remembered(void)
{
    struct ptcp_memory kept;

    set_up("bbr", RTT_US);
    CU_ASSERT_TRUE(ptcp_careful_remember(&path, now_us, &kept)); /* not tried: as it was */
    CU_ASSERT_EQUAL(kept.at_us, memory.at_us);
    fill("bbr");
    ptcp_careful_marked(&path, now_us);
    CU_ASSERT_FALSE(ptcp_careful_remember(&path, now_us, &kept));
}

static struct ptcp_history *history(void)
{
    const uint8_t key[16] = {1};
    struct ptcp_history *new = ptcp_history_new(key);

    CU_ASSERT_PTR_NOT_NULL_FATAL(new);
    return new;
}

static void one_path_at_a_time_builds_on_a_memory(void)
{
    struct ptcp_history *all = history();
    struct ptcp_memory taken;

    CU_ASSERT_FALSE(ptcp_history_take(all, WHO, now_us, &taken));
    ptcp_history_put(all, &memory);
    CU_ASSERT_FALSE(ptcp_history_take(all, WHO + 1, memory.at_us, &taken));
    CU_ASSERT_FALSE(ptcp_history_take(all, 0, memory.at_us, &taken));
    CU_ASSERT_TRUE(ptcp_history_take(all, WHO, memory.at_us, &taken));
    CU_ASSERT_EQUAL(taken.bytes, BYTES);
    CU_ASSERT_FALSE(ptcp_history_take(all, WHO, memory.at_us, &taken));
    ptcp_history_leave(all);
}

static void after_an_hour_it_is_too_old(void)
{
    struct ptcp_history *all = history();
    struct ptcp_memory taken;

    ptcp_history_put(all, &memory);
    CU_ASSERT_TRUE(ptcp_history_take(all, WHO, memory.at_us + PTCP_HISTORY_LIFETIME_US, &taken));
    ptcp_history_put(all, &memory);
    CU_ASSERT_FALSE(
        ptcp_history_take(all, WHO, memory.at_us + PTCP_HISTORY_LIFETIME_US + 1, &taken));
    ptcp_history_leave(all);
}

static void the_oldest_of_a_set_makes_room(void)
{
    struct ptcp_history *all = history();
    struct ptcp_memory one = memory, taken;

    for (unsigned i = 0; i <= PTCP_HISTORY_WAYS; i++, one.who += PTCP_HISTORY_SETS, one.at_us++)
        ptcp_history_put(all, &one);
    CU_ASSERT_FALSE(ptcp_history_take(all, WHO, one.at_us, &taken));
    for (unsigned i = 1; i <= PTCP_HISTORY_WAYS; i++)
        CU_ASSERT_TRUE(ptcp_history_take(all, WHO + i * PTCP_HISTORY_SETS, one.at_us, &taken));
    ptcp_history_leave(all);
}

static CU_TestInfo tests[] = {
    {"half is tried once the first window has arrived",
     half_is_tried_once_the_first_window_has_arrived},
    {"who has little to send does not jump", who_has_little_to_send_does_not_jump},
    {"any loss or mark before it forbids it", any_loss_or_mark_before_it_forbids_it},
    {"an unlike RTT forbids it", an_unlike_rtt_forbids_it},
    {"it is validated by its last packet", it_is_validated_by_its_last_packet},
    {"what is acknowledged of it lets twice as much go",
     what_is_acknowledged_of_it_lets_twice_as_much_go},
    {"a loss before it that is noticed late ends it",
     a_loss_before_it_that_is_noticed_late_ends_it},
    {"what was not used is not kept", what_was_not_used_is_not_kept},
    {"a loss of it leads back to half of what arrived",
     a_loss_of_it_leads_back_to_half_of_what_arrived},
    {"BBR bears few losses of it", bbr_bears_few_losses_of_it},
    {"a mark leads back", a_mark_leads_back},
    {"what was wrong is not remembered", what_was_wrong_is_not_remembered},
    {"one path at a time builds on a memory", one_path_at_a_time_builds_on_a_memory},
    {"after an hour it is too old", after_an_hour_it_is_too_old},
    {"the oldest of a set makes room", the_oldest_of_a_set_makes_room},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp careful", tests)
