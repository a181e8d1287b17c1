/* Goal: two sealed ports find one another and carry datagrams; method: a wire on a virtual clock.
 */
#include "seal_pair.h"

#include "fault.h"
#include "layer.h"

#include <sodium.h>
#include <string.h>

/* --- Handshake --------------------------------------------------------------------------- */

static void the_first_datagram_travels_in_the_first_packet(void)
{
    begin("", "");
    b->echo = true;
    connect_and_say("hello");
    world_run(&world, WORLD_DELAY_US + 1000);
    CU_ASSERT_EQUAL(b->inputs, 1);
    CU_ASSERT_EQUAL(memcmp(b->data, "hello", 5), 0);
    CU_ASSERT_EQUAL(b->ready, 0); /* nothing proves yet that it is not a recording */
    world_run(&world, WORLD_DELAY_US);
    CU_ASSERT_EQUAL(a->inputs, 1); /* one round trip: the answer came in the response */
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(count_logged(SEAL_INITIATION), 1);
    CU_ASSERT_EQUAL(count_logged(SEAL_RESPONSE), 1);
    CU_ASSERT_EQUAL(count_logged(SEAL_DATA), 0);
    world_run(&world, WORLD_DELAY_US + 1000);
    CU_ASSERT_EQUAL(b->ready, 1);
    end();
}

static void without_a_datagram_the_handshake_goes_on_alone(void)
{
    begin("", "");
    connect_to(&b->addr);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(b->ready, 1);
    CU_ASSERT_EQUAL(b->inputs, 0);
    end();
}

static void datagrams_go_both_ways(void)
{
    establish();
    for (unsigned i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(world_send_number(a, id, i), 1);
        CU_ASSERT_EQUAL(world_send_number(b, b->retained, i), 1);
    }
    world_run(&world, SECOND);
    for (unsigned i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(a->seen[i], 1);
        CU_ASSERT_EQUAL(b->seen[i], 1);
    }
    end();
}

static void runs_are_sealed_whole(void)
{
    enum { COUNT = 10, SIZE = 100, STRIDE = SIZE + SEAL_OVERHEAD };
    uint8_t room[64 + COUNT * STRIDE + 64];
    struct stk_addr nowhere = world_addr(99, 1);

    establish();
    struct stk_run run = {.data = room + 64,
                          .stride = STRIDE,
                          .size = SIZE,
                          .last_size = SIZE / 2,
                          .count = COUNT,
                          .ecn = STK_ECN_ECT0,
                          .association = id,
                          .peer = &nowhere};
    for (unsigned i = 0; i < COUNT; i++)
        memset(stk_run_at(&run, i), (int)i, SIZE);
    CU_ASSERT_EQUAL(stk_port_send(a->port, &run, 1), 1);
    const int before = b->inputs;
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->inputs - before, COUNT);
    CU_ASSERT_EQUAL(b->len, SIZE / 2);
    CU_ASSERT_EQUAL(b->data[0], COUNT - 1);
    CU_ASSERT_EQUAL(b->ecn, STK_ECN_ECT0);
    end();
}

/* A run as generic receive offload would bring it: several packets, one of them broken. */
static void a_received_run_is_opened_whole_but_for_forgeries(void)
{
    enum { COUNT = 5 };
    uint8_t run_data[COUNT * 64];
    size_t size = 0;

    establish();
    const int first = world.logged;
    for (unsigned i = 0; i < COUNT; i++)
        world_send_number(a, id, i);
    for (unsigned i = 0; i < COUNT; i++) {
        size = world.log[first + (int)i].len;
        memcpy(run_data + i * size, world.log[first + (int)i].data, size);
    }
    world.queued = 0; /* they come as one run only */
    run_data[2 * size + size - 1] ^= 1;
    memcpy(run_data + 4 * size, run_data + 3 * size, size); /* and one twice */
    struct stk_run run = {.data = run_data,
                          .stride = (uint32_t)size,
                          .size = (uint16_t)size,
                          .last_size = (uint16_t)size,
                          .count = COUNT,
                          .peer = &a->addr};
    stk_dgram_input_above(b->wire, &run, 1);
    CU_ASSERT_EQUAL(b->seen[0] + b->seen[1] + b->seen[3], 3);
    CU_ASSERT_EQUAL(b->seen[2], 0);
    CU_ASSERT_EQUAL(b->seen[4], 0);
    end();
}

