/*
 * Goal: wrong, forged and hostile packets do what the specification says: mostly nothing.
 * Method: packets recorded between two cores come back spoilt, old, from elsewhere, or are made
 * by hand; the state table is walked cell by cell.
 */
#include "ptcp_pair.h"

#include "cookie.h"
#include "error.h"
#include "harness.h"
#include "tag.h"

enum { RECORDED_MAX = 64 };

static struct pair pair;
static struct ptcp_conn *a, *b;

static struct {
    uint8_t bytes[RECORDED_MAX][1500];
    size_t size[RECORDED_MAX];
    int to[RECORDED_MAX];
    int count;
} record;

static bool record_all(struct pair *p, int from, uint8_t *bytes, size_t size, bool probe)
{
    (void)p;
    (void)probe;
    if (record.count < RECORDED_MAX && size <= sizeof(record.bytes[0])) {
        memcpy(record.bytes[record.count], bytes, size);
        record.size[record.count] = size;
        record.to[record.count++] = !from;
    }
    return true;
}

static long put(struct ptcp_conn *conn, const char *text)
{
    return ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)text, strlen(text)}, 1);
}

static void set_up(uint64_t seed)
{
    pair_init(&pair, seed, false);
    record.count = 0;
    pair.tap = record_all;
    pair_connect(&pair, &a, &b);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    put(a, "to b");
    put(b, "to a");
    pair_run_for(&pair, 200000);
}

static void tear_down(void)
{
    ptcp_conn_release(a, pair.now_us);
    ptcp_conn_release(b, pair.now_us);
    pair_free(&pair);
}

static bool is_unharmed(void)
{
    char buffer[16];

    pair_run_for(&pair, 500000);
    put(a, "more");
    pair_run_for(&pair, 500000);
    const long len = ptcp_conn_recv(b, pair.now_us, &(struct iovec){buffer, sizeof(buffer)}, 1);
    return !a->error && !b->error && len == 8 && memcmp(buffer, "to bmore", 8) == 0 &&
           ptcp_connections(pair.end[0]) == 1 && ptcp_connections(pair.end[1]) == 1;
}

static void replayed_packets_have_no_effect(void)
{
    set_up(1);
    const int count = record.count;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < count; i++) {
            pair_inject(&pair, record.to[i], record.bytes[i], record.size[i]);
            pair_run_for(&pair, 1000);
        }
    }
    CU_ASSERT_TRUE(is_unharmed());
    tear_down();
}

static void spoilt_and_cut_packets_are_ignored(void)
{
    struct stk_prng prng;
    uint8_t copy[1500];

    set_up(2);
    stk_prng_seed(&prng, 5);
    const int count = record.count;
    for (int i = 0; i < 20000; i++) {
        const int which = (int)stk_prng_below(&prng, (uint64_t)count);
        size_t size = record.size[which];

        memcpy(copy, record.bytes[which], size);
        if (i % 4 == 0)
            size = stk_prng_below(&prng, size);
        else
            for (uint64_t n = 1 + stk_prng_below(&prng, 4); n > 0; n--)
                copy[stk_prng_below(&prng, size)] ^= (uint8_t)(1 + stk_prng_below(&prng, 255));
        pair_inject(&pair, record.to[which], copy, size);
    }
    CU_ASSERT_TRUE(is_unharmed());
    tear_down();
}

static size_t forge(uint8_t *out, uint64_t destination, uint64_t source, const uint8_t *frames,
                    size_t len, uint32_t number)
{
    struct stk_writer w = stk_writer_of(out, 1500);

    ptcp_header_write(
        &w, &(struct ptcp_header){.type = PTCP_DATA, .destination = destination, .packet = number});
    stk_write_bytes(&w, frames, len);
    return ptcp_tag_put(
        out, (size_t)(w.at - out),
        &(struct ptcp_whole){.destination = destination, .source = source, .packet = number});
}

