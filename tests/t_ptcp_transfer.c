/*
 * Goal: two cores exchange streams byte-exactly over a network that loses, delays and spoils.
 * Method: two endpoints in memory, virtual time, bytes checked by position.
 */
#include "ptcp_pair.h"

#include "harness.h"

static bool moves(struct pair *pair, uint64_t there, uint64_t back)
{
    struct pair_stream one = {.total = there}, two = {.total = back, .salt = 5};
    bool ok;

    pair_connect(pair, &one.from, &one.to);
    if (!one.to) {
        printf("\n    not connected\n");
        return false;
    }
    two.from = one.to;
    two.to = one.from;
    ok = pair_transfer(pair, &one, &two, 600000000);
    if (!ok)
        printf("\n    %llu of %llu there, %llu of %llu back, errors %d %d\n",
               (unsigned long long)one.read, (unsigned long long)there,
               (unsigned long long)two.read, (unsigned long long)back, one.error, two.error);
    pair_run_for(pair, 5000000);
    ptcp_conn_release(one.from, pair->now_us);
    ptcp_conn_release(one.to, pair->now_us);
    pair_run_for(pair, 100000000);
    return ok && ptcp_connections(pair->end[0]) == 0 && ptcp_connections(pair->end[1]) == 0 &&
           ptcp_time_waits(pair->end[0]) == 0 && ptcp_time_waits(pair->end[1]) == 0;
}

static bool moves_over(uint64_t seed, bool sealed, const struct pair_net *net)
{
    struct pair pair;

    pair_init(&pair, seed, sealed);
    pair.net = *net;
    const bool ok = moves(&pair, 300000, 200000);
    if (!ok)
        printf("    seed %llu, %s\n", (unsigned long long)seed, sealed ? "sealed" : "plain");
    pair_free(&pair);
    return ok;
}

static void a_clean_network_loses_nothing(void)
{
    const struct pair_net net = {.delay_us = 10000};

    CU_ASSERT_TRUE(moves_over(1, false, &net));
    CU_ASSERT_TRUE(moves_over(1, true, &net));
}

static void every_rate_of_loss_is_survived(void)
{
    for (unsigned loss = 0; loss <= 300; loss += 50) {
        const struct pair_net net = {.delay_us = 10000, .loss_permille = loss};

        CU_ASSERT_TRUE(moves_over(loss + 1, loss % 100 == 0, &net));
    }
}

static void reordering_and_copies_do_no_harm(void)
{
    const struct pair_net net = {
        .delay_us = 5000, .jitter_us = 30000, .loss_permille = 10, .duplicate_permille = 100};

    for (uint64_t seed = 1; seed <= 6; seed++)
        CU_ASSERT_TRUE(moves_over(seed, seed & 1, &net));
}

static void spoilt_packets_are_noticed(void)
{
    const struct pair_net net = {.delay_us = 5000, .corrupt_permille = 100};

    for (uint64_t seed = 1; seed <= 6; seed++)
        CU_ASSERT_TRUE(moves_over(seed, false, &net));
}

static void a_path_of_576_bytes_is_enough(void)
{
    const struct pair_net net = {.delay_us = 5000, .mtu = 548};

    CU_ASSERT_TRUE(moves_over(1, false, &net));
    CU_ASSERT_TRUE(moves_over(1, true, &net));
}

static void twenty_dark_seconds_are_survived(void)
{
    const struct pair_net net = {.delay_us = 20000,
                                 .rate_bytes_per_s = 500000,
                                 .dark_from_us = 1300000,
                                 .dark_until_us = 21300000};

    CU_ASSERT_TRUE(moves_over(1, false, &net));
    CU_ASSERT_TRUE(moves_over(2, true, &net));
}

static CU_TestInfo tests[] = {
    {"a clean network loses nothing", a_clean_network_loses_nothing},
    {"every rate of loss is survived", every_rate_of_loss_is_survived},
    {"reordering and copies do no harm", reordering_and_copies_do_no_harm},
    {"spoilt packets are noticed", spoilt_packets_are_noticed},
    {"a path of 576 bytes is enough", a_path_of_576_bytes_is_enough},
    {"twenty dark seconds are survived", twenty_dark_seconds_are_survived},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp transfer", tests)