static void what_the_wire_does_not_take_comes_back_open(void)
{
    uint8_t room[64 + 300 + 64];

    establish();
    struct stk_run run = {.data = room + 64,
                          .stride = 300,
                          .size = 300,
                          .last_size = 300,
                          .count = 1,
                          .association = id};
    memset(run.data, 0x5a, 300);
    const struct stk_run before = run;
    a->full = true;
    CU_ASSERT_EQUAL(stk_port_send(a->port, &run, 1), 0);
    CU_ASSERT_EQUAL(memcmp(&before, &run, sizeof(run)), 0);
    for (int i = 0; i < 300; i++)
        CU_ASSERT_EQUAL(run.data[i], 0x5a);
    a->full = false;
    CU_ASSERT_EQUAL(stk_port_send(a->port, &run, 1), 1);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->len, 300);
    CU_ASSERT_EQUAL(b->data[299], 0x5a);
    end();
}

static int to_drop;

static bool drop_some(struct world *w, struct world_packet *packet)
{
    (void)w, (void)packet;
    return to_drop-- <= 0;
}

static void lost_handshake_packets_are_sent_again(void)
{
    for (int n = 1; n <= 5; n++) {
        begin("", "");
        to_drop = n;
        world.filter = drop_some;
        connect_and_say("hello");
        world_run(&world, 8 * SECOND);
        CU_ASSERT_EQUAL(a->ready, 1);
        CU_ASSERT_EQUAL(b->inputs, 1);
        CU_ASSERT_EQUAL(stats_of(b).associations, 1);
        end();
    }
}

/* The first initiation arrives; then nothing passes for so long that the responder forgets it. */
static bool dark_for_a_while(struct world *w, struct world_packet *packet)
{
    (void)packet;
    return w->now_us < *(uint64_t *)w->context ||
           w->now_us >= *(uint64_t *)w->context + 12 * SECOND;
}

static void an_initiation_is_renewed_before_the_peer_forgets_it(void)
{
    char big[1000] = "hello";

    for (unsigned len = 5; len <= sizeof(big); len += sizeof(big) - 5) {
        uint64_t dark_us;

        begin(",handshake-timeout=30s", "");
        dark_us = world.now_us + WORLD_DELAY_US / 2;
        world.filter = dark_for_a_while;
        world.context = &dark_us;
        connect_to(&b->addr);
        world_send(a, id, big, len);
        world_run(&world, 15 * SECOND);
        CU_ASSERT_EQUAL(a->ready, 1);
        CU_ASSERT_EQUAL(a->failed, 0);
        CU_ASSERT_EQUAL(b->ready, 1);
        CU_ASSERT_EQUAL(b->len, len);
        CU_ASSERT_EQUAL(stats_of(b).replayed, 0);
        CU_ASSERT_EQUAL(stats_of(b).associations, 2); /* the first failed, and is still retained */
        end();
    }
}

static bool drop_responses_once(struct world *w, struct world_packet *packet)
{
    (void)w;
    return packet->data[0] != SEAL_RESPONSE || to_drop-- <= 0;
}

static void a_lost_response_is_repeated_not_made_anew(void)
{
    begin("", "");
    to_drop = 2;
    world.filter = drop_responses_once;
    connect_and_say("hello");
    world_run(&world, 4 * SECOND);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(b->inputs, 1); /* the datagram was not delivered again */
    CU_ASSERT_EQUAL(count_logged(SEAL_RESPONSE), 3);
    CU_ASSERT_EQUAL(stats_of(b).associations, 1);
    end();
}

static void nobody_there_ends_in_a_useful_error(void)
{
    begin(",handshake-timeout=3s", "");
    struct stk_addr nowhere = world_addr(77, 7);
    connect_to(&nowhere);
    world_run(&world, 3 * SECOND - 50000);
    CU_ASSERT_EQUAL(a->failed, 0);
    world_run(&world, 100000);
    CU_ASSERT_EQUAL(a->failed, 1);
    CU_ASSERT_EQUAL(a->error.code, -ETIMEDOUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(a->error.text, "10.0.0.77:7"));
    CU_ASSERT_PTR_NOT_NULL(strstr(a->error.text, bob_text));
    CU_ASSERT_EQUAL(world_send(a, id, "x", 1), 1); /* dropped */
    stk_port_release(a->port, id);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stats_of(a).associations, 0);
    CU_ASSERT_TRUE(count_logged(SEAL_INITIATION) >= 4);
    end();
}