static void resets_need_both_ids(void)
{
    const uint8_t reset[] = {PTCP_FRAME_RESET, 0};
    struct stk_prng prng;
    uint8_t packet[64];

    set_up(3);
    stk_prng_seed(&prng, 1);
    for (int i = 0; i < 10000; i++) {
        const size_t size = forge(packet, b->slot.id, stk_prng_next(&prng), reset, 2, 1000);
        pair_inject(&pair, PAIR_B, packet, size);
        pair_inject(&pair, PAIR_B, packet,
                    forge(packet, stk_prng_next(&prng), a->slot.id, reset, 2, 1000));
    }
    CU_ASSERT_TRUE(is_unharmed());
    const size_t size = forge(packet, b->slot.id, a->slot.id, reset, 2, 1000);
    pair_inject(&pair, PAIR_B, packet, size);
    CU_ASSERT_EQUAL(b->error, -ECONNRESET);
    tear_down();
}

static void packets_from_another_address_are_ignored(void)
{
    const uint8_t reset[] = {PTCP_FRAME_RESET, 0};
    uint8_t packet[64];

    set_up(4);
    const size_t size = forge(packet, b->slot.id, a->slot.id, reset, 2, 1000);
    const struct stk_addr kept = pair.addr[PAIR_A];
    stk_addr_set_port(&pair.addr[PAIR_A], 9);
    pair_inject(&pair, PAIR_B, packet, size);
    pair.addr[PAIR_A] = kept;
    CU_ASSERT_TRUE(is_unharmed());
    tear_down();
}

/* Each breaks a rule in a packet that is authentic. */
static void broken_rules_end_the_connection(void)
{
    static const struct {
        uint8_t bytes[16];
        size_t len;
    } frames[] = {
        {{PTCP_FRAME_ACK, 0x7f, 0xff, 0, 0, 0}, 6},                 /* never sent */
        {{PTCP_FRAME_ACK, 0, 0, 1, 0, 5, 5}, 7},                    /* below zero */
        {{PTCP_FRAME_STREAM, 0xbf, 0xff, 0xff, 0xff, 1}, 6},        /* beyond the window */
        {{PTCP_FRAME_STREAM | PTCP_STREAM_FIN, 1, 'x'}, 3},         /* FIN before bytes received */
        {{0x3f}, 1},                                                /* unknown */
        {{PTCP_FRAME_STREAM | PTCP_STREAM_LENGTH, 4, 200, 'x'}, 4}, /* longer than the packet */
        {{PTCP_FRAME_MAX_DATA}, 1},                                 /* cut */
    };
    uint8_t packet[128];

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        set_up(10 + i);
        const size_t size =
            forge(packet, b->slot.id, a->slot.id, frames[i].bytes, frames[i].len, 1000);
        pair_inject(&pair, PAIR_B, packet, size);
        CU_ASSERT_EQUAL(b->error, -EPROTO);
        pair_run_for(&pair, 100000);
        CU_ASSERT_EQUAL(a->error, -ECONNRESET);
        tear_down();
    }
}

static void no_order_of_packets_amplifies(void)
{
    struct stk_prng prng;

    set_up(5);
    stk_prng_seed(&prng, 77);
    const int count = record.count;
    /* A fresh listener gets everything from an address that never answers. */
    for (int round = 0; round < 200; round++) {
        struct pair other;
        uint64_t in = 0;

        pair_init(&other, (uint64_t)round + 1, false);
        ptcp_listen(other.end[PAIR_B], NULL, 0);
        other.net.cut[PAIR_B] = true;
        for (int i = 0; i < 30; i++) {
            const int which = (int)stk_prng_below(&prng, (uint64_t)count);

            in += record.size[which];
            pair_inject(&other, PAIR_B, record.bytes[which], record.size[which]);
            pair_run_for(&other, stk_prng_below(&prng, 3000000));
            CU_ASSERT_TRUE(other.sent_bytes[PAIR_B] <= 3 * in);
        }
        CU_ASSERT_EQUAL(ptcp_connections(other.end[PAIR_B]), 0);
        pair_free(&other);
    }
    tear_down();
}

