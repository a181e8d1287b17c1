/*
 * Goal: a transfer goes on when the address of a side changes in its middle: a NAT that forgets, a
 * host that changes its network, a second path that is offered or takes over. No byte is lost, and
 * the bytes flow again within two round trips and one probe time-out.
 * Method: sealed PTCP on a simulated network with a NAT between the hosts; arrivals are measured in
 * virtual time.
 */
#include "harness.h"
#include "ptcp.h"
#include "seal.h"
#include "transfer.h"

#include <string.h>

enum {
    MS = 1000,
    SECOND = 1000 * MS,
    DELAY_US = 25 * MS,
    RTT_US = 2 * DELAY_US,
    CHANGE_US = 1 * SECOND,
    BYTES = 20 * 1000 * 1000,
    SAMPLE_US = 1 * MS,
    SAMPLES = 4000,
    MAPPINGS = 2,
    PHASES = 12, /* moments at which the same happens */
    PHASE_US = 37 * MS,
};

/* 50 Mbit/s with room for one round trip. */
static const struct stk_sim_wire wire = {
    .rate_bit_s = 50 * 1000 * 1000, .delay_us = DELAY_US / 2, .queue_bytes = 312500, .mtu = 1500};

static struct {
    struct stk_sim *sim;
    struct stk_sim_host *client, *nat, *server;
    struct stk_sim_link *inner, *outer;
    struct stk_key_pair key;
    struct transfer transfer;
    struct stk_addr inside[MAPPINGS], outside[MAPPINGS]; /* the client's, what the server sees */
    bool dark[MAPPINGS];
    uint64_t change_us;
    struct stk_timer sampler;
    uint64_t samples[SAMPLES]; /* bytes that the receiver has, each millisecond */
    int count;
} world;

/* --- The NAT: a mapping for each of the client's sockets, which a test may replace --------------
 */

static int mapping_of(const struct stk_addr *inside)
{
    const uint16_t port = stk_addr_port(inside);

    for (int i = 0; i < MAPPINGS; i++)
        if (world.inside[i].len == 0 || stk_addr_port(&world.inside[i]) == port)
            return i;
    return -1;
}

static enum stk_sim_verdict translate(void *user, struct stk_sim_host *host,
                                      struct stk_sim_packet *packet)
{
    struct stk_addr server;

    (void)user;
    (void)host;
    stk_addr_parse(&server, "10.0.0.1:4001");
    if (stk_addr_equal(&packet->to, &server)) {
        const int i = mapping_of(&packet->from);
        if (i < 0 || world.dark[i])
            return STK_SIM_DROP;
        world.inside[i] = packet->from;
        packet->from = world.outside[i];
        return STK_SIM_PASS;
    }
    for (int i = 0; i < MAPPINGS; i++) {
        if (!stk_addr_equal(&packet->to, &world.outside[i]))
            continue;
        packet->to = world.inside[i];
        return world.dark[i] ? STK_SIM_DROP : STK_SIM_PASS;
    }
    return STK_SIM_DROP;
}

/* --- The world ----------------------------------------------------------------------------------
 */

static struct transfer_side *receiver(void)
{
    return world.transfer.server.send_bytes ? &world.transfer.client : &world.transfer.server;
}

static void sample(struct stk_timer *timer)
{
    if (world.count == SAMPLES || receiver()->closed)
        return;
    world.samples[world.count++] = receiver()->in.position;
    stk_timer_in(timer, SAMPLE_US);
}

