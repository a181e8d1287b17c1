/*
 * Goal: whoever does not hold the keys can change nothing and learns nothing, and can't make a
 * listener work or talk much. Method: record, replay, flip, cut, flood on a virtual wire.
 */
#include "seal_pair.h"

#include "layer.h"

#include <sodium.h>
#include <stdlib.h>

static bool drop_all(struct world *w, struct world_packet *packet)
{
    (void)w, (void)packet;
    return false;
}

/* What an outsider could have changed. */
struct effects {
    int inputs, ready, failed, moved;
    uint64_t associations, handshakes;
};

static struct effects effects_on(struct world_node *node)
{
    const struct stk_seal_stats stats = stats_of(node);

    return (struct effects){node->inputs, node->ready,        node->failed,
                            node->moved,  stats.associations, stats.handshakes};
}

static bool same(struct effects x, struct effects y) { return memcmp(&x, &y, sizeof(x)) == 0; }

static void replay_all(const struct stk_addr *from)
{
    const int count = world.logged;

    for (int i = 0; i < count; i++)
        world_inject(&world, from ? from : &world.log[i].from, &world.log[i].to, world.log[i].data,
                     world.log[i].len);
}

static void recorded_packets_have_no_effect_at_any_time(void)
{
    struct stk_addr stranger = world_addr(66, 666);

    establish();
    for (unsigned i = 0; i < 20; i++) {
        world_send_number(a, id, i);
        world_send_number(b, b->retained, i);
    }
    world_run(&world, SECOND);
    const struct effects ea = effects_on(a), eb = effects_on(b);
    for (int round = 0; round < 6; round++) {
        replay_all(NULL);
        world_run(&world, SECOND);
        replay_all(&stranger);
        world_run(&world, SECOND);
        CU_ASSERT_TRUE(same(ea, effects_on(a)));
        CU_ASSERT_TRUE(same(eb, effects_on(b)));
        world_run(&world, 50 * (uint64_t)SECOND);
    }
    /* Through all of it the pair still talks. */
    world_send_number(a, id, 77);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[77], 1);
    end();
}

static void a_recorded_initiation_stays_dead_when_its_association_is_gone(void)
{
    establish();
    const struct world_packet initiation = world.log[0];
    CU_ASSERT_EQUAL(initiation.data[0], SEAL_INITIATION);
    stk_port_release(b->port, b->retained);
    world_run(&world, 100 * (uint64_t)SECOND);
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    const int before = b->inputs;
    world_inject(&world, &initiation.from, &initiation.to, initiation.data, initiation.len);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->inputs, before);
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    CU_ASSERT_TRUE(stats_of(b).replayed > 0);
    end();
}

/* Each byte of each kind of packet, flipped, on its first way. */
static int flip_at;
static int flip_type;
static int flips;

static bool flip(struct world *w, struct world_packet *packet)
{
    (void)w;
    if (packet->data[0] == flip_type && flip_at < packet->len && flips == 0) {
        flips++;
        packet->data[flip_at] ^= 0x41;
    }
    return true;
}

static void flip_each_byte_of(int type, int len)
{
    for (flip_at = 0; flip_at < len; flip_at++) {
        begin("", "");
        b->echo = true;
        flip_type = type;
        flips = 0;
        world.filter = flip;
        connect_and_say("hello");
        world_run(&world, SECOND / 10);
        /* mac2 is not looked at where no cookie is asked for. */
        const bool counts = type != SEAL_INITIATION || flip_at < len - SEAL_MAC;
        if (counts && type == SEAL_INITIATION)
            CU_ASSERT_EQUAL(b->inputs, 0);
        if (type == SEAL_RESPONSE)
            CU_ASSERT_EQUAL(a->ready, 0);
        world_run(&world, 3 * SECOND); /* repetition heals it */
        CU_ASSERT_EQUAL(a->ready, 1);
        CU_ASSERT_EQUAL(b->ready, 1);
        CU_ASSERT_EQUAL(b->inputs, 1);
        CU_ASSERT_EQUAL(a->inputs, 1);
        CU_ASSERT_EQUAL(flips, 1);
        end();
    }
}

static void every_flipped_byte_of_an_initiation_is_ignored(void)
{
    flip_each_byte_of(SEAL_INITIATION, SEAL_INITIATION_MIN);
}

