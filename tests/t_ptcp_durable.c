/*
 * Goal: a durable transfer outlives minutes without a path, the loss of the association on either
 * side, and new addresses on both; one that is not durable does not; a peer that has forgotten it
 * says so. Method: sealed PTCP on a simulated network whose link goes dark; seal's state is dropped
 * by hand.
 */
#include "fault.h"
#include "harness.h"
#include "ptcp.h"
#include "ptcp_pair.h"
#include "resolver.h"
#include "seal_state.h"
#include "transfer.h"

#include <string.h>

enum { MS = 1000, SECOND = 1000 * MS, BYTES = 6 * 1000 * 1000, CHANGE_US = 300 * MS };

static const struct stk_sim_wire wire = {
    .rate_bit_s = 50 * 1000 * 1000, .delay_us = 20 * MS, .queue_bytes = 250000, .mtu = 1500};

static struct {
    struct stk_sim *sim;
    struct stk_sim_host *client, *server;
    struct stk_sim_link *link;
    struct stk_key_pair key;
    struct transfer transfer;
} world;

/* --- The world ----------------------------------------------------------------------------------
 */

static const char *server_address;

static void answer(void *context, struct stk_lookup *lookup)
{
    struct stk_addr addr;

    (void)context;
    stk_addr_parse_ip(&addr, server_address, 0);
    if (stk_lookup_family(lookup) == AF_INET)
        stk_lookup_answer(lookup, &addr, 1);
    else
        stk_lookup_fail(lookup, "no such name");
}

static void set_up(uint64_t up, uint64_t down, const char *client_options,
                   const char *server_options)
{
    char key[STK_KEY_TEXT_MAX], listen[256], recipe[256];
    const uint8_t seed[32] = {9};
    struct stk_error error = {0};

    memset(&world, 0, sizeof(world));
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 5}, &world.sim), 0);
    stk_sim_host_add(world.sim, "server", "10.0.0.1", &world.server);
    stk_sim_host_add(world.sim, "client", "10.0.0.2", &world.client);
    stk_sim_link_add(world.sim, world.client, world.server, &wire, NULL, &world.link);
    server_address = "10.0.0.1";
    stk_resolver_set(stk_sim_loop(world.sim), answer, NULL);
    stk_key_pair_from_seed(&world.key, seed);
    stk_seal_set_identity(stk_sim_loop(world.sim), &world.key);
    stk_key_format(world.key.public_key, key);
    world.transfer.client.send_bytes = up;
    world.transfer.server.send_bytes = down;
    snprintf(listen, sizeof(listen), "/ip4/0.0.0.0/simudp/4001,host=server/seal/ptcp%s",
             server_options);
    snprintf(recipe, sizeof(recipe),
             "/dns/peer.example/simudp/4001,host=client/seal,peer=%s/ptcp%s", key, client_options);
    CU_ASSERT_EQUAL_FATAL(transfer_start(&world.transfer, world.sim, listen, recipe, 1, &error), 0);
    stk_sim_run_for(world.sim, CHANGE_US);
    CU_ASSERT_TRUE(world.transfer.client.opened);
}

static void go_dark(bool dark)
{
    struct stk_sim_wire changed = wire;

    changed.loss_ppm = dark ? 1000000 : 0;
    stk_sim_link_set(world.link, STK_SIM_FORTH, &changed);
    stk_sim_link_set(world.link, STK_SIM_BACK, &changed);
}

static void be_dark_for(uint64_t us)
{
    go_dark(true);
    stk_sim_run_for(world.sim, us);
    go_dark(false);
}

static void tear_down(void)
{
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    stk_sim_free(world.sim);
}

static void complete(void)
{
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&world.transfer));
    if (!transfer_is_complete(&world.transfer))
        printf("\n    client: %s, server: %s", world.transfer.client.error.text,
               world.transfer.server.error.text);
    stk_sim_free(world.sim);
}

/* The association of a side is gone at once, without a word to the other. */
static void lose_association(const struct transfer_side *side)
{
    struct stk_association association = {NULL, 0};
    struct stk_error error = {.code = -ETIMEDOUT, .layer = "seal", .text = "lost by the test"};

    CU_ASSERT_EQUAL_FATAL(
        stk_conn_query(side->conn, STK_QUERY_ASSOCIATION, &association, sizeof(association)), 0);
    seal_life_fail(seal_association_by_id(seal_port_under(association.port), association.id),
                   &error);
}

#define DURABLE ",durable=1h"

static const uint64_t up_and_down[2][2] = {{BYTES, 1000}, {1000, BYTES}};