static void set_up_with(const char *options, uint64_t up, uint64_t down)
{
    char key[STK_KEY_TEXT_MAX], listen[128], recipe[256];
    const uint8_t seed[32] = {7};
    struct stk_error error = {0};

    memset(&world, 0, sizeof(world));
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 3}, &world.sim), 0);
    stk_sim_host_add(world.sim, "server", "10.0.0.1", &world.server);
    stk_sim_host_add(world.sim, "nat", "10.0.0.3", &world.nat);
    stk_sim_host_add_addr(world.nat, "10.0.0.4");
    stk_sim_host_add(world.sim, "client", "192.168.0.2", &world.client);
    stk_sim_link_add(world.sim, world.client, world.nat, &wire, NULL, &world.inner);
    stk_sim_link_add(world.sim, world.nat, world.server, &wire, NULL, &world.outer);
    stk_sim_host_set_hook(world.nat, translate, NULL);
    stk_addr_parse(&world.outside[0], "10.0.0.3:5000");
    stk_addr_parse(&world.outside[1], "10.0.0.4:5001");
    world.change_us = CHANGE_US;
    stk_key_pair_from_seed(&world.key, seed);
    stk_seal_set_identity(stk_sim_loop(world.sim), &world.key);
    world.transfer.client.send_bytes = up;
    world.transfer.server.send_bytes = down;
    stk_key_format(world.key.public_key, key);
    snprintf(listen, sizeof(listen), "/ip4/10.0.0.1/simudp/4001/seal/ptcp%s", options);
    snprintf(recipe, sizeof(recipe), "/ip4/10.0.0.1/simudp/4001,host=client/seal,peer=%s/ptcp%s",
             key, options);
    CU_ASSERT_EQUAL_FATAL(transfer_start(&world.transfer, world.sim, listen, recipe, 1, &error), 0);
    stk_timer_init(&world.sampler, stk_sim_loop(world.sim), sample);
    stk_timer_in(&world.sampler, SAMPLE_US);
}

static void set_up(uint64_t up, uint64_t down) { set_up_with("", up, down); }

static void tear_down(void)
{
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&world.transfer));
    stk_timer_stop(&world.sampler);
    stk_sim_free(world.sim);
}

static uint64_t between(uint64_t from_us, uint64_t to_us)
{
    return world.samples[to_us / SAMPLE_US - 1] - world.samples[from_us / SAMPLE_US - 1];
}

/*
 * How long after the change the bytes flow again, once they have stopped: until the round trip in
 * which so many hundredths of what the link carries come.
 */
static uint64_t back_after_us(unsigned share)
{
    const uint64_t full = wire.rate_bit_s / 8 * RTT_US / SECOND;
    uint64_t at_us = world.change_us;

    /* What was under way still comes. */
    while (between(at_us, at_us + 5 * MS) > 0)
        at_us += MS;
    while (at_us < world.change_us + SECOND - RTT_US && between(at_us, at_us + MS) == 0)
        at_us += MS;
    while (at_us < world.change_us + SECOND - RTT_US &&
           between(at_us, at_us + RTT_US) * 100 < full * share)
        at_us += MS;
    return at_us - world.change_us;
}

/* Of the sender, whose packets wait in the queue of the link. */
static uint64_t round_trip_us(void)
{
    struct stk_stats stats = {0};
    const struct transfer *t = &world.transfer;

    stk_conn_query(receiver() == &t->client ? t->server.conn : t->client.conn, STK_QUERY_STATS,
                   &stats, sizeof(stats));
    return stats.rtt_us;
}

/* Two round trips, and a probe time-out as the receiver computes it. */
static uint64_t bar_us(void)
{
    struct stk_stats stats = {0};

    stk_conn_query(receiver()->conn, STK_QUERY_STATS, &stats, sizeof(stats));
    return 2 * round_trip_us() + stats.rtt_us + 4 * stats.rtt_variance_us + 25 * MS;
}

static void expect_back(unsigned share, uint64_t within_us)
{
    const uint64_t after_us = back_after_us(share);

    printf("%s%d of %d ms", after_us == 0 ? "" : " ", (int)(after_us / MS), (int)(within_us / MS));
    CU_ASSERT_TRUE(after_us > 0 && after_us <= within_us);
}

static void run_to_change(void) { stk_sim_run_for(world.sim, world.change_us); }

/* --- NAT rebinding -------------------------------------------------------------------------------
 */

static void forget_mapping(const char *outside)
{
    CU_ASSERT_EQUAL(stk_addr_parse(&world.outside[0], outside), 0);
}