static void cookies_expire_and_fit_one_peer_only(void)
{
    const uint8_t key[PTCP_COOKIE_KEY_BYTES] = {1, 2, 3};
    uint8_t cookie[PTCP_COOKIE_BYTES];
    struct stk_addr one, two;
    const uint64_t late_us = 5000000 + PTCP_COOKIE_LIFETIME_US;

    stk_addr_parse_ip(&one, "192.0.2.1", 4000);
    stk_addr_parse_ip(&two, "192.0.2.1", 4001);
    ptcp_cookie_make(cookie, key, 5000000, &one, 42);
    CU_ASSERT_TRUE(ptcp_cookie_ok(cookie, sizeof(cookie), key, 5000000, &one, 42));
    CU_ASSERT_TRUE(ptcp_cookie_ok(cookie, sizeof(cookie), key, late_us, &one, 42));
    CU_ASSERT_FALSE(ptcp_cookie_ok(cookie, sizeof(cookie), key, late_us + 1, &one, 42));
    CU_ASSERT_FALSE(ptcp_cookie_ok(cookie, sizeof(cookie), key, 4999999, &one, 42));
    CU_ASSERT_FALSE(ptcp_cookie_ok(cookie, sizeof(cookie), key, 5000000, &two, 42));
    CU_ASSERT_FALSE(ptcp_cookie_ok(cookie, sizeof(cookie), key, 5000000, &one, 43));
    CU_ASSERT_FALSE(ptcp_cookie_ok(cookie, sizeof(cookie) - 1, key, 5000000, &one, 42));
    cookie[20] ^= 1;
    CU_ASSERT_FALSE(ptcp_cookie_ok(cookie, sizeof(cookie), key, 5000000, &one, 42));
}

static void a_flood_of_syns_leaves_no_state(void)
{
    struct stk_prng prng;
    struct ptcp_params params = {.window = 65536};
    uint8_t packet[256];

    set_up(6);
    stk_prng_seed(&prng, 8);
    for (int i = 0; i < 100000; i++) {
        struct stk_writer w = stk_writer_of(packet, sizeof(packet));
        const uint64_t id = stk_prng_next(&prng) | 1;

        ptcp_header_write(&w, &(struct ptcp_header){.type = PTCP_SYN, .source = id});
        ptcp_params_write(&w, &params);
        pair_inject(
            &pair, PAIR_B, packet,
            ptcp_tag_put(packet, (size_t)(w.at - packet), &(struct ptcp_whole){.source = id}));
    }
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), 1);
    CU_ASSERT_TRUE(is_unharmed());
    tear_down();
}

/* From the address that it opens to, and with an id that nobody has. */
static void a_forged_syn_does_not_come_between(void)
{
    const struct ptcp_params params = {.window = 65536};
    struct ptcp_conn *accepted = NULL;
    uint8_t packet[128];

    pair_init(&pair, 9, false);
    pair.net.delay_us = 50000;
    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    a = pair_open(&pair, PAIR_A, NULL);
    for (uint64_t id = 1; id <= 100; id++) {
        struct stk_writer w = stk_writer_of(packet, sizeof(packet));

        ptcp_header_write(&w, &(struct ptcp_header){.type = PTCP_SYN, .source = id});
        ptcp_params_write(&w, &params);
        const size_t size =
            ptcp_tag_put(packet, (size_t)(w.at - packet), &(struct ptcp_whole){.source = id});
        if (a->state == PTCP_STATE_SYN_SENT) {
            pair_inject(&pair, PAIR_A, packet, size);
            CU_ASSERT_EQUAL(a->state, PTCP_STATE_SYN_SENT);
        }
        pair_run_for(&pair, 5000);
        accepted = accepted ? accepted : ptcp_accept(pair.end[PAIR_B]);
    }
    CU_ASSERT_PTR_NOT_NULL(accepted);
    CU_ASSERT_EQUAL(a->state, PTCP_STATE_ESTABLISHED);
    CU_ASSERT_EQUAL(a->error, 0);
    pair_free(&pair);
}

