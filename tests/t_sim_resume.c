/*
 * Goal: a new association with a known peer over the same way begins fast, one over another way
 * begins as if nothing were known, and a way that has become slow takes no lasting harm.
 * Method: two sealed transfers one after the other across a simulated link, with more than half a
 * minute between them; what the second one has moved after a stretch of virtual time.
 */
#include "harness.h"
#include "seal.h"
#include "transfer.h"

#include <string.h>

enum { MS = 1000, SECOND = 1000 * MS, PAUSE_US = 60 * SECOND, BYTES = 20 * 1000 * 1000 };

static const uint64_t MBIT = 1000000;

static struct {
    struct stk_sim *sim;
    struct stk_sim_link *link;
    struct stk_key_pair keys[2];
    char peer[STK_KEY_TEXT_MAX];
    struct transfer first, second;
} world;

/* Forth and back alike, with room for one round trip. */
static struct stk_sim_wire wire_of(uint64_t rate_bit_s, uint64_t rtt_us)
{
    return (struct stk_sim_wire){.rate_bit_s = rate_bit_s,
                                 .delay_us = rtt_us / 2,
                                 .queue_bytes = rate_bit_s / 8 * rtt_us / SECOND,
                                 .mtu = 1500};
}

static void be_server(uint8_t number)
{
    const uint8_t seed[32] = {number};

    stk_key_pair_from_seed(&world.keys[number], seed);
    stk_seal_set_identity(stk_sim_loop(world.sim), &world.keys[number]);
    stk_key_format(world.keys[number].public_key, world.peer);
}

static void set_up(uint64_t rate_bit_s, uint64_t rtt_us)
{
    const struct stk_sim_wire wire = wire_of(rate_bit_s, rtt_us);
    struct stk_sim_host *client, *server;

    memset(&world, 0, sizeof(world));
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 1}, &world.sim), 0);
    stk_sim_host_add(world.sim, "server", "10.0.0.1", &server);
    stk_sim_host_add(world.sim, "client", "10.0.0.2", &client);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(world.sim, client, server, &wire, NULL, &world.link), 0);
    be_server(0);
}

static void change_link(uint64_t rate_bit_s, uint64_t rtt_us)
{
    const struct stk_sim_wire wire = wire_of(rate_bit_s, rtt_us);

    stk_sim_link_set(world.link, STK_SIM_FORTH, &wire);
    stk_sim_link_set(world.link, STK_SIM_BACK, &wire);
}

static void start(struct transfer *transfer, int port, const char *options, uint64_t bytes)
{
    char listen[128], connect[256];
    struct stk_error error = {0};

    snprintf(listen, sizeof listen, "/ip4/10.0.0.1/simudp/%d/seal/ptcp", port);
    snprintf(connect, sizeof connect, "/ip4/10.0.0.1/simudp/%d,host=client/seal,peer=%s/ptcp,%s",
             port, world.peer, options);
    transfer->client.send_bytes = bytes;
    CU_ASSERT_EQUAL_FATAL(
        transfer_start(transfer, world.sim, listen, connect, (uint64_t)port, &error), 0);
}

static void learn(const char *options)
{
    start(&world.first, 4001, options, BYTES);
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&world.first));
    CU_ASSERT_EQUAL(stk_sim_run_for(world.sim, PAUSE_US), 0);
}

static uint64_t position_after(uint64_t time_us)
{
    CU_ASSERT_EQUAL(stk_sim_run_for(world.sim, time_us), 0);
    return world.second.server.in.position;
}

static void finish(void)
{
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&world.second));
    stk_sim_free(world.sim);
}

struct second {
    const char *options;
    uint64_t rate_bit_s, rtt_us;
    uint8_t server; /* which one it is */
};

/* Where the second transfer stands at `times` ms. */
static void move_twice(const struct second *second, const uint64_t *times_ms, int count,
                       uint64_t *bytes)
{
    uint64_t now_ms = 0;

    set_up(100 * MBIT, 50 * MS);
    learn(second->options);
    change_link(second->rate_bit_s, second->rtt_us);
    be_server(second->server);
    start(&world.second, 4002, second->options, BYTES);
    for (int i = 0; i < count; now_ms = times_ms[i++])
        bytes[i] = position_after((times_ms[i] - now_ms) * MS);
    finish();
}