static void what_the_network_says_is_told_with_the_time_out(void)
{
    begin(",handshake-timeout=2s", "");
    struct stk_addr nowhere = world_addr(77, 7);
    connect_to(&nowhere);
    world_run(&world, SECOND);
    world_seal(a)->layer.type->unreachable(&world_seal(a)->layer, &nowhere, ECONNREFUSED);
    CU_ASSERT_EQUAL(a->failed, 0); /* anybody can say so */
    world_run(&world, 2 * SECOND);
    CU_ASSERT_EQUAL(a->error.code, -ETIMEDOUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(a->error.text, strerror(ECONNREFUSED)));
    end();
}

/* Each is looked for among all associations. */
static void a_storm_of_reports_is_looked_into_now_and_then(void)
{
    begin("", "");
    struct stk_addr nowhere = world_addr(77, 7), elsewhere = world_addr(78, 7);
    connect_to(&nowhere);
    world_run(&world, SECOND);
    const struct stk_dgram_type *type = world_seal(a)->layer.type;
    type->unreachable(&world_seal(a)->layer, &elsewhere, ECONNREFUSED);
    type->unreachable(&world_seal(a)->layer, &nowhere, ECONNREFUSED);
    CU_ASSERT_EQUAL(world_association(a, id)->unreachable, 0);
    world_run(&world, SEAL_REPORTS_APART_US);
    type->unreachable(&world_seal(a)->layer, &nowhere, ECONNREFUSED);
    CU_ASSERT_EQUAL(world_association(a, id)->unreachable, ECONNREFUSED);
    end();
}

static void the_wrong_key_of_the_listener_gets_silence(void)
{
    char text[256];

    CU_ASSERT_TRUE_FATAL(world_init(&world, 9));
    snprintf(text, sizeof(text), ",peer=%s,handshake-timeout=2s", carol_text);
    CU_ASSERT_EQUAL_FATAL(open_as(&alice, text, false, &a), 0);
    CU_ASSERT_EQUAL_FATAL(open_as(&bob, "", true, &b), 0);
    connect_and_say("hello");
    world_run(&world, 3 * SECOND);
    CU_ASSERT_EQUAL(a->error.code, -ETIMEDOUT);
    CU_ASSERT_EQUAL(world.bytes_to[0], 0);
    CU_ASSERT_EQUAL(b->inputs, 0);
    end();
}

static void a_key_that_is_not_allowed_is_told_so_at_once(void)
{
    char text[256];

    snprintf(text, sizeof(text), ",allow=%s", carol_text);
    begin("", text);
    connect_and_say("hello");
    world_run(&world, 3 * WORLD_DELAY_US);
    CU_ASSERT_EQUAL(a->failed, 1);
    CU_ASSERT_EQUAL(a->error.code, STK_EPEER);
    CU_ASSERT_PTR_NOT_NULL(strstr(a->error.text, alice_text));
    CU_ASSERT_EQUAL(b->inputs, 0);
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    CU_ASSERT_EQUAL(stats_of(b).refused, 1);
    end();
}

static void a_key_that_is_allowed_gets_in(void)
{
    char text[256];

    snprintf(text, sizeof(text), ",allow=%s+%s", carol_text, alice_text);
    begin("", text);
    connect_and_say("hello");
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->inputs, 1);
    CU_ASSERT_EQUAL(b->ready, 1);
    end();
}

/* What it says of whom it connects to, it says of who connects, too. */
static void a_listener_that_names_its_peer_lets_in_nobody_else(void)
{
    char text[256];

    for (int named = 0; named < 2; named++) {
        snprintf(text, sizeof(text), ",peer=%s", named ? alice_text : carol_text);
        begin("", text);
        connect_and_say("hello");
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(a->error.code, named ? 0 : STK_EPEER);
        CU_ASSERT_EQUAL(b->inputs, named);
        CU_ASSERT_EQUAL(stats_of(b).associations, (uint64_t)named);
        CU_ASSERT_EQUAL(stats_of(b).refused, named ? 0 : 1);
        end();
    }
}

static void the_peer_of_a_listener_and_those_that_it_allows_get_in(void)
{
    char text[256];

    for (int named = 0; named < 2; named++) {
        snprintf(text, sizeof(text), ",peer=%s,allow=%s", named ? alice_text : carol_text,
                 named ? carol_text : alice_text);
        begin("", text);
        connect_and_say("hello");
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(b->inputs, 1);
        end();
    }
}