static void every_cell_of_the_state_table_is_defined(void)
{
    for (int state = 0; state < PTCP_STATE_COUNT; state++) {
        CU_ASSERT_TRUE(strlen(ptcp_state_name((enum ptcp_state)state)) > 3);
        for (int event = 0; event < PTCP_EVENT_COUNT; event++) {
            const enum ptcp_state next =
                ptcp_state_after((enum ptcp_state)state, (enum ptcp_state_event)event);

            CU_ASSERT_TRUE(next < PTCP_STATE_COUNT);
            CU_ASSERT_TRUE(next == (enum ptcp_state)state ||
                           ptcp_state_may_move((enum ptcp_state)state, next));
        }
        /* Every state but CLOSED can end at once, and only the open ones look at DATA. */
        CU_ASSERT_EQUAL(ptcp_state_may_move((enum ptcp_state)state, PTCP_STATE_CLOSED),
                        state != PTCP_STATE_CLOSED);
        CU_ASSERT_EQUAL(ptcp_state_takes((enum ptcp_state)state, PTCP_DATA),
                        state > PTCP_STATE_SYN_SENT);
    }
    CU_ASSERT_FALSE(ptcp_state_takes(PTCP_STATE_ESTABLISHED, 0));
}

static void numbers_unfold_around_the_expected_one(void)
{
    const struct ptcp_header header = {.type = PTCP_DATA, .packet = 0xffffff};
    const struct ptcp_header long_header = {.type = PTCP_SYN_ACK, .packet = 0xffffffff};

    CU_ASSERT_EQUAL(ptcp_packet_number(&header, 0x17fffff), 0x1ffffff);
    CU_ASSERT_EQUAL(ptcp_packet_number(&header, 0x17ffffe), 0xffffff);
    CU_ASSERT_EQUAL(ptcp_packet_number(&header, PTCP_NUMBER_MAX), PTCP_NUMBER_MAX - 1);
    CU_ASSERT_EQUAL(ptcp_packet_number(&long_header, UINT64_C(0x17fffffff)), UINT64_C(0x1ffffffff));
    CU_ASSERT_EQUAL(ptcp_packet_number(&long_header, UINT64_C(0x17ffffffe)), 0xffffffff);
    CU_ASSERT_EQUAL(ptcp_stream_offset(5, UINT64_C(0x80000005)), UINT64_C(0x100000005));
    CU_ASSERT_EQUAL(ptcp_stream_offset(5, UINT64_C(0x80000004)), 5);
    CU_ASSERT_EQUAL(ptcp_stream_offset(5, PTCP_NUMBER_MAX), PTCP_NUMBER_MAX - 0xfffffffb);
}

static CU_TestInfo tests[] = {
    {"replayed packets have no effect", replayed_packets_have_no_effect},
    {"spoilt and cut packets are ignored", spoilt_and_cut_packets_are_ignored},
    {"resets need both ids", resets_need_both_ids},
    {"packets from another address are ignored", packets_from_another_address_are_ignored},
    {"broken rules end the connection", broken_rules_end_the_connection},
    {"no order of packets amplifies", no_order_of_packets_amplifies},
    {"cookies expire and fit one peer only", cookies_expire_and_fit_one_peer_only},
    {"a flood of syns leaves no state", a_flood_of_syns_leaves_no_state},
    {"a forged SYN does not come between", a_forged_syn_does_not_come_between},
    {"every cell of the state table is defined", every_cell_of_the_state_table_is_defined},
    {"numbers unfold around the expected one", numbers_unfold_around_the_expected_one},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp attack", tests)