static uint64_t moved(const char *options, uint64_t rate_bit_s, uint64_t rtt_us, uint64_t time_ms)
{
    uint64_t bytes;

    move_twice(&(struct second){options, rate_bit_s, rtt_us, 0}, &time_ms, 1, &bytes);
    return bytes;
}

static const struct {
    const char *with, *without;
} controllers[] = {
    {"cc=bbr", "cc=bbr,resume=no"},
    {"cc=cubic", "cc=cubic,resume=no"},
    {"cc=reno", "cc=reno,resume=no"},
};

enum { CONTROLLERS = sizeof controllers / sizeof controllers[0] };

static void the_second_transfer_begins_fast(void)
{
    for (int i = 0; i < CONTROLLERS; i++) {
        const uint64_t fast = moved(controllers[i].with, 100 * MBIT, 50 * MS, 400);
        const uint64_t slow = moved(controllers[i].without, 100 * MBIT, 50 * MS, 400);

        printf("\n    8 round trips of 50 ms at 100 Mbit/s, %s: %.2f MB, else %.2f MB",
               controllers[i].with, (double)fast / 1e6, (double)slow / 1e6);
        CU_ASSERT_TRUE(fast >= slow * 5 / 2);
    }
}

/* But for the random packet numbers that are left out. */
static bool is_about(uint64_t a, uint64_t b) { return a * 20 >= b * 19 && b * 20 >= a * 19; }

static void another_rtt_is_another_path(void)
{
    const uint64_t near = moved("cc=bbr,resume=no", 100 * MBIT, 20 * MS, 160);
    const uint64_t far = moved("cc=bbr,resume=no", 100 * MBIT, 120 * MS, 960);

    CU_ASSERT_TRUE(is_about(moved("cc=bbr", 100 * MBIT, 20 * MS, 160), near));
    CU_ASSERT_TRUE(is_about(moved("cc=bbr", 100 * MBIT, 120 * MS, 960), far));
}

static void another_peer_at_that_address_is_another_path(void)
{
    const struct second other = {"cc=bbr", 100 * MBIT, 50 * MS, 1};
    const uint64_t times_ms[] = {400};
    uint64_t bytes;

    move_twice(&other, times_ms, 1, &bytes);
    CU_ASSERT_TRUE(is_about(bytes, moved("cc=bbr,resume=no", 100 * MBIT, 50 * MS, 400)));
}

/* A tenth of the rate: what the jump costs is made up for, or at most a fifth of a second's worth.
 */
static void a_path_that_has_become_slow_takes_no_lasting_harm(void)
{
    const uint64_t times_ms[] = {1000, 2000, 4000};
    uint64_t jumped[3], careful[3];

    for (int i = 0; i < CONTROLLERS; i++) {
        const struct second with = {controllers[i].with, 10 * MBIT, 50 * MS, 0};
        const struct second without = {controllers[i].without, 10 * MBIT, 50 * MS, 0};

        move_twice(&with, times_ms, 3, jumped);
        move_twice(&without, times_ms, 3, careful);
        printf("\n    at 10 Mbit/s after 100, %s: %.2f MB in 1 s, %.2f in 4 s, else %.2f and %.2f",
               controllers[i].with, (double)jumped[0] / 1e6, (double)jumped[2] / 1e6,
               (double)careful[0] / 1e6, (double)careful[2] / 1e6);
        CU_ASSERT_TRUE(jumped[0] + 10 * MBIT / 8 / 5 >= careful[0]);
        CU_ASSERT_TRUE((jumped[2] - jumped[1]) * 100 >= (careful[2] - careful[1]) * 98);
    }
}

static CU_TestInfo tests[] = {
    {"the second transfer begins fast", the_second_transfer_begins_fast},
    {"another RTT is another path", another_rtt_is_another_path},
    {"another peer at that address is another path", another_peer_at_that_address_is_another_path},
    {"a path that has become slow takes no lasting harm",
     a_path_that_has_become_slow_takes_no_lasting_harm},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("sim resume", tests)