static void every_flipped_byte_of_a_response_is_ignored(void)
{
    flip_each_byte_of(SEAL_RESPONSE, SEAL_RESPONSE_OVERHEAD + 5);
}

static void every_flipped_byte_of_data_is_ignored(void)
{
    struct world_packet packet;

    establish();
    world.filter = drop_all;
    world_send_number(a, id, 9);
    packet = world.log[world.logged - 1];
    world.filter = NULL;
    CU_ASSERT_EQUAL(packet.len, SEAL_OVERHEAD + 2);
    for (int i = 0; i < packet.len; i++) {
        packet.data[i] ^= 0x10;
        world_inject(&world, &packet.from, &packet.to, packet.data, packet.len);
        packet.data[i] ^= 0x10;
    }
    for (int len = 0; len < packet.len; len++)
        world_inject(&world, &packet.from, &packet.to, packet.data, (size_t)len);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->seen[9], 0);
    world_inject(&world, &packet.from, &packet.to, packet.data, packet.len);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->seen[9], 1); /* none of the forgeries used up its counter */
    end();
}

static void noise_of_any_length_is_ignored(void)
{
    uint8_t data[WORLD_PACKET_MAX];
    static const uint8_t types[] = {0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0x00, 0xFF};

    establish();
    const struct effects ea = effects_on(a), eb = effects_on(b);
    for (int i = 0; i < 3000; i++) {
        const size_t len = stk_prng_below(&world.prng, sizeof(data));
        stk_prng_bytes(&world.prng, data, sizeof(data));
        data[0] = types[i % 7];
        if (i % 2)
            data[1] = SEAL_VERSION;
        if (i % 3)
            data[2] = data[3] = 0;
        world_inject(&world, &a->addr, &b->addr, data, len);
        world_inject(&world, &b->addr, &a->addr, data, len);
        if (i % 500 == 0)
            world_run(&world, 20000);
    }
    world_run(&world, SECOND / 10);
    CU_ASSERT_TRUE(same(ea, effects_on(a)));
    CU_ASSERT_TRUE(same(eb, effects_on(b)));
    end();
}

/* --- Counters ------------------------------------------------------------------------------ */

static void a_header_tells_32_bits_of_the_counter(void)
{
    const uint64_t half = UINT64_C(1) << 31, next = 3 * half + 5;
    const uint64_t counters[] = {0, next - half + 1, next + half, SEAL_REJECT_AFTER_PACKETS - 1};
    const uint64_t nexts[] = {0, next, next, SEAL_REJECT_AFTER_PACKETS};
    uint8_t header[SEAL_HEADER];

    for (int i = 0; i < 4; i++) {
        seal_header_write(header, SEAL_DATA, 7, counters[i]);
        CU_ASSERT_EQUAL(seal_header_counter(header, nexts[i]), counters[i]);
        CU_ASSERT_EQUAL(seal_header_index(header), 7);
    }
}

/* As if all packets up to this one had been sent and received. */
static void go_on_at(uint64_t counter)
{
    struct seal_session *r = world_association(b, b->retained)->current;

    world_association(a, id)->current->counter = counter;
    if (counter > r->replay.next)
        seal_replay_note(&r->replay, counter - 1);
}

static void counters_go_on_beyond_32_bits(void)
{
    struct world_packet late;

    establish();
    const struct seal_session *r = world_association(b, b->retained)->current;
    go_on_at((UINT64_C(1) << 32) - 2);
    world_send_number(a, id, 1);
    world.filter = drop_all;
    world_send_number(a, id, 2);
    late = world.log[world.logged - 1];
    world.filter = NULL;
    for (unsigned i = 3; i < 10; i++)
        world_send_number(a, id, i);
    world_run(&world, SECOND / 10);
    for (int i = 0; i < 2; i++) {
        world_inject(&world, &late.from, &late.to, late.data, late.len);
        world_run(&world, SECOND / 10);
    }
    for (unsigned i = 1; i < 10; i++)
        CU_ASSERT_EQUAL(b->seen[i], 1);
    /* So many packets ask for new keys: these are the old ones by now. */
    CU_ASSERT_PTR_EQUAL_FATAL(world_association(b, b->retained)->previous, r);
    CU_ASSERT_EQUAL(r->replay.next, (UINT64_C(1) << 32) + 7);
    end();
}