/* --- Darkness ------------------------------------------------------------------------------------
 */

static void a_minute_without_a_path_is_outlived(void)
{
    for (int i = 0; i < 2; i++) {
        set_up(up_and_down[i][0], up_and_down[i][1], DURABLE, DURABLE);
        be_dark_for(60 * (uint64_t)SECOND);
        complete();
    }
}

static void ten_minutes_without_a_path_are_outlived(void)
{
    for (int i = 0; i < 2; i++) {
        set_up(up_and_down[i][0], up_and_down[i][1], DURABLE, DURABLE);
        be_dark_for(600 * (uint64_t)SECOND);
        CU_ASSERT_FALSE(world.transfer.client.closed || world.transfer.server.closed);
        const uint64_t from_us = stk_sim_elapsed_us(world.sim);
        const uint64_t had = world.transfer.server.in.position + world.transfer.client.in.position;
        stk_sim_run_for(world.sim, 8 * SECOND);
        CU_ASSERT_TRUE(world.transfer.server.in.position + world.transfer.client.in.position > had);
        CU_ASSERT_TRUE(stk_sim_elapsed_us(world.sim) > from_us);
        complete();
    }
}

static void it_takes_both_sides_to_be_durable(void)
{
    static const char *const options[3][2] = {{"", ""}, {DURABLE, ""}, {"", DURABLE}};

    for (int i = 0; i < 3; i++) {
        set_up(BYTES, 0, options[i][0], options[i][1]);
        be_dark_for(100 * (uint64_t)SECOND);
        tear_down();
        CU_ASSERT_EQUAL(world.transfer.client.error.code, -ETIMEDOUT);
    }
}

static void the_durable_timeout_ends_it(void)
{
    set_up(BYTES, 0, ",durable=2h", ",durable=90s");
    go_dark(true);
    stk_sim_run_for(world.sim, 85 * (uint64_t)SECOND);
    CU_ASSERT_FALSE(world.transfer.client.closed);
    stk_sim_run_for(world.sim, 10 * SECOND);
    CU_ASSERT_TRUE(world.transfer.client.closed);
    CU_ASSERT_EQUAL(world.transfer.client.error.code, -ETIMEDOUT);
    tear_down();
}

static void plain_connections_can_not_be_durable(void)
{
    struct stk_listener *listener;
    struct stk_error error = {0};
    static const struct stk_protocol nothing;

    set_up(1000, 0, "", "");
    CU_ASSERT_EQUAL(stk_listen(stk_sim_loop(world.sim), "/ip4/10.0.0.1/simudp/4002/ptcp,durable=1h",
                               &nothing, NULL, &listener, &error),
                    STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "needs seal"));
    complete();
}

/* --- The association
 * ------------------------------------------------------------------------------
 */

static void an_association_that_the_listener_lost_is_replaced(void)
{
    for (int i = 0; i < 2; i++) {
        set_up(up_and_down[i][0], up_and_down[i][1], DURABLE, DURABLE);
        lose_association(&world.transfer.server);
        stk_sim_run_for(world.sim, 10 * SECOND);
        complete();
    }
}

static void an_association_that_the_opener_lost_is_replaced(void)
{
    for (int i = 0; i < 2; i++) {
        set_up(up_and_down[i][0], up_and_down[i][1], DURABLE, DURABLE);
        lose_association(&world.transfer.client);
        const uint64_t had = world.transfer.server.in.position + world.transfer.client.in.position;
        stk_sim_run_for(world.sim, SECOND);
        CU_ASSERT_TRUE(world.transfer.server.in.position + world.transfer.client.in.position >
                       had + 100000);
        complete();
    }
}

static void associations_lost_on_both_sides_in_the_dark_are_replaced(void)
{
    set_up(BYTES, BYTES, DURABLE, DURABLE);
    go_dark(true);
    stk_sim_run_for(world.sim, 30 * (uint64_t)SECOND);
    lose_association(&world.transfer.client);
    lose_association(&world.transfer.server);
    stk_sim_run_for(world.sim, 100 * (uint64_t)SECOND);
    go_dark(false);
    complete();
}

static void one_that_is_not_durable_ends_with_its_association(void)
{
    set_up(BYTES, 0, "", "");
    lose_association(&world.transfer.client);
    tear_down();
    CU_ASSERT_TRUE(world.transfer.client.closed);
    CU_ASSERT_EQUAL(world.transfer.client.error.code, -ETIMEDOUT);
}