static void both_sides_know_one_another(void)
{
    uint8_t key[32];
    char cipher[64], path[128];
    struct stk_addr addr;

    establish();
    CU_ASSERT_EQUAL(stk_port_query(a->port, STK_QUERY_PEER_KEY, id, key, sizeof(key)), 0);
    CU_ASSERT_EQUAL(memcmp(key, bob.public_key, 32), 0);
    CU_ASSERT_EQUAL(stk_port_query(b->port, STK_QUERY_PEER_KEY, b->retained, key, 32), 0);
    CU_ASSERT_EQUAL(memcmp(key, alice.public_key, 32), 0);
    CU_ASSERT_EQUAL(stk_port_query(b->port, STK_QUERY_PEER_ADDR, b->retained, &addr, sizeof(addr)),
                    0);
    CU_ASSERT_TRUE(stk_addr_equal(&addr, &a->addr));
    CU_ASSERT_EQUAL(stk_port_query(a->port, STK_QUERY_CIPHER, id, cipher, sizeof(cipher)), 0);
    CU_ASSERT_STRING_EQUAL(cipher, seal_aead_choose(SEAL_CIPHERS, SEAL_ANY_PROVIDER)->name);
    CU_ASSERT_EQUAL(stk_port_query(a->port, STK_QUERY_PATH, id, path, sizeof(path)), 0);
    CU_ASSERT_STRING_EQUAL(path, "direct 10.0.0.2:4000");
    end();
}

static void the_cipher_is_one_that_both_sides_offer(void)
{
    char cipher[64] = "";

    begin(",cipher=chacha20-poly1305", "");
    connect_and_say("hello");
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_port_query(a->port, STK_QUERY_CIPHER, id, cipher, sizeof(cipher)), 0);
    CU_ASSERT_STRING_EQUAL(cipher, "chacha20-poly1305");
    world_send_number(a, id, 5);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[5], 1);
    end();
}

static void expect_cipher(const char *connect_options, const char *listen_options,
                          const char *expected)
{
    char cipher[64] = "";

    begin(connect_options, listen_options);
    connect_and_say("hello");
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_port_query(a->port, STK_QUERY_CIPHER, id, cipher, sizeof(cipher)), 0);
    CU_ASSERT_STRING_EQUAL(cipher, expected);
    world_send_number(a, id, 5);
    world_send_number(b, b->retained, 6);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[5], 1);
    CU_ASSERT_EQUAL(a->seen[6], 1);
    end();
}

static void libraries_understand_one_another(void)
{
    if (!(seal_aead_offer(SEAL_IPSEC_MB) & SEAL_AES_128_GCM)) {
        stk_test_skip("built without ipsec-mb, or not for this machine");
        return;
    }
    expect_cipher(",provider=openssl", ",provider=ipsec-mb", "aes-128-gcm");
    expect_cipher(",provider=ipsec-mb", ",provider=openssl,cipher=aes-256-gcm", "aes-256-gcm");
    expect_cipher(",cipher=aes-256-gcm", ",provider=openssl", "aes-256-gcm");
}

static void without_a_common_cipher_the_peer_says_so(void)
{
    if (!(seal_aead_offer(SEAL_ANY_PROVIDER) & SEAL_AES_128_GCM)) {
        stk_test_skip("this machine has no AES instructions");
        return;
    }
    begin(",cipher=chacha20-poly1305", ",cipher=aes-128-gcm");
    connect_and_say("hello");
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->failed, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(a->error.text, "none of the ciphers"));
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    end();
}

static void a_cipher_that_does_not_exist_is_an_error(void)
{
    struct stk_error error = {0};
    struct world_node *node;

    CU_ASSERT_TRUE_FATAL(world_init(&world, 7));
    stk_seal_set_identity(world.loop, &alice);
    CU_ASSERT_EQUAL(world_open(&world, ",cipher=rot13", true, &node, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "chacha20-poly1305"));
    CU_ASSERT_EQUAL(world_open(&world, ",provider=me", true, &node, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "ipsec-mb"));
    end();
}