/* The share of the rate, in per cent, is back within the bar. */
static void change_outside_in_transfer(const char *outside, unsigned share)
{
    run_to_change();
    const uint64_t within_us = bar_us();
    forget_mapping(outside);
    stk_sim_run_for(world.sim, SECOND);
    expect_back(share, within_us);
    tear_down();
}

static void a_nat_that_forgets_a_sender_stops_it_for_less_than_a_round_trip(void)
{
    set_up(BYTES, 0);
    change_outside_in_transfer("10.0.0.3:6000", 90);
}

static void a_nat_that_forgets_a_receiver_stops_it_for_two_round_trips(void)
{
    set_up(0, BYTES);
    change_outside_in_transfer("10.0.0.3:6000", 90);
}

/*
 * The ACKs that were still due get lost with the mapping, so the client has said all that it had to
 * say. At some of these moments a grant of more room is on its way and is repeated; at others only
 * the silence itself makes it speak.
 */
static void a_receiver_that_had_acknowledged_all_speaks_after_half_a_round_trip(void)
{
    struct stk_sim_wire silent = wire;

    silent.loss_ppm = 1000000;
    for (unsigned phase = 0; phase < PHASES; phase++) {
        set_up(0, BYTES);
        world.change_us = CHANGE_US + phase * PHASE_US;
        run_to_change();
        const uint64_t within_us = bar_us();
        stk_sim_link_set(world.inner, STK_SIM_FORTH, &silent);
        stk_sim_run_for(world.sim, DELAY_US / 2);
        forget_mapping("10.0.0.3:6000");
        stk_sim_run_for(world.sim, DELAY_US + 15 * MS);
        stk_sim_link_set(world.inner, STK_SIM_FORTH, &wire);
        stk_sim_run_for(world.sim, SECOND);
        world.change_us += DELAY_US; /* the last bytes are through: from then on it is silent */
        expect_back(90, within_us);
        tear_down();
    }
}

/* --- Another address ----------------------------------------------------------------------------
 */

static void another_address_of_a_sender_starts_anew_and_goes_on(void)
{
    set_up(BYTES, 0);
    change_outside_in_transfer("10.0.0.4:6000", 90);
}

static void another_address_of_a_receiver_starts_anew_and_goes_on(void)
{
    for (unsigned phase = 0; phase < PHASES; phase++) {
        set_up(0, BYTES);
        world.change_us = CHANGE_US + phase * PHASE_US;
        change_outside_in_transfer("10.0.0.4:6000", 90);
    }
}

/* At some of these moments an ACK that is under way gets through, and the challenge that it causes
 * comes to where the host is not any more. */
static void host_changes_network(uint64_t up, uint64_t down)
{
    for (unsigned phase = 0; phase < PHASES; phase++) {
        set_up(up, down);
        world.change_us = CHANGE_US + phase * PHASE_US;
        run_to_change();
        const uint64_t within_us = bar_us();
        stk_sim_host_add_addr(world.client, "192.168.0.9");
        stk_sim_host_remove_addr(world.client, "192.168.0.2");
        forget_mapping("10.0.0.4:6000");
        stk_sim_run_for(world.sim, SECOND);
        expect_back(90, within_us);
        tear_down();
    }
}

/* What the receiver has got in the seconds after the change to a path of that rate and RTT. */
static void move_to(const char *options, uint64_t rate_bit_s, uint64_t delay_us, uint64_t bytes[2])
{
    const struct stk_sim_wire other = {.rate_bit_s = rate_bit_s,
                                       .delay_us = delay_us,
                                       .queue_bytes = rate_bit_s / 8 * RTT_US / SECOND,
                                       .mtu = 1500};

    set_up_with(options, 0, BYTES);
    run_to_change();
    stk_sim_link_set(world.outer, STK_SIM_FORTH, &other);
    stk_sim_link_set(world.outer, STK_SIM_BACK, &other);
    forget_mapping("10.0.0.4:6000");
    stk_sim_run_for(world.sim, 3 * SECOND);
    bytes[0] = between(CHANGE_US, CHANGE_US + SECOND);
    bytes[1] = between(CHANGE_US + SECOND, CHANGE_US + 3 * SECOND);
    tear_down();
}