static void both_addresses_may_change_in_the_dark(void)
{
    for (int i = 0; i < 2; i++) {
        set_up(up_and_down[i][0], up_and_down[i][1], DURABLE, DURABLE);
        go_dark(true);
        stk_sim_run_for(world.sim, 20 * (uint64_t)SECOND);
        stk_sim_host_add_addr(world.client, "10.0.0.22");
        stk_sim_host_remove_addr(world.client, "10.0.0.2");
        stk_sim_host_add_addr(world.server, "10.0.0.11");
        stk_sim_host_remove_addr(world.server, "10.0.0.1");
        server_address = "10.0.0.11";
        stk_sim_run_for(world.sim, 20 * (uint64_t)SECOND);
        go_dark(false);
        complete();
    }
}

static void a_peer_that_has_forgotten_it_says_so(void)
{
    set_up(BYTES, 0, DURABLE, DURABLE);
    go_dark(true);
    stk_conn_abort(world.transfer.server.conn);
    stk_sim_run_for(world.sim, 60 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(world.transfer.server.closed);
    CU_ASSERT_FALSE(world.transfer.client.closed);
    go_dark(false);
    stk_sim_run_for(world.sim, 20 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(world.transfer.client.closed);
    CU_ASSERT_EQUAL(world.transfer.client.error.code, -ECONNRESET);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.transfer.client.error.text, "does not know"));
    tear_down();
}

/* One of the next allocations fails while both sides find each other again: it takes longer, or
 * ends with an error, and leaks nothing. */
static void finding_again_survives_a_failed_allocation(void)
{
    for (long n = 1; n <= 80; n++) {
        fault_heap_install();
        set_up(BYTES / 2, BYTES / 2, DURABLE, DURABLE);
        lose_association(&world.transfer.server);
        lose_association(&world.transfer.client);
        fault_heap_fail(n, FAULT_ONCE);
        CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
        CU_ASSERT_TRUE(fault_heap_has_failed());
        CU_ASSERT_TRUE(transfer_is_complete(&world.transfer) ||
                       world.transfer.client.error.code < 0 ||
                       world.transfer.server.error.code < 0);
        fault_heap_fail(0, FAULT_ONCE);
        stk_sim_free(world.sim);
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
    }
}

/* --- Tokens -------------------------------------------------------------------------------------
 */

enum { SAME_PEER = 8, OTHER_PEER = 9 };

static int key_of(void *context, uint64_t association, uint8_t key[32])
{
    (void)context;
    memset(key, association == OTHER_PEER ? 2 : 1, 32);
    return 0;
}

static struct pair pair;
static struct ptcp_conn *opener, *listener;

static void connect_pair(void)
{
    const struct stk_ptcp_options options = {.durable_us = 3600 * (uint64_t)SECOND};

    pair_init_with(&pair, 3, true,
                   (struct ptcp_endpoint_options){.max_datagram = 1472, .peer_key = key_of});
    ptcp_listen(pair.end[PAIR_B], &options, 0);
    opener = pair_open(&pair, PAIR_A, &options);
    listener = NULL;
    while (!listener && pair_step(&pair, pair.now_us + SECOND))
        listener = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(listener);
    pair_run_for(&pair, SECOND);
}

static unsigned refused; /* packets of B that say so */

static bool count_refusals(struct pair *p, int from, uint8_t *bytes, size_t size, bool probe)
{
    (void)p, (void)size, (void)probe;
    refused += from == PAIR_B && bytes[0] == PTCP_REFUSE;
    return true;
}

static void show(uint64_t association, uint64_t id, uint64_t source, const uint64_t token[2])
{
    uint8_t packet[128];
    struct stk_writer w = stk_writer_of(packet, sizeof(packet));

    ptcp_header_write(
        &w, &(struct ptcp_header){
                .type = PTCP_RESUME, .destination = id, .source = source, .packet = 5000});
    ptcp_token_write(&w, token);
    pair.association = association;
    refused = 0;
    pair.tap = count_refusals;
    pair_inject(&pair, PAIR_B, packet, (size_t)(w.at - packet));
    pair_run_for(&pair, 100 * MS);
}