static void an_idle_association_keeps_no_expanded_keys(void)
{
    establish();
    CU_ASSERT_TRUE(seal_key_cache_count(&world_seal(b)->keys) > 0);
    world_run(&world, 3 * SECOND);
    CU_ASSERT_EQUAL(seal_key_cache_count(&world_seal(a)->keys), 0);
    CU_ASSERT_EQUAL(seal_key_cache_count(&world_seal(b)->keys), 0);
    world_send_number(a, id, 1);
    world_send_number(b, b->retained, 2);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(b->seen[1], 1);
    CU_ASSERT_EQUAL(a->seen[2], 1);
    CU_ASSERT_EQUAL(seal_key_cache_count(&world_seal(b)->keys), 2);
    end();
}

static void a_second_connection_shares_the_association(void)
{
    uint64_t again;

    establish();
    CU_ASSERT_EQUAL(stk_port_associate(a->port, &b->addr, &again), 0);
    CU_ASSERT_EQUAL(again, id);
    CU_ASSERT_EQUAL(a->ready, 1);
    world_run(&world, 1000);
    CU_ASSERT_EQUAL(a->ready, 2);
    CU_ASSERT_EQUAL(count_logged(SEAL_INITIATION), 1);
    end();
}

static void two_initiations_at_once_become_one_association(void)
{
    char text[256];
    uint64_t other;

    for (int swap = 0; swap < 2; swap++) {
        CU_ASSERT_TRUE_FATAL(world_init(&world, 11));
        snprintf(text, sizeof(text), ",peer=%s", swap ? alice_text : bob_text);
        CU_ASSERT_EQUAL_FATAL(open_as(swap ? &bob : &alice, text, true, &a), 0);
        snprintf(text, sizeof(text), ",peer=%s", swap ? bob_text : alice_text);
        CU_ASSERT_EQUAL_FATAL(open_as(swap ? &alice : &bob, text, true, &b), 0);
        connect_and_say("from a");
        CU_ASSERT_EQUAL(stk_port_associate(b->port, &a->addr, &other), 0);
        CU_ASSERT_EQUAL(world_send(b, other, "from b", 6), 1);
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(a->ready, 1);
        CU_ASSERT_EQUAL(b->ready, 1);
        CU_ASSERT_EQUAL(stats_of(a).associations, 1);
        CU_ASSERT_EQUAL(stats_of(b).associations, 1);
        CU_ASSERT_EQUAL(a->inputs, 1);
        CU_ASSERT_EQUAL(b->inputs, 1);
        CU_ASSERT_EQUAL(memcmp(a->data, "from b", 6), 0);
        CU_ASSERT_EQUAL(memcmp(b->data, "from a", 6), 0);
        CU_ASSERT_EQUAL(b->association, other);
        end();
    }
}

/* --- Errors before anything is sent -------------------------------------------------------- */

static void missing_and_broken_keys_say_what_to_do(void)
{
    struct world_node *node;
    struct stk_error error = {0};

    CU_ASSERT_TRUE_FATAL(world_init(&world, 1));
    CU_ASSERT_EQUAL(world_open(&world, "", true, &node, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "identity=FILE"));
    CU_ASSERT_EQUAL(world_open(&world, "", false, &node, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "peer=KEY"));
    CU_ASSERT_EQUAL(world_open(&world, ",peer=abc", false, &node, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "52"));
    CU_ASSERT_EQUAL(world_open(&world, ",identity=%2Fnowhere%2Fkey", true, &node, &error), -ENOENT);
    stk_seal_set_identity(world.loop, &bob);
    CU_ASSERT_EQUAL(world_open(&world, ",allow=x+y", true, &node, &error), STK_ESYNTAX);
    end();
}

static void a_connecting_side_without_identity_makes_a_passing_one(void)
{
    uint8_t key[32];
    char text[256];

    begin("", "");
    stk_seal_set_identity(world.loop, NULL);
    struct stk_error error = {0};
    struct world_node *guest;
    snprintf(text, sizeof(text), ",peer=%s", bob_text);
    CU_ASSERT_EQUAL_FATAL(world_open(&world, text, false, &guest, &error), 0);
    a = guest;
    connect_and_say("hello");
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->ready, 1);
    CU_ASSERT_EQUAL(stk_port_query(b->port, STK_QUERY_PEER_KEY, b->retained, key, 32), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(key, alice.public_key, 32), 0);
    end();
}

/* --- Room --------------------------------------------------------------------------------------
 */