static const struct {
    const char *with, *without;
} controllers[] = {
    {",cc=bbr", ",cc=bbr,resume=no"},
    {",cc=cubic", ",cc=cubic,resume=no"},
    {",cc=reno", ",cc=reno,resume=no"},
};

/* A tenth of the rate: what the jump costs is at most a fifth of a second's worth. */
static void a_new_path_that_is_slower_takes_no_lasting_harm(void)
{
    for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
        const uint64_t rate_bit_s = wire.rate_bit_s / 10;
        uint64_t jumped[2], fresh[2];

        move_to(controllers[i].with, rate_bit_s, wire.delay_us, jumped);
        move_to(controllers[i].without, rate_bit_s, wire.delay_us, fresh);
        printf("\n    %s: %d and %d kB, else %d and %d", controllers[i].with,
               (int)(jumped[0] / 1000), (int)(jumped[1] / 1000), (int)(fresh[0] / 1000),
               (int)(fresh[1] / 1000));
        CU_ASSERT_TRUE(jumped[0] + rate_bit_s / 8 / 5 >= fresh[0]);
        CU_ASSERT_TRUE(jumped[1] * 100 >= fresh[1] * 95);
    }
}

/* What it has sent before it knows of its new address tells of the new path. */
static void a_sending_host_that_moves_to_a_slower_path_keeps_that_full(void)
{
    for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
        const struct stk_sim_wire slow = {.rate_bit_s = wire.rate_bit_s / 10,
                                          .delay_us = wire.delay_us,
                                          .queue_bytes = wire.queue_bytes / 10,
                                          .mtu = 1500};

        set_up_with(controllers[i].with, BYTES, 0);
        run_to_change();
        stk_sim_link_set(world.outer, STK_SIM_FORTH, &slow);
        stk_sim_link_set(world.outer, STK_SIM_BACK, &slow);
        stk_sim_host_add_addr(world.client, "192.168.0.9");
        stk_sim_host_remove_addr(world.client, "192.168.0.2");
        forget_mapping("10.0.0.4:6000");
        stk_sim_run_for(world.sim, 3 * SECOND);
        const uint64_t bytes = between(CHANGE_US + SECOND, CHANGE_US + 3 * SECOND);
        const uint64_t full = 2 * slow.rate_bit_s / 8;
        printf(" %d%%", (int)(bytes * 100 / full));
        CU_ASSERT_TRUE(bytes * 100 >= full * 80);
        tear_down();
    }
}

/* And begins as if nothing were known, but for the random packet numbers that are left out. */
static void a_new_path_with_another_rtt_is_nothing_like_the_old_one(void)
{
    for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
        const uint64_t delay_us = 4 * RTT_US;
        uint64_t jumped[2], fresh[2];

        move_to(controllers[i].with, wire.rate_bit_s, delay_us, jumped);
        move_to(controllers[i].without, wire.rate_bit_s, delay_us, fresh);
        CU_ASSERT_TRUE(jumped[1] * 20 >= fresh[1] * 19 && fresh[1] * 20 >= jumped[1] * 19);
    }
}

static void the_host_itself_changes_its_network(void) { host_changes_network(0, BYTES); }
static void a_sending_host_changes_its_network(void) { host_changes_network(BYTES, 0); }

/* --- A second path ------------------------------------------------------------------------------
 */

static struct {
    struct stk_association association;
    struct stk_port *socket;
    uint32_t path;
    int validated, used, failed;
    bool switches;
} second;

static void on_path(void *user, uint64_t association, const struct stk_seal_path *path,
                    enum stk_seal_path_event event)
{
    (void)user;
    second.validated += event == STK_SEAL_PATH_VALIDATED;
    second.failed += event == STK_SEAL_PATH_FAILED;
    second.used += event == STK_SEAL_PATH_IN_USE;
    if (event == STK_SEAL_PATH_VALIDATED && second.switches && path->id == second.path)
        CU_ASSERT_EQUAL(stk_seal_use_path(second.association.port, association, path->id), 0);
}