static void a_counter_too_far_ahead_to_be_rebuilt_harms_nothing(void)
{
    establish();
    struct seal_session *s = world_association(a, id)->current;
    const uint64_t counter = s->counter, forged = stats_of(b).forged;

    s->counter += UINT64_C(1) << 32;
    world_send_number(a, id, 1);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->seen[1], 0);
    CU_ASSERT_EQUAL(stats_of(b).forged, forged + 1);
    s->counter = counter;
    world_send_number(a, id, 2);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->seen[2], 1);
    end();
}

static void counters_near_the_end_are_not_used(void)
{
    establish();
    const struct seal_session *r = world_association(b, b->retained)->current;

    go_on_at(SEAL_REJECT_AFTER_PACKETS - STK_RUN_COUNT_MAX - 1);
    world_send_number(a, id, 1);
    world_run(&world, WORLD_DELAY_US + 1000);
    CU_ASSERT_EQUAL(b->seen[1], 1);
    CU_ASSERT_EQUAL(r->replay.next, SEAL_REJECT_AFTER_PACKETS - STK_RUN_COUNT_MAX);
    /* The keys are used up: new ones are made, and the datagram waits for them. */
    world_send_number(a, id, 2);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[2], 1);
    CU_ASSERT_TRUE(world_association(a, id)->current->counter < 100);
    end();
}

static void a_counter_beyond_the_end_is_refused_even_if_genuine(void)
{
    uint8_t packet[SEAL_OVERHEAD + 2];

    establish();
    struct seal_session *s = world_association(a, id)->current;
    const uint64_t edges[] = {SEAL_REJECT_AFTER_PACKETS, SEAL_REJECT_AFTER_PACKETS + 1,
                              UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct stk_run run = {
            .data = packet + SEAL_HEADER, .stride = 2, .size = 2, .last_size = 2, .count = 1};
        memset(packet, 0, sizeof(packet));
        seal_header_write(packet, SEAL_DATA, s->remote_index, edges[i]);
        void *key = seal_session_key(world_association(a, id), &s->send, seal_now(world_seal(a)));
        CU_ASSERT_PTR_NOT_NULL_FATAL(key);
        s->send.aead->seal_run(key, &run, SEAL_HEADER, edges[i]);
        const int before = b->inputs;
        world_inject(&world, &a->addr, &b->addr, packet, sizeof(packet));
        world_run(&world, SECOND / 10);
        CU_ASSERT_EQUAL(b->inputs, before);
    }
    world_send_number(a, id, 3);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->seen[3], 1);
    end();
}

/* A genuine packet of A's, made by hand. */
static void seal_by_hand(uint8_t packet[SEAL_OVERHEAD + 2], enum seal_message type)
{
    struct seal_association *own = world_association(a, id);
    struct seal_session *s = own->current;
    struct stk_run run = {
        .data = packet + SEAL_HEADER, .stride = 2, .size = 2, .last_size = 2, .count = 1};

    memset(packet, 0, SEAL_OVERHEAD + 2);
    packet[SEAL_HEADER] = SEAL_KEEPALIVE;
    seal_header_write(packet, type, s->remote_index, s->counter);
    void *key = seal_session_key(own, &s->send, seal_now(world_seal(a)));
    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    s->send.aead->seal_run(key, &run, SEAL_HEADER, s->counter++);
}

/* Where packets of one size and source come as a run, whatever they are. */
static void kinds_and_sessions_that_share_a_run_are_told_apart(void)
{
    enum { STRIDE = SEAL_OVERHEAD + 2, COUNT = 5 };
    uint8_t packets[COUNT][STRIDE];

    establish();
    for (int i = 0; i < COUNT; i++)
        seal_by_hand(packets[i], i == 1 ? SEAL_CONTROL : SEAL_DATA);
    packets[3][4] ^= 1; /* of an index: nobody's */
    const struct stk_run run = {.data = packets[0],
                                .stride = STRIDE,
                                .size = STRIDE,
                                .last_size = STRIDE,
                                .count = COUNT,
                                .peer = &a->addr,
                                .local = &b->addr};
    const int before = b->inputs;
    const uint64_t opened = world_association(b, b->retained)->current->replay.next;
    seal_take_runs(world_seal(b), &run, 1);
    CU_ASSERT_EQUAL(b->inputs, before + 3);
    CU_ASSERT_EQUAL(world_association(b, b->retained)->current->replay.next, opened + COUNT);
    CU_ASSERT_EQUAL(b->failed, 0);
    end();
}

