/*
 * Goal: real stacks on a simulated network move megabytes under every impairment, notice a dead
 * link at the configured time, sit out a blackout and follow a peer that moves. Method: two
 * endpoints on one link, every byte checked by its position.
 */
#include "harness.h"
#include "seal.h"
#include "transfer.h"

enum { MS = 1000, SECOND = 1000 * MS, MEGABYTES = 2000000, RUN_COUNT = 2 };

struct net {
    struct stk_sim *sim;
    struct stk_sim_host *client, *server;
    struct stk_sim_link *link;
    struct stk_key_pair key;
    struct transfer transfer;
};

static void open_net(struct net *net, uint64_t seed, const struct stk_sim_wire *wire)
{
    const uint8_t key_seed[32] = {7};

    memset(net, 0, sizeof *net);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = seed}, &net->sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(net->sim, "server", "10.0.0.1", &net->server), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(net->sim, "client", "10.0.0.2", &net->client), 0);
    CU_ASSERT_EQUAL_FATAL(
        stk_sim_link_add(net->sim, net->client, net->server, wire, NULL, &net->link), 0);
    stk_key_pair_from_seed(&net->key, key_seed);
    stk_seal_set_identity(stk_sim_loop(net->sim), &net->key);
}

/* `options` go to ptcp: ",user-timeout=5s". */
static void start(struct net *net, bool sealed, const char *options)
{
    char key[STK_KEY_TEXT_MAX], listen[256], connect[256];
    struct stk_error error = {0};

    stk_key_format(net->key.public_key, key);
    snprintf(listen, sizeof listen, "/ip4/10.0.0.1/simudp/4001%s/ptcp%s", sealed ? "/seal" : "",
             options);
    snprintf(connect, sizeof connect, "/ip4/10.0.0.1/simudp/4001%s%s/ptcp%s",
             sealed ? "/seal,peer=" : "", sealed ? key : "", options);
    net->transfer.client.close_within_us = net->transfer.server.close_within_us = 600 * SECOND;
    CU_ASSERT_EQUAL_FATAL(transfer_start(&net->transfer, net->sim, listen, connect, 1, &error), 0);
}

static void close_net(struct net *net)
{
    CU_ASSERT_EQUAL(stk_sim_run(net->sim), 0);
    CU_ASSERT_TRUE(net->transfer.client.closed);
    CU_ASSERT_FALSE(net->transfer.client.in.wrong || net->transfer.server.in.wrong);
    stk_sim_free(net->sim);
}

/* --- Impairments ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    struct stk_sim_wire wire;
} impairments[] = {
    {"none", {.delay_us = 5000}},
    {"a narrow queue", {.rate_bit_s = 20000000, .delay_us = 20000, .queue_packets = 8}},
    {"loss", {.rate_bit_s = 50000000, .delay_us = 5000, .loss_ppm = 30000}},
    {"bursts",
     {.delay_us = 5000, .to_bad_ppm = 5000, .to_good_ppm = 100000, .bad_loss_ppm = 1000000}},
    {"a loss mask", {.delay_us = 5000, .loss_mask = UINT64_C(0x0000000180000001)}},
    {"jitter", {.rate_bit_s = 50000000, .delay_us = 10000, .jitter_us = 10000}},
    {"overtaking",
     {.rate_bit_s = 50000000, .delay_us = 10000, .jitter_us = 3000, .overtaking = true}},
    {"reordering",
     {.rate_bit_s = 50000000, .delay_us = 10000, .reorder_ppm = 50000, .reorder_us = 20000}},
    {"duplication",
     {.rate_bit_s = 50000000, .delay_us = 5000, .duplicate_ppm = 100000, .duplicate_us = 300000}},
    {"corruption", {.delay_us = 5000, .corrupt_ppm = 20000, .corrupt_bits = 8}},
    {"a small MTU", {.rate_bit_s = 50000000, .delay_us = 5000, .mtu = 576}},
    {"a large MTU", {.rate_bit_s = 50000000, .delay_us = 5000, .mtu = 9000}},
    {"ECN marks", {.rate_bit_s = 20000000, .delay_us = 20000, .mark_bytes = 20000}},
    {"blackouts",
     {.rate_bit_s = 50000000,
      .delay_us = 5000,
      .dark_from_us = 100000,
      .dark_for_us = 400000,
      .dark_every_us = 3000000}},
};

static uint64_t move_megabytes(const struct stk_sim_wire *wire, bool sealed)
{
    struct net net;
    uint64_t hash;

    open_net(&net, 1, wire);
    net.transfer.client.send_bytes = net.transfer.server.send_bytes = MEGABYTES;
    start(&net, sealed, "");
    CU_ASSERT_EQUAL(stk_sim_run(net.sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&net.transfer));
    hash = stk_sim_hash(net.sim);
    close_net(&net);
    return hash;
}

static void megabytes_survive_every_impairment(void)
{
    for (unsigned i = 0; i < sizeof impairments / sizeof impairments[0]; i++) {
        const unsigned before = CU_get_number_of_failures();

        move_megabytes(&impairments[i].wire, false);
        move_megabytes(&impairments[i].wire, true);
        if (CU_get_number_of_failures() > before)
            printf("\n    with %s", impairments[i].name);
    }
}

static void the_same_seed_gives_the_same_trace(void)
{
    const struct stk_sim_wire *loss = &impairments[2].wire;

    CU_ASSERT_EQUAL(move_megabytes(loss, false), move_megabytes(loss, false));
    CU_ASSERT_EQUAL(move_megabytes(loss, true), move_megabytes(loss, true));
}

/* --- Dead links ------------------------------------------------------------------------------- */

