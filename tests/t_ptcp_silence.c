/*
 * Goal: a path that falls silent in the middle of a stream is asked about by one of its receivers,
 * once; and nobody asks while others are heard.
 * Method: two cores joined by a small simulated network; the receivers' PINGs are counted.
 */
#include "harness.h"
#include "ptcp_pair.h"
#include "silence.h"

enum {
    COUNT = 3,
    MS = 1000,
    SECOND = 1000 * MS,
    PIECE_BYTES = 4096,
    MIDDLE_BYTES = PTCP_SILENCE_BYTES,
    WHILE_US = 2 * SECOND, /* many probe time-outs, and less than a keep-alive */
};

static struct pair pair;
static struct ptcp_conn *a[COUNT], *b[COUNT];
static unsigned pings;

static bool count_pings(struct pair *world, int from, uint8_t *bytes, size_t size, bool probe)
{
    struct ptcp_header header;
    struct ptcp_frames frames;
    struct ptcp_frame frame;
    struct ptcp_ack ack;

    (void)world;
    if (from != PAIR_B || probe || ptcp_packet_read(bytes, size, false, &header, &frames) < 0)
        return true;
    while (ptcp_frame_read(&frames, &frame, &ack) > 0)
        pings += frame.type == PTCP_FRAME_PING;
    return true;
}

static void set_up(void)
{
    pair_init(&pair, 1, true);
    pair.tap = count_pings;
    pings = 0;
    for (int i = 0; i < COUNT; i++) {
        pair_connect(&pair, &a[i], &b[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]);
    }
}

static void say(int i, size_t len)
{
    static const uint8_t bytes[MIDDLE_BYTES];

    CU_ASSERT_EQUAL(ptcp_conn_send(a[i], pair.now_us, &(struct iovec){(void *)bytes, len}, 1),
                    (long)len);
}

static size_t hear(int i)
{
    struct iovec slice;
    size_t total = 0;

    while (ptcp_conn_peek(b[i], &slice, 1) > 0) {
        total += slice.iov_len;
        ptcp_conn_consume(b[i], pair.now_us, slice.iov_len);
    }
    return total;
}

static void bring(int i, size_t len)
{
    say(i, len);
    pair_run_for(&pair, 200 * MS);
    CU_ASSERT_EQUAL(hear(i), len);
}

static void bring_all(int count)
{
    const uint64_t until_us = pair.now_us + WHILE_US;

    for (int i = 0; i < count; i++)
        say(i, MIDDLE_BYTES);
    do
        for (int i = 0; i < count; i++)
            hear(i);
    while (pair_step(&pair, until_us));
}

static void speak_for(int i, uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    while (pair.now_us < until_us) {
        say(i, PIECE_BYTES);
        pair_run_for(&pair, 5 * MS);
        hear(i);
    }
}

static void a_silent_path_is_asked_about_once(void)
{
    set_up();
    bring_all(1);
    CU_ASSERT_EQUAL(pings, 1);
    pair_free(&pair);
}

/* Whoever has moved after its first bytes would wait for the keep-alive. */
static void the_first_bytes_are_enough_for_the_first_question(void)
{
    set_up();
    bring(0, 1);
    CU_ASSERT_EQUAL(pings, 1);
    bring(0, MIDDLE_BYTES - 1);
    CU_ASSERT_EQUAL(pings, 1);
    bring(0, 1);
    CU_ASSERT_EQUAL(pings, 2);
    pair_free(&pair);
}

/* All are in the middle; one PING is enough for all. */
static void one_asks_for_all(void)
{
    set_up();
    bring_all(COUNT);
    CU_ASSERT_EQUAL(pings, 1);
    pair_free(&pair);
}

static void who_waits_asks_nothing_while_another_is_heard(void)
{
    set_up();
    say(0, MIDDLE_BYTES);
    speak_for(1, WHILE_US);
    hear(0);
    CU_ASSERT_EQUAL(b[0]->bytes_received / MIDDLE_BYTES, 1);
    CU_ASSERT_EQUAL(pings, 0);
    pair_free(&pair);
}

static void a_peer_that_pauses_is_asked_again_at_once_after_enough_bytes_only(void)
{
    set_up();
    bring(0, MIDDLE_BYTES);
    bring(0, MIDDLE_BYTES / 2);
    CU_ASSERT_EQUAL(pings, 1);
    bring(0, MIDDLE_BYTES / 2);
    CU_ASSERT_EQUAL(pings, 2);
    pair_free(&pair);
}

static void a_peer_that_says_little_now_and_then_is_asked_each_second(void)
{
    set_up();
    for (int i = 0; i < 50; i++) { /* 10 s, too little to count */
        bring(0, 100);
        CU_ASSERT_TRUE(pings <= 1 + (unsigned)i / 5);
    }
    CU_ASSERT_TRUE(pings >= 9);
    const unsigned before = pings;
    pair_run_for(&pair, WHILE_US); /* what came last is asked about, and then nothing */
    CU_ASSERT_TRUE(pings - before <= 1);
    pair_free(&pair);
}