static void many_packets_make_new_keys(void)
{
    establish();
    struct seal_session *s = world_association(a, id)->current;

    go_on_at(s->send.aead->rekey_after_packets - 1);
    world_send_number(a, id, 1);
    world_send_number(a, id, 2);
    world_run(&world, SECOND);
    CU_ASSERT_PTR_NOT_EQUAL(world_association(a, id)->current, s);
    CU_ASSERT_EQUAL(b->seen[1] + b->seen[2], 2);
    CU_ASSERT_EQUAL(stats_of(a).handshakes, 2);
    end();
}

/* --- Load ---------------------------------------------------------------------------------- */

static void under_load_an_address_must_prove_itself(void)
{
    begin("", ",load=0");
    connect_and_say("hello");
    world_run(&world, 5 * WORLD_DELAY_US);
    CU_ASSERT_EQUAL(count_logged(SEAL_COOKIE), 1);
    CU_ASSERT_EQUAL(stats_of(a).cookies_received, 1);
    CU_ASSERT_EQUAL(b->inputs, 1); /* one round trip more, no time-out */
    CU_ASSERT_EQUAL(a->ready, 1);
    end();
}

static void under_load_spoofed_sources_cost_no_state(void)
{
    begin("", ",load=10");
    world.filter = drop_all;
    connect_and_say("hello");
    world_run(&world, 1000);
    const struct world_packet initiation = world.log[0];
    world.filter = NULL;
    for (unsigned i = 0; i < 1000; i++) {
        struct stk_addr spoofed = world_addr(100 + (int)(i % 100), (uint16_t)(1000 + i));
        world_inject(&world, &spoofed, &initiation.to, initiation.data, initiation.len);
    }
    const int before = world.logged;
    world_run(&world, 2 * WORLD_DELAY_US);
    CU_ASSERT_TRUE(stats_of(b).associations <= 1);
    uint64_t sent = 0;
    for (int i = before; i < world.logged; i++)
        if (stk_addr_equal(&world.log[i].from, &b->addr))
            sent += world.log[i].len;
    CU_ASSERT_TRUE(sent <= 1000 * (uint64_t)initiation.len); /* less comes out than goes in */
    CU_ASSERT_PTR_NULL(world_seal(b)->limiter); /* no spoofed source got as far as that */
    /* An honest newcomer gets in meanwhile. */
    a->ready = 0;
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->ready, 1);
    end();
}

static void data_of_a_batch_comes_before_its_handshakes(void)
{
    static struct world_packet packets[SEAL_WAITING];
    struct stk_run runs[SEAL_WAITING];
    struct world_node *c;
    uint64_t newcomer;
    char options[128];

    establish();
    world.filter = drop_all;
    snprintf(options, sizeof(options), ",peer=%s", bob_text);
    CU_ASSERT_EQUAL_FATAL(open_as(&carol, options, false, &c), 0);
    CU_ASSERT_EQUAL_FATAL(stk_port_associate(c->port, &b->addr, &newcomer), 0);
    world_send(c, newcomer, "hello", 5);
    world_run(&world, 1000);
    for (unsigned i = 0; i < SEAL_WAITING - 1; i++) {
        packets[i] = world.log[world.logged - 1];
        runs[i] = world_run_of(&packets[i]);
        CU_ASSERT_EQUAL(packets[i].data[0], SEAL_INITIATION);
        packets[i].from = world_addr(50 + (int)i, 4000); /* copies, from elsewhere */
    }
    packets[0].from = c->addr;
    world_send_number(a, id, 9);
    packets[SEAL_WAITING - 1] = world.log[world.logged - 1];
    runs[SEAL_WAITING - 1] = world_run_of(&packets[SEAL_WAITING - 1]);

    const int inputs = b->inputs, responses = count_logged(SEAL_RESPONSE);
    seal_take_runs(world_seal(b), runs, SEAL_WAITING);
    CU_ASSERT_EQUAL(b->inputs, inputs + 2);
    CU_ASSERT_EQUAL(b->seen[9], 1);
    CU_ASSERT_TRUE(b->len == 5 && !memcmp(b->data, "hello", 5)); /* came last */
    CU_ASSERT_EQUAL(stats_of(b).associations, 2);
    world.filter = NULL;
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(c->ready, 1);
    CU_ASSERT_EQUAL(count_logged(SEAL_RESPONSE), responses + 1);
    end();
}