/* Takes as much room as seal leaves around packets of its own, and writes all over it. */
static int fat_send(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    for (int i = 0; i < count; i++)
        for (unsigned k = 0; k < runs[i].count; k++) {
            memset(stk_run_at(&runs[i], k) - SEAL_MARGIN, 'h', SEAL_MARGIN);
            memset(stk_run_at(&runs[i], k) + stk_run_size(&runs[i], k), 't', SEAL_MARGIN);
        }
    return stk_dgram_send_below(layer, runs, count);
}

static const struct stk_dgram_type fat_dgram = {.name = "fat",
                                                .size = sizeof(struct stk_dgram_layer),
                                                .head = SEAL_MARGIN,
                                                .tail = SEAL_MARGIN,
                                                .send = fat_send};

static const struct stk_layer_type fat_type = {.name = "fat",
                                               .summary = "as much room as there is",
                                               .below = STK_DATAGRAMS,
                                               .above = STK_DATAGRAMS,
                                               .dgram = &fat_dgram};

static void layers_below_get_the_room_they_need_or_are_refused(void)
{
    struct stk_error error = {0};
    struct world_node *node;
    char text[256];

    if (!stk_layer_type_find("fat"))
        stk_layer_type_add(&fat_type);
    begin("", ",load=0"); /* cookies, too */
    snprintf(text, sizeof(text), "/wire/fat/seal,peer=%s", bob_text);
    CU_ASSERT_EQUAL_FATAL(world_open_recipe(&world, text, false, &a, &error), 0);
    connect_and_say("hello");
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(b->inputs, 1);
    snprintf(text, sizeof(text), "/wire/fat/pad/seal,peer=%s", bob_text);
    CU_ASSERT_EQUAL(world_open_recipe(&world, text, false, &node, &error), -ENOTSUP);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "68 bytes before"));
    end();
}

/* --- End ------------------------------------------------------------------------------------- */

static void a_closed_port_tells_its_peer(void)
{
    establish();
    world_close(a);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->failed, 1);
    CU_ASSERT_EQUAL(b->error.code, -ECONNRESET);
    end();
}

static void associations_that_nobody_needs_expire(void)
{
    establish();
    stk_port_release(b->port, b->retained);
    world_run(&world, 70 * (uint64_t)SECOND);
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    CU_ASSERT_EQUAL(a->failed, 1); /* and the other side hears of it */
    stk_port_release(a->port, id);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stats_of(a).associations, 0);
    end();
}

static void a_held_association_lives_through_hours_of_silence(void)
{
    establish();
    world_run(&world, 7200 * (uint64_t)SECOND);
    CU_ASSERT_EQUAL(world_association(a, id)->current, NULL); /* its keys do not */
    CU_ASSERT_EQUAL(world_send_number(a, id, 1), 1);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[1], 1);
    CU_ASSERT_EQUAL(world_send_number(b, b->retained, 2), 1);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->seen[2], 1);
    CU_ASSERT_EQUAL(a->failed + b->failed, 0);
    end();
}

static void an_initiator_that_falls_silent_is_forgotten(void)
{
    begin("", "");
    b->retain = false;
    connect_and_say("hello");
    world_run(&world, WORLD_DELAY_US + 100);
    world_close(a); /* has no session yet: says nothing */
    CU_ASSERT_EQUAL(stats_of(b).associations, 1);
    world_run(&world, 12 * (uint64_t)SECOND);
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    end();
}

static void the_table_of_associations_is_bounded(void)
{
    char text[256];
    struct stk_error error = {0};
    struct world_node *third;

    begin("", ",associations=1");
    connect_and_say("hello");
    world_run(&world, SECOND);
    stk_seal_set_identity(world.loop, &carol);
    snprintf(text, sizeof(text), ",peer=%s", bob_text);
    CU_ASSERT_EQUAL_FATAL(world_open(&world, text, false, &third, &error), 0);
    uint64_t other;
    CU_ASSERT_EQUAL(stk_port_associate(third->port, &b->addr, &other), 0);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(third->failed, 1);
    CU_ASSERT_EQUAL(third->error.code, STK_ELIMIT);
    CU_ASSERT_EQUAL(stats_of(b).associations, 1);
    end();
}

/* --- Memory ------------------------------------------------------------------------------------
 */