/* Who was heard last is over: another one that waits for its peer does the asking. */
static void another_one_asks_for_one_that_is_over(void)
{
    set_up();
    say(0, MIDDLE_BYTES);
    speak_for(1, SECOND);
    hear(0);
    CU_ASSERT_PTR_EQUAL(b[1]->path->listener, b[1]);
    ptcp_conn_abort(b[1], pair.now_us, PTCP_RESET_CANCELLED);
    CU_ASSERT_EQUAL(pings, 0);
    pair_run_for(&pair, WHILE_US);
    CU_ASSERT_EQUAL(pings, 1);
    pair_free(&pair);
}

static void who_waits_in_the_middle_rests_like_others(void)
{
    set_up();
    bring_all(COUNT);
    pair_run_for(&pair, WHILE_US);
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT_PTR_NULL(b[i]->engine);
    pair_free(&pair);
}

/* If nothing more comes, the PING is due in so many microseconds. */
static uint64_t pause_us(void)
{
    const struct ptcp_path *path = b[0]->path;
    const uint64_t half_us = path->rtt.smoothed_us / 2;
    const uint64_t least_us = half_us > PTCP_SILENCE_LEAST_US ? half_us : PTCP_SILENCE_LEAST_US;

    CU_ASSERT_TRUE(least_us < ptcp_rtt_probe_timeout_us(&path->rtt, 25 * MS));
    return path->heard_us + least_us - pair.now_us;
}

static void fall_silent(void)
{
    while (b[0]->bytes_received < MIDDLE_BYTES ||
           pair.now_us < b[0]->path->heard_us + PTCP_SILENCE_LEAST_US / 2)
        pair_run_for(&pair, 1 * MS);
    CU_ASSERT_EQUAL(pings, 0);
}

/* Well before the probe time-out, which has to bear with late ACKs. */
static void it_is_asked_about_after_half_a_round_trip(void)
{
    set_up();
    say(0, MIDDLE_BYTES);
    fall_silent();
    pair_run_for(&pair, pause_us() - 1);
    CU_ASSERT_EQUAL(pings, 0);
    pair_run_for(&pair, 1);
    CU_ASSERT_EQUAL(pings, 1);
    pair_free(&pair);
}

/* What it sent may have left from where it is no more. */
static void who_sent_something_before_it_asks_nevertheless(void)
{
    set_up();
    pair.net.rate_bytes_per_s = 100000;
    say(0, MIDDLE_BYTES);
    while (b[0]->bytes_received < MIDDLE_BYTES - PIECE_BYTES / 2)
        pair_run_for(&pair, 1 * MS);
    pair.net.cut[PAIR_B] = true;
    CU_ASSERT_EQUAL(ptcp_conn_send(b[0], pair.now_us, &(struct iovec){(void *)"x", 1}, 1), 1);
    while (b[0]->bytes_received < MIDDLE_BYTES)
        pair_run_for(&pair, 1 * MS);
    pair.net.cut[PAIR_A] = true;
    fall_silent();
    CU_ASSERT_TRUE(b[0]->engine->recovery.in_flight > 0);
    CU_ASSERT_EQUAL(b[0]->engine->recovery.timeouts, 0);
    pair_run_for(&pair, pause_us() - 1);
    CU_ASSERT_EQUAL(pings, 0);
    pair_run_for(&pair, 5 * MS); /* the alarm may have been set by an older RTT */
    CU_ASSERT_EQUAL(pings, 1);
    CU_ASSERT_EQUAL(b[0]->engine->recovery.timeouts, 0);
    pair_free(&pair);
}

/* What it has sent since says the same as a PING would. */
static void who_has_sent_something_since_asks_by_that(void)
{
    set_up();
    say(0, MIDDLE_BYTES);
    fall_silent();
    pair.net.cut[PAIR_B] = true;
    CU_ASSERT_EQUAL(ptcp_conn_send(b[0], pair.now_us, &(struct iovec){(void *)"x", 1}, 1), 1);
    pair_run_for(&pair, pause_us());
    CU_ASSERT_EQUAL(pings, 0);
    pair_free(&pair);
}

static CU_TestInfo tests[] = {
    {"a silent path is asked about once", a_silent_path_is_asked_about_once},
    {"it is asked about after half a round trip", it_is_asked_about_after_half_a_round_trip},
    {"who sent something before it asks nevertheless",
     who_sent_something_before_it_asks_nevertheless},
    {"who has sent something since asks by that", who_has_sent_something_since_asks_by_that},
    {"the first bytes are enough for the first question",
     the_first_bytes_are_enough_for_the_first_question},
    {"one asks for all", one_asks_for_all},
    {"who waits asks nothing while another is heard",
     who_waits_asks_nothing_while_another_is_heard},
    {"a peer that pauses is asked again at once after enough bytes only",
     a_peer_that_pauses_is_asked_again_at_once_after_enough_bytes_only},
    {"a peer that says little now and then is asked each second",
     a_peer_that_says_little_now_and_then_is_asked_each_second},
    {"another one asks for one that is over", another_one_asks_for_one_that_is_over},
    {"who waits in the middle rests like others", who_waits_in_the_middle_rests_like_others},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp silence", tests)