static void one_source_starts_no_more_than_its_share_under_load(void)
{
    struct seal_limiter *limiter = calloc(1, sizeof(*limiter));
    struct stk_addr one = world_addr(1, 1), two = world_addr(2, 1);
    uint64_t now_us = 1000000;
    int passed = 0;

    for (int i = 0; i < 1000; i++) {
        stk_addr_set_port(&one, (uint16_t)(i + 1)); /* its ports are one source */
        passed += seal_limiter_take(limiter, &one, now_us);
    }
    CU_ASSERT_EQUAL(passed, SEAL_SOURCE_BURST);
    CU_ASSERT_TRUE(seal_limiter_take(limiter, &two, now_us));
    now_us += SECOND;
    passed = 0;
    for (int i = 0; i < 1000; i++)
        passed += seal_limiter_take(limiter, &one, now_us);
    CU_ASSERT_EQUAL(passed, SEAL_SOURCE_RATE);
    free(limiter);
}

static void an_ipv6_source_is_its_64_bit_network(void)
{
    struct seal_limiter *limiter = calloc(1, sizeof(*limiter));
    struct stk_addr addr;
    char text[64];
    int passed = 0;

    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "2001:db8:1:2::%x", i + 1);
        CU_ASSERT_EQUAL(stk_addr_parse_ip(&addr, text, 5), 0);
        passed += seal_limiter_take(limiter, &addr, 1000000);
    }
    CU_ASSERT_EQUAL(passed, SEAL_SOURCE_BURST);
    free(limiter);
}

static void a_cookie_of_another_address_or_an_old_one_is_worth_nothing(void)
{
    struct seal_cookie_jar jar = {0};
    struct seal_mac_keys keys;
    uint8_t initiation[SEAL_INITIATION_MIN] = {0xC1, 1}, reply[SEAL_COOKIE_SIZE], cookie[16];
    uint8_t secret[3][SEAL_COOKIE_RANDOM] = {{1}, {2}, {3}};
    const uint8_t nonce[24] = {5}, *mac1 = initiation + sizeof(initiation) - 32;
    struct stk_addr here = world_addr(1, 1), there = world_addr(1, 2);

    seal_mac_keys_of(&keys, secret[2]);
    CU_ASSERT_TRUE(seal_cookie_jar_due(&jar, 5));
    seal_cookie_jar_turn(&jar, 5, secret[0]);
    CU_ASSERT_FALSE(seal_cookie_jar_due(&jar, 6));
    seal_mac1_write(&keys, initiation, initiation + sizeof(initiation) - 32);
    seal_cookie_reply(&jar, &keys, &here, initiation, sizeof(initiation), nonce, reply);
    CU_ASSERT_EQUAL(seal_cookie_open(&keys, mac1, reply, cookie), 0);
    seal_mac2_write(cookie, mac1, initiation + sizeof(initiation) - 16);
    CU_ASSERT_TRUE(seal_cookie_verify(&jar, &here, initiation, sizeof(initiation)));
    CU_ASSERT_FALSE(seal_cookie_verify(&jar, &there, initiation, sizeof(initiation)));
    seal_cookie_jar_turn(&jar, 6, secret[1]);
    CU_ASSERT_TRUE(seal_cookie_verify(&jar, &here, initiation, sizeof(initiation)));
    seal_cookie_jar_turn(&jar, 7, secret[2]);
    CU_ASSERT_FALSE(seal_cookie_verify(&jar, &here, initiation, sizeof(initiation)));
    /* The one before is not good for ever where long passes between two times of load. */
    seal_cookie_reply(&jar, &keys, &here, initiation, sizeof(initiation), nonce, reply);
    CU_ASSERT_EQUAL(seal_cookie_open(&keys, mac1, reply, cookie), 0);
    seal_mac2_write(cookie, mac1, initiation + sizeof(initiation) - 16);
    CU_ASSERT_TRUE(seal_cookie_verify(&jar, &here, initiation, sizeof(initiation)));
    seal_cookie_jar_turn(&jar, 7 + 2 * (uint64_t)SEAL_COOKIE_LIFE_US, secret[0]);
    CU_ASSERT_FALSE(seal_cookie_verify(&jar, &here, initiation, sizeof(initiation)));
    for (size_t i = 8; i < sizeof(reply); i++) {
        reply[i] ^= 1;
        CU_ASSERT_NOT_EQUAL(seal_cookie_open(&keys, mac1, reply, cookie), 0);
        reply[i] ^= 1;
    }
}