static void a_token_counts_for_its_connection_and_its_peer_only(void)
{
    connect_pair();
    uint64_t token[2] = {opener->durable->proof.token[0], opener->durable->proof.token[1]};
    const uint64_t id = listener->slot.id, source = opener->slot.id;
    const uint32_t connections = ptcp_connections(pair.end[PAIR_B]);

    show(OTHER_PEER, id, source, token);
    CU_ASSERT_EQUAL(refused, 1);
    show(SAME_PEER, id, source + 1, token);
    CU_ASSERT_EQUAL(refused, 1);
    show(SAME_PEER, id + 1, source, token);
    CU_ASSERT_EQUAL(refused, 1);
    for (int bit = 0; bit < 124; bit++) {
        token[bit / 62] ^= UINT64_C(1) << bit % 62;
        show(SAME_PEER, id, source, token);
        CU_ASSERT_EQUAL(refused, 1);
        token[bit / 62] ^= UINT64_C(1) << bit % 62;
    }
    CU_ASSERT_EQUAL(ptcp_conn_association(listener), 7);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_B]), connections);
    /* What came in a handshake may be a recording. */
    pair.early[PAIR_B] = true;
    show(SAME_PEER, id, source, token);
    pair.early[PAIR_B] = false;
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_EQUAL(ptcp_conn_association(listener), 7);
    show(SAME_PEER, id, source, token);
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_EQUAL(ptcp_conn_association(listener), SAME_PEER);
    /* Nor does one that somebody has held back move it to where it was. */
    CU_ASSERT_EQUAL(ptcp_conn_expected(listener), 5001);
    show(7, id, source, token);
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_EQUAL(ptcp_conn_association(listener), SAME_PEER);
    pair_free(&pair);
}

static void a_refusal_counts_only_for_who_shows_its_token(void)
{
    uint8_t packet[64];
    struct stk_writer w = stk_writer_of(packet, sizeof(packet));

    connect_pair();
    ptcp_header_write(&w,
                      &(struct ptcp_header){.type = PTCP_REFUSE, .destination = opener->slot.id});
    ptcp_value_write(&w, PTCP_FRAME_RESET, PTCP_RESET_UNKNOWN);
    pair_inject(&pair, PAIR_A, packet, (size_t)(w.at - packet));
    CU_ASSERT_EQUAL(opener->state, PTCP_STATE_ESTABLISHED);
    ptcp_association_failed(pair.end[PAIR_A], pair.now_us, 7, -ETIMEDOUT, "lost");
    CU_ASSERT_EQUAL(opener->state, PTCP_STATE_ESTABLISHED);
    CU_ASSERT_TRUE(ptcp_conn_take_events(opener) & PTCP_SEEK);
    ptcp_durable_carry(opener, pair.now_us, SAME_PEER);
    pair.association = SAME_PEER;
    pair_inject(&pair, PAIR_A, packet, (size_t)(w.at - packet));
    CU_ASSERT_EQUAL(opener->state, PTCP_STATE_ESTABLISHED);
    ptcp_association_ready(pair.end[PAIR_A], pair.now_us, SAME_PEER);
    pair_inject(&pair, PAIR_A, packet, (size_t)(w.at - packet));
    CU_ASSERT_EQUAL(opener->state, PTCP_STATE_CLOSED);
    pair_free(&pair);
}

/* --- The end ----------------------------------------------------------------------------------
 */

/* The listener has finished and heard the opener's end; the word that it did is lost, and with it
 * the association. So long later the opener finds it again. */
static void end_in_the_dark_for(uint64_t duration_us, size_t last_bytes)
{
    static uint8_t bytes[100];

    connect_pair();
    ptcp_conn_finish(listener, pair.now_us);
    pair_run_for(&pair, SECOND);
    if (last_bytes > 0)
        ptcp_conn_send(opener, pair.now_us, &(struct iovec){bytes, last_bytes}, 1);
    ptcp_conn_finish(opener, pair.now_us);
    pair.net.cut[PAIR_B] = true;
    pair_run_for(&pair, 100 * MS);
    CU_ASSERT_EQUAL(listener->state, PTCP_STATE_TIME_WAIT);
    CU_ASSERT_EQUAL(opener->state, PTCP_STATE_LAST_ACK);
    pair.net.cut[PAIR_A] = true;
    ptcp_association_failed(pair.end[PAIR_A], pair.now_us, 7, -ETIMEDOUT, "lost");
    pair_run_for(&pair, duration_us);
    CU_ASSERT_TRUE(ptcp_conn_take_events(opener) & PTCP_SEEK);
    ptcp_durable_carry(opener, pair.now_us, SAME_PEER);
    pair.association = SAME_PEER;
    pair.net.cut[PAIR_A] = pair.net.cut[PAIR_B] = false;
    ptcp_association_ready(pair.end[PAIR_A], pair.now_us, SAME_PEER);
    pair_run_for(&pair, SECOND);
}