static void whole_life(void)
{
    struct stk_error error = {0};
    char text[256];

    if (!world_init(&world, 5))
        return;
    a = b = NULL;
    snprintf(text, sizeof(text), ",peer=%s", bob_text);
    stk_seal_set_identity(world.loop, &bob);
    int code = world_open(&world, "", true, &b, &error);
    if (!code)
        code = world_open(&world, text, false, &a, &error);
    if (!code && !stk_port_associate(a->port, &b->addr, &id)) {
        b->echo = true;
        world_send(a, id, "hello", 5);
        world_run(&world, SECOND);
        world_send(a, id, "again", 5);
        world_run(&world, 200 * (uint64_t)SECOND);
        world_send(a, id, "later", 5);
        world_run(&world, SECOND);
    }
    if (a && b)
        CU_ASSERT_EQUAL(a->told_inside + b->told_inside + a->heard_late + b->heard_late, 0);
    world_free(&world);
}

static void fail_each_allocation(enum fault_repeat repeat)
{
    for (long n = 1; n < 400; n++) {
        fault_heap_install();
        fault_heap_fail(n, repeat);
        whole_life();
        const bool failed = fault_heap_has_failed();
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
        if (!failed)
            return;
    }
    CU_FAIL("the scenario never came to its end");
}

static void every_failing_allocation_is_survived(void) { fail_each_allocation(FAULT_ONCE); }
static void memory_that_is_gone_for_good_is_survived(void)
{
    fail_each_allocation(FAULT_FROM_THEN_ON);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the first datagram travels in the first packet",
         the_first_datagram_travels_in_the_first_packet},
        {"without a datagram the handshake goes on alone",
         without_a_datagram_the_handshake_goes_on_alone},
        {"datagrams go both ways", datagrams_go_both_ways},
        {"runs are sealed whole", runs_are_sealed_whole},
        {"a received run is opened whole but for forgeries",
         a_received_run_is_opened_whole_but_for_forgeries},
        {"what the wire does not take comes back open",
         what_the_wire_does_not_take_comes_back_open},
        {"lost handshake packets are sent again", lost_handshake_packets_are_sent_again},
        {"an initiation is renewed before the peer forgets it",
         an_initiation_is_renewed_before_the_peer_forgets_it},
        {"a lost response is repeated, not made anew", a_lost_response_is_repeated_not_made_anew},
        {"nobody there ends in a useful error", nobody_there_ends_in_a_useful_error},
        {"what the network says is told with the time-out",
         what_the_network_says_is_told_with_the_time_out},
        {"a storm of reports is looked into now and then",
         a_storm_of_reports_is_looked_into_now_and_then},
        {"the wrong key of the listener gets silence", the_wrong_key_of_the_listener_gets_silence},
        {"a key that is not allowed is told so at once",
         a_key_that_is_not_allowed_is_told_so_at_once},
        {"a key that is allowed gets in", a_key_that_is_allowed_gets_in},
        {"a listener that names its peer lets in nobody else",
         a_listener_that_names_its_peer_lets_in_nobody_else},
        {"the peer of a listener and those that it allows get in",
         the_peer_of_a_listener_and_those_that_it_allows_get_in},
        {"both sides know one another", both_sides_know_one_another},
        {"the cipher is one that both sides offer", the_cipher_is_one_that_both_sides_offer},
        {"libraries understand one another", libraries_understand_one_another},
        {"without a common cipher the peer says so", without_a_common_cipher_the_peer_says_so},
        {"a cipher that does not exist is an error", a_cipher_that_does_not_exist_is_an_error},
        {"an idle association keeps no expanded keys", an_idle_association_keeps_no_expanded_keys},
        {"a second connection shares the association", a_second_connection_shares_the_association},
        {"two initiations at once become one association",
         two_initiations_at_once_become_one_association},
        {"missing and broken keys say what to do", missing_and_broken_keys_say_what_to_do},
        {"a connecting side without identity makes a passing one",
         a_connecting_side_without_identity_makes_a_passing_one},
        {"layers below get the room they need, or are refused",
         layers_below_get_the_room_they_need_or_are_refused},
        {"a closed port tells its peer", a_closed_port_tells_its_peer},
        {"associations that nobody needs expire", associations_that_nobody_needs_expire},
        {"a held association lives through hours of silence",
         a_held_association_lives_through_hours_of_silence},
        {"an initiator that falls silent is forgotten",
         an_initiator_that_falls_silent_is_forgotten},
        {"the table of associations is bounded", the_table_of_associations_is_bounded},
        {"every failing allocation is survived", every_failing_allocation_is_survived},
        {"memory that is gone for good is survived", memory_that_is_gone_for_good_is_survived},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    make_keys();
    return stk_test_run("seal link", tests, STK_TEST_LIMIT_S);
}