static bool drop_initiations(struct world *w, struct world_packet *packet)
{
    (void)w;
    return packet->data[0] != SEAL_INITIATION;
}

static void a_forged_cookie_reply_leaves_the_good_cookie_alone(void)
{
    begin("", ",load=0");
    connect_and_say("hello");
    world_run(&world, WORLD_DELAY_US + 1000);
    world.filter = drop_initiations; /* the one with the cookie is lost */
    world_run(&world, WORLD_DELAY_US);
    CU_ASSERT_EQUAL(stats_of(a).cookies_received, 1);
    struct world_packet reply = world.log[1];
    CU_ASSERT_EQUAL(reply.data[0], SEAL_COOKIE);
    reply.data[40] ^= 1;
    world_inject(&world, &reply.from, &reply.to, reply.data, reply.len);
    world_run(&world, 2 * WORLD_DELAY_US);
    CU_ASSERT_EQUAL(stats_of(a).forged, 1);
    world.filter = NULL;
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(count_logged(SEAL_COOKIE), 1); /* no second round */
    end();
}

static void a_meter_counts_the_last_second(void)
{
    struct seal_meter meter = {0};

    for (uint32_t i = 1; i <= 50; i++)
        CU_ASSERT_EQUAL(seal_meter_count(&meter, 5000000), i);
    CU_ASSERT_EQUAL(seal_meter_count(&meter, 5900000), 51);
    CU_ASSERT_EQUAL(seal_meter_count(&meter, 6000000), 2);
    CU_ASSERT_EQUAL(seal_meter_count(&meter, 60000000), 1);
}

/* --- Amplification ------------------------------------------------------------------------- */

static uint64_t received_by_b, sent_by_b;

static bool count_bytes(struct world *w, struct world_packet *packet)
{
    (void)w;
    if (stk_addr_equal(&packet->from, &b->addr)) {
        sent_by_b += packet->len;
        CU_ASSERT_TRUE(sent_by_b <= 3 * received_by_b);
        return false;
    }
    received_by_b += packet->len;
    return true;
}

static void an_unproven_initiator_gets_thrice_what_it_sent_at_most(void)
{
    uint8_t big[1200] = {0};

    begin("", "");
    b->echo = true;
    received_by_b = sent_by_b = 0;
    world.filter = count_bytes; /* nothing comes back: as if the source was spoofed */
    connect_and_say("hello");
    for (int i = 0; i < 100; i++) {
        world_run(&world, SECOND / 20);
        if (b->retained)
            world_send(b, b->retained, big, sizeof(big));
    }
    CU_ASSERT_TRUE(sent_by_b > SEAL_INITIATION_MIN);
    CU_ASSERT_TRUE(sent_by_b <= 3 * received_by_b);
    end();
}

/* --- Secrets in memory ----------------------------------------------------------------------- */

enum { SECRETS = 16 };

static uint8_t secrets[SECRETS][32];
static int secret_count;
static int leaks;

struct block {
    size_t size, pad;
};