static void a_last_word_that_was_lost_is_said_over_another_association(void)
{
    for (size_t bytes = 0; bytes <= 100; bytes += 100) {
        end_in_the_dark_for(10 * SECOND, bytes);
        CU_ASSERT_EQUAL(opener->error, 0);
        CU_ASSERT_TRUE(ptcp_conn_take_events(opener) & PTCP_TX_DONE);
        pair_free(&pair);
    }
}

static void who_only_lacks_the_word_that_its_end_came_ends_in_order(void)
{
    end_in_the_dark_for(60 * (uint64_t)SECOND, 0);
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_B]), 0);
    CU_ASSERT_EQUAL(opener->error, 0);
    CU_ASSERT_TRUE(ptcp_conn_take_events(opener) & PTCP_TX_DONE);
    pair_free(&pair);
    end_in_the_dark_for(60 * (uint64_t)SECOND, 100); /* nobody knows whether those arrived */
    CU_ASSERT_EQUAL(opener->error, -ECONNRESET);
    pair_free(&pair);
}

static void a_sibling_of_one_that_seeks_is_refused_at_once(void)
{
    static const struct stk_protocol nothing;
    struct stk_error error = {0};
    struct stk_conn *second;

    set_up(BYTES, 0, DURABLE, DURABLE);
    lose_association(&world.transfer.client);
    CU_ASSERT_EQUAL(
        stk_conn_open_sibling(world.transfer.client.conn, &nothing, NULL, &second, &error),
        -ENOTCONN);
    complete();
}

static void the_same_association_with_new_keys_keeps_its_path(void)
{
    connect_pair();
    struct ptcp_path *path = opener->path;
    path->rtt.sampled = false; /* as after a move */
    ptcp_durable_doubt(opener, pair.now_us);
    CU_ASSERT_TRUE(ptcp_conn_take_events(opener) & PTCP_SEEK);
    ptcp_durable_carry(opener, pair.now_us, 7);
    CU_ASSERT_PTR_EQUAL(opener->path, path);
    CU_ASSERT_EQUAL(path->users, 1);
    ptcp_association_ready(pair.end[PAIR_A], pair.now_us, 7);
    pair_run_for(&pair, SECOND);
    CU_ASSERT_EQUAL(opener->durable->seek, PTCP_SEEK_NOT);
    CU_ASSERT_EQUAL(opener->state, PTCP_STATE_ESTABLISHED);
    pair_free(&pair);
}

static void suspended_connections_are_bounded(void)
{
    connect_pair();
    pair.end[PAIR_B]->suspended = PTCP_SUSPENDED_MAX;
    ptcp_association_failed(pair.end[PAIR_B], pair.now_us, 7, -ETIMEDOUT, "lost");
    CU_ASSERT_EQUAL(listener->state, PTCP_STATE_CLOSED);
    pair.end[PAIR_B]->suspended = 0;
    pair_free(&pair);
}

static CU_TestInfo tests[] = {
    {"a minute without a path is outlived", a_minute_without_a_path_is_outlived},
    {"ten minutes without a path are outlived", ten_minutes_without_a_path_are_outlived},
    {"it takes both sides to be durable", it_takes_both_sides_to_be_durable},
    {"the durable time-out ends it", the_durable_timeout_ends_it},
    {"plain connections can not be durable", plain_connections_can_not_be_durable},
    {"an association that the listener lost is replaced",
     an_association_that_the_listener_lost_is_replaced},
    {"an association that the opener lost is replaced",
     an_association_that_the_opener_lost_is_replaced},
    {"associations lost on both sides in the dark are replaced",
     associations_lost_on_both_sides_in_the_dark_are_replaced},
    {"one that is not durable ends with its association",
     one_that_is_not_durable_ends_with_its_association},
    {"both addresses may change in the dark", both_addresses_may_change_in_the_dark},
    {"a peer that has forgotten it says so", a_peer_that_has_forgotten_it_says_so},
    {"finding again survives a failed allocation", finding_again_survives_a_failed_allocation},
    {"a token counts for its connection and its peer only",
     a_token_counts_for_its_connection_and_its_peer_only},
    {"a refusal counts only for who shows its token",
     a_refusal_counts_only_for_who_shows_its_token},
    {"the same association with new keys keeps its path",
     the_same_association_with_new_keys_keeps_its_path},
    {"suspended connections are bounded", suspended_connections_are_bounded},
    {"a last word that was lost is said over another association",
     a_last_word_that_was_lost_is_said_over_another_association},
    {"who only lacks the word that its end came ends in order",
     who_only_lacks_the_word_that_its_end_came_ends_in_order},
    {"a sibling of one that seeks is refused at once",
     a_sibling_of_one_that_seeks_is_refused_at_once},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp durable", tests)