static const struct stk_sim_wire good = {.rate_bit_s = 10000000, .delay_us = 10000};

static void darken(struct net *net)
{
    struct stk_sim_wire dark = good;

    dark.dark_for_us = UINT64_MAX / 2;
    stk_sim_link_set(net->link, STK_SIM_FORTH, &dark);
    stk_sim_link_set(net->link, STK_SIM_BACK, &dark);
}

static void a_dead_host_is_an_error_at_the_connect_time_out(void)
{
    for (int sealed = 0; sealed < RUN_COUNT; sealed++) {
        struct net net;

        open_net(&net, 1, &good);
        darken(&net);
        start(&net, sealed, ",connect-timeout=7s");
        CU_ASSERT_EQUAL(stk_sim_run(net.sim), 0);
        CU_ASSERT_EQUAL(net.transfer.client.error.code, -ETIMEDOUT);
        CU_ASSERT_DOUBLE_EQUAL((double)net.transfer.client.closed_us, 7e6, 1e5);
        CU_ASSERT_EQUAL(net.transfer.accepted, 0);
        close_net(&net);
    }
}

static void a_link_that_dies_is_an_error_at_the_user_time_out(void)
{
    for (int sealed = 0; sealed < RUN_COUNT; sealed++) {
        struct net net;

        open_net(&net, 1, &good);
        net.transfer.client.send_bytes = UINT64_C(1) << 30;
        start(&net, sealed, ",user-timeout=5s,keepalive=2s");
        CU_ASSERT_EQUAL(stk_sim_run_for(net.sim, 2 * SECOND), 0);
        darken(&net);
        CU_ASSERT_EQUAL(stk_sim_run(net.sim), 0);
        CU_ASSERT_EQUAL(net.transfer.client.error.code, -ETIMEDOUT);
        CU_ASSERT_DOUBLE_EQUAL((double)net.transfer.client.closed_us, 7e6, 1e5);
        /* The receiver has little to send: its last window update may have been answered, then
         * it asks after 2 s of silence. */
        CU_ASSERT_EQUAL(net.transfer.server.error.code, -ETIMEDOUT);
        CU_ASSERT_TRUE(net.transfer.server.closed_us > 6 * SECOND);
        CU_ASSERT_TRUE(net.transfer.server.closed_us < 9.1 * SECOND);
        close_net(&net);
    }
}

static void twenty_seconds_of_darkness_are_survived(void)
{
    for (int sealed = 0; sealed < RUN_COUNT; sealed++) {
        struct net net;

        open_net(&net, 1, &good);
        net.transfer.client.send_bytes = net.transfer.server.send_bytes = MEGABYTES;
        start(&net, sealed, "");
        stk_sim_run_for(net.sim, SECOND);
        darken(&net);
        stk_sim_run_for(net.sim, 20 * SECOND);
        stk_sim_link_set(net.link, STK_SIM_FORTH, &good);
        stk_sim_link_set(net.link, STK_SIM_BACK, &good);
        CU_ASSERT_EQUAL(stk_sim_run(net.sim), 0);
        CU_ASSERT_TRUE(transfer_is_complete(&net.transfer));
        close_net(&net);
    }
}

/* --- Moving ----------------------------------------------------------------------------------- */

static void a_sealed_peer_may_change_its_address(void)
{
    struct net net;

    open_net(&net, 1, &good);
    net.transfer.client.send_bytes = net.transfer.server.send_bytes = MEGABYTES;
    start(&net, true, "");
    CU_ASSERT_EQUAL(stk_sim_run_for(net.sim, SECOND), 0);
    CU_ASSERT_TRUE(net.transfer.server.in.position < MEGABYTES);
    CU_ASSERT_EQUAL(stk_sim_host_remove_addr(net.client, "10.0.0.2"), 0);
    CU_ASSERT_EQUAL(stk_sim_host_add_addr(net.client, "10.0.0.3"), 0);
    CU_ASSERT_EQUAL(stk_sim_run(net.sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&net.transfer));
    CU_ASSERT_TRUE(net.transfer.client.closed_us < 20 * SECOND);
    close_net(&net);
}

static CU_TestInfo tests[] = {
    {"megabytes survive every impairment", megabytes_survive_every_impairment},
    {"the same seed gives the same trace", the_same_seed_gives_the_same_trace},
    {"a dead host is an error at the connect time-out",
     a_dead_host_is_an_error_at_the_connect_time_out},
    {"a link that dies is an error at the user time-out",
     a_link_that_dies_is_an_error_at_the_user_time_out},
    {"twenty seconds of darkness are survived", twenty_seconds_of_darkness_are_survived},
    {"a sealed peer may change its address", a_sealed_peer_may_change_its_address},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN_WITHIN("sim stream", tests, 0)