/* A heap that looks into what is given back. */
static void *looking(void *context, void *at, size_t size)
{
    struct block *old = at ? (struct block *)at - 1 : NULL;

    (void)context;
    if (old && size == 0) {
        for (int i = 0; i < secret_count; i++)
            if (memmem(at, old->size, secrets[i], 32)) {
                printf("\n    secret %d in a block of %zu bytes", i, old->size);
                leaks++;
            }
        free(old);
        return NULL;
    }
    struct block *new = malloc(sizeof(*new) + size);
    if (!new)
        return NULL;
    new->size = size;
    if (old) {
        memcpy(new + 1, at, old->size < size ? old->size : size);
        free(old);
    }
    return new + 1;
}

static void note_secret(const uint8_t bytes[32]) { memcpy(secrets[secret_count++], bytes, 32); }

static void keys_are_zeroed_before_their_memory_goes(void)
{
    stk_alloc_hook(looking, NULL);
    begin(",cipher=chacha20-poly1305", "");
    secret_count = leaks = 0;
    note_secret(alice.seed);
    note_secret(bob.seed);
    note_secret(world_seal(a)->local_static.secret);
    note_secret(world_seal(b)->local_static.secret);
    connect_and_say("a datagram of 32 bytes is a key.");
    note_secret((const uint8_t *)"a datagram of 32 bytes is a key.");
    world_run(&world, 1000);
    note_secret(world_association(a, id)->attempt->noise.local_ephemeral.secret);
    note_secret(world_association(a, id)->attempt->noise.chaining_key);
    world_run(&world, SECOND);
    note_secret(world_association(a, id)->current->send.bytes);
    note_secret(world_association(a, id)->current->receive.bytes);
    world_run(&world, 130 * (uint64_t)SECOND);
    world_send_number(a, id, 1); /* makes new keys */
    world_run(&world, SECOND);
    note_secret(world_association(b, b->retained)->current->send.bytes);
    end();
    CU_ASSERT_EQUAL(secret_count, 10);
    CU_ASSERT_EQUAL(leaks, 0);
    stk_alloc_hook(NULL, NULL);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"recorded packets have no effect at any time",
         recorded_packets_have_no_effect_at_any_time},
        {"a recorded initiation stays dead when its association is gone",
         a_recorded_initiation_stays_dead_when_its_association_is_gone},
        {"every flipped byte of an initiation is ignored",
         every_flipped_byte_of_an_initiation_is_ignored},
        {"every flipped byte of a response is ignored",
         every_flipped_byte_of_a_response_is_ignored},
        {"every flipped byte of data is ignored", every_flipped_byte_of_data_is_ignored},
        {"noise of any length is ignored", noise_of_any_length_is_ignored},
        {"a header tells 32 bits of the counter", a_header_tells_32_bits_of_the_counter},
        {"counters go on beyond 32 bits", counters_go_on_beyond_32_bits},
        {"a counter too far ahead to be rebuilt harms nothing",
         a_counter_too_far_ahead_to_be_rebuilt_harms_nothing},
        {"counters near the end are not used", counters_near_the_end_are_not_used},
        {"a counter beyond the end is refused even if genuine",
         a_counter_beyond_the_end_is_refused_even_if_genuine},
        {"kinds and sessions that share a run are told apart",
         kinds_and_sessions_that_share_a_run_are_told_apart},
        {"many packets make new keys", many_packets_make_new_keys},
        {"under load an address must prove itself", under_load_an_address_must_prove_itself},
        {"under load spoofed sources cost no state", under_load_spoofed_sources_cost_no_state},
        {"data of a batch comes before its handshakes",
         data_of_a_batch_comes_before_its_handshakes},
        {"one source starts no more than its share under load",
         one_source_starts_no_more_than_its_share_under_load},
        {"an IPv6 source is its 64-bit network", an_ipv6_source_is_its_64_bit_network},
        {"a cookie of another address or an old one is worth nothing",
         a_cookie_of_another_address_or_an_old_one_is_worth_nothing},
        {"a forged cookie reply leaves the good cookie alone",
         a_forged_cookie_reply_leaves_the_good_cookie_alone},
        {"a meter counts the last second", a_meter_counts_the_last_second},
        {"an unproven initiator gets thrice what it sent at most",
         an_unproven_initiator_gets_thrice_what_it_sent_at_most},
        {"keys are zeroed before their memory goes", keys_are_zeroed_before_their_memory_goes},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    make_keys();
    return stk_test_run("seal attack", tests, STK_TEST_LIMIT_S);
}