/* Another socket of the client's, and so another mapping, to the same server. */
static void offer_second_path(bool switches)
{
    struct stk_recipe *recipe = NULL;
    struct stk_error error = {0};
    struct stk_addr server;
    uint8_t number = 0;

    memset(&second, 0, sizeof(second));
    second.switches = switches;
    CU_ASSERT_EQUAL_FATAL(stk_conn_query(world.transfer.client.conn, STK_QUERY_ASSOCIATION,
                                         &second.association, sizeof(second.association)),
                          0);
    CU_ASSERT_EQUAL(stk_seal_watch_paths(second.association.port, on_path, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(
        stk_recipe_parse("/ip4/10.0.0.1/simudp/4001,host=client", &recipe, &error), 0);
    CU_ASSERT_EQUAL_FATAL(
        stk_port_open(stk_sim_loop(world.sim), recipe, false, &second.socket, &error), 0);
    stk_recipe_unref(recipe);
    CU_ASSERT_EQUAL(stk_seal_add_transport(second.association.port, second.socket, &number), 0);
    stk_port_unref(second.socket);
    stk_addr_parse(&server, "10.0.0.1:4001");
    const struct stk_seal_offer offer = {.transport = number, .peer = &server};
    CU_ASSERT_EQUAL(
        stk_seal_offer_path(second.association.port, second.association.id, &offer, &second.path),
        0);
}

static uint64_t longest_silence_us(uint64_t until_us)
{
    uint64_t longest_us = 0, from_us = world.change_us;

    for (uint64_t at_us = world.change_us; at_us < until_us; at_us += MS) {
        if (between(at_us, at_us + MS) > 0)
            from_us = at_us;
        else if (at_us - from_us > longest_us)
            longest_us = at_us - from_us;
    }
    return longest_us;
}

static void a_path_from_above_takes_over_before_the_old_one_is_left(void)
{
    for (int down = 0; down < 2; down++) {
        set_up(down ? 0 : BYTES, down ? BYTES : 0);
        run_to_change();
        const uint64_t most_us = round_trip_us() + 5 * MS; /* bytes are sampled, and ACKs delayed */
        offer_second_path(true);
        stk_sim_run_for(world.sim, SECOND);
        CU_ASSERT_EQUAL(second.used, 1);
        /* What was under way arrives; then there is the initial window, and half of the rate. */
        const uint64_t silent_us = longest_silence_us(CHANGE_US + 6 * RTT_US);
        printf(" %d of %d ms", (int)(silent_us / MS), (int)(most_us / MS));
        CU_ASSERT_TRUE(silent_us <= most_us);
        world.dark[0] = true; /* and nothing needs the old one any more */
        tear_down();
    }
}

static void a_dead_path_is_left_for_one_that_was_kept_in_reserve(void)
{
    for (int down = 0; down < 2; down++) {
        set_up(down ? 0 : BYTES, down ? BYTES : 0);
        stk_sim_run_for(world.sim, SECOND / 2);
        offer_second_path(false);
        stk_sim_run_for(world.sim, SECOND / 2);
        CU_ASSERT_EQUAL(second.validated, 1);
        world.dark[0] = true;
        stk_sim_run_for(world.sim, 2 * SECOND);
        CU_ASSERT_EQUAL(second.used, 1);
        CU_ASSERT_TRUE(between(CHANGE_US + 3 * SECOND / 2, CHANGE_US + 2 * SECOND) > 0);
        tear_down();
    }
}

/* --- Datagram size -----------------------------------------------------------------------------
 */

static void set_mtu(uint16_t mtu)
{
    struct stk_sim_wire changed = wire;

    changed.mtu = mtu;
    stk_sim_link_set(world.outer, STK_SIM_FORTH, &changed);
    stk_sim_link_set(world.outer, STK_SIM_BACK, &changed);
}

static struct stk_ptcp_stats sender_stats(void)
{
    const struct transfer *t = &world.transfer;
    struct stk_ptcp_stats stats = {0};

    CU_ASSERT_EQUAL(stk_conn_query(receiver() == &t->client ? t->server.conn : t->client.conn,
                                   STK_QUERY_PTCP_STATS, &stats, sizeof(stats)),
                    0);
    return stats;
}

static void a_path_that_takes_less_from_now_on_is_found_within_three_timeouts(void)
{
    for (int down = 0; down < 2; down++) {
        set_up(down ? 0 : BYTES, down ? BYTES : 0);
        run_to_change();
        const struct stk_ptcp_stats before = sender_stats();
        CU_ASSERT_EQUAL(before.mtu_bytes, 1472);
        set_mtu(1400);
        while (sender_stats().mtu_bytes == 1472)
            stk_sim_run_for(world.sim, MS);
        const struct stk_ptcp_stats after = sender_stats();
        printf(" %d time-outs", (int)(after.probe_timeouts - before.probe_timeouts));
        CU_ASSERT_TRUE(after.probe_timeouts - before.probe_timeouts <= 3);
        stk_sim_run_for(world.sim, 2 * SECOND);
        CU_ASSERT_EQUAL(sender_stats().mtu_bytes, 1320); /* and 28 bytes of headers */
        tear_down();
    }
}

static void a_large_datagram_size_is_found_in_a_few_round_trips(void)
{
    const struct stk_sim_wire loopback = {.delay_us = 25};
    uint64_t found_us;

    set_up(BYTES, 0);
    stk_sim_link_set(world.inner, STK_SIM_FORTH, &loopback);
    stk_sim_link_set(world.inner, STK_SIM_BACK, &loopback);
    stk_sim_link_set(world.outer, STK_SIM_FORTH, &loopback);
    stk_sim_link_set(world.outer, STK_SIM_BACK, &loopback);
    stk_sim_run_for(world.sim, 200); /* connected: two round trips */
    for (found_us = 0; found_us < MS * 100 && sender_stats().mtu_bytes < 65507; found_us += 10)
        stk_sim_run_for(world.sim, 10);
    printf(" %d round trips", (int)(found_us / 100));
    CU_ASSERT_TRUE(found_us <= 10 * 100);
    stk_sim_run_for(world.sim, SECOND);
    tear_down();
}

static CU_TestInfo tests[] = {
    {"a NAT that forgets a sender stops it for less than a round trip",
     a_nat_that_forgets_a_sender_stops_it_for_less_than_a_round_trip},
    {"a NAT that forgets a receiver stops it for two round trips",
     a_nat_that_forgets_a_receiver_stops_it_for_two_round_trips},
    {"a receiver that had acknowledged all speaks after half a round trip",
     a_receiver_that_had_acknowledged_all_speaks_after_half_a_round_trip},
    {"another address of a sender starts anew and goes on",
     another_address_of_a_sender_starts_anew_and_goes_on},
    {"another address of a receiver starts anew and goes on",
     another_address_of_a_receiver_starts_anew_and_goes_on},
    {"the host itself changes its network", the_host_itself_changes_its_network},
    {"a sending host changes its network", a_sending_host_changes_its_network},
    {"a new path that is slower takes no lasting harm",
     a_new_path_that_is_slower_takes_no_lasting_harm},
    {"a sending host that moves to a slower path keeps that full",
     a_sending_host_that_moves_to_a_slower_path_keeps_that_full},
    {"a new path with another RTT is nothing like the old one",
     a_new_path_with_another_rtt_is_nothing_like_the_old_one},
    {"a path from above takes over before the old one is left",
     a_path_from_above_takes_over_before_the_old_one_is_left},
    {"a dead path is left for one that was kept in reserve",
     a_dead_path_is_left_for_one_that_was_kept_in_reserve},
    {"a path that takes less from now on is found within three time-outs",
     a_path_that_takes_less_from_now_on_is_found_within_three_timeouts},
    {"a large datagram size is found in a few round trips",
     a_large_datagram_size_is_found_in_a_few_round_trips},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp migration", tests)
