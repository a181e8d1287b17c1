/*
 * Goal: the default controller fills links of all kinds, keeps queues short, and shares with its
 * like and with CUBIC.
 * Method: endless senders across one simulated bottleneck; what arrives in a stretch of virtual
 * time, against the rate. Where nothing is lost, what headers leave of the rate is the measure.
 */
#include "harness.h"
#include "sim_flows.h"
#include "transfer.h"

enum { MS = 1000, SECOND = 1000 * MS };

static const uint64_t MBIT = 1000000;

/* Of a full packet: IP and UDP 28, a STREAM packet's header 16. */
enum { HEADERS = 44 };
static const double PAYLOAD_SHARE = (double)(SIM_FLOWS_MTU - HEADERS) / SIM_FLOWS_MTU;

static struct sim_flows flows_over(uint64_t rate_bit_s, uint64_t rtt_us, double loss,
                                   double queue_bdp)
{
    struct sim_flows flows = {.count = 1, .from_us = 3 * SECOND, .to_us = 13 * SECOND};

    sim_flows_link(&flows, rate_bit_s, rtt_us, loss, queue_bdp);
    return flows;
}

/* The mean of three seeds, as a share of the rate. */
static double share_of_rate(const struct sim_flows *plan, const char *name)
{
    const double payload_share = (double)(plan->forth.mtu - HEADERS) / plan->forth.mtu;
    double mean = 0, queue_us = 0;

    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim_flows flows = *plan;

        flows.seed = seed;
        sim_flows_run(&flows);
        mean += flows.bit_s[0] / (double)flows.forth.rate_bit_s / 3;
        queue_us += flows.queue_us / 3;
    }
    printf(
        "\n    %-34s %5.2f %% of the rate, %5.1f %% of the payload's part, %5.1f ms in the queue",
        name, 100 * mean, 100 * mean / payload_share, queue_us / MS);
    return mean;
}

/* --- Alone --------------------------------------------------------------------------------------
 */

static void a_clean_link_is_filled(void)
{
    struct sim_flows flows = flows_over(100 * MBIT, 50 * MS, 0, 1);

    const double share = share_of_rate(&flows, "100 Mbit/s 50 ms");
    CU_ASSERT_TRUE(share >= 0.97);
    CU_ASSERT_TRUE(share >= 0.995 * PAYLOAD_SHARE);
    flows = flows_over(10 * MBIT, 50 * MS, 0, 1);
    CU_ASSERT_TRUE(share_of_rate(&flows, "10 Mbit/s 50 ms") >= 0.99 * PAYLOAD_SHARE);
    flows = flows_over(100 * MBIT, 10 * MS, 0, 1);
    CU_ASSERT_TRUE(share_of_rate(&flows, "100 Mbit/s 10 ms") >= 0.99 * PAYLOAD_SHARE);
    flows = flows_over(100 * MBIT, 50 * MS, 0, 0.1);
    CU_ASSERT_TRUE(share_of_rate(&flows, "100 Mbit/s 50 ms, queue 0.1 BDP") >=
                   0.88 * PAYLOAD_SHARE);
}

/* Nine thousand bytes a packet, found by probes, leave less to headers than a hundredth. */
static void with_large_packets_hardly_anything_is_lost_to_headers(void)
{
    struct sim_flows flows = flows_over(100 * MBIT, 50 * MS, 0, 1);

    flows.forth.mtu = flows.back.mtu = 9000;
    CU_ASSERT_TRUE(share_of_rate(&flows, "100 Mbit/s 50 ms, 9,000 bytes") >= 0.98);
}

/* Holes in the stream stop neither window nor buffers from growing with the path. */
static void losses_do_not_hold_up_the_start(void)
{
    struct sim_flows flows = flows_over(100 * MBIT, 200 * MS, 0.05, 2);

    flows.to_us = 7 * SECOND;
    CU_ASSERT_TRUE(share_of_rate(&flows, "100 Mbit/s 200 ms, 5 % loss") >= 0.80);
}

static void random_loss_is_not_taken_for_congestion(void)
{
    struct sim_flows flows = flows_over(100 * MBIT, 50 * MS, 0.01, 1);

    CU_ASSERT_TRUE(share_of_rate(&flows, "100 Mbit/s 50 ms, 1 % loss") >= 0.93);
    flows = flows_over(100 * MBIT, 50 * MS, 0.05, 1);
    CU_ASSERT_TRUE(share_of_rate(&flows, "100 Mbit/s 50 ms, 5 % loss") >= 0.85);
}

static void a_deep_queue_stays_nearly_empty(void)
{
    struct sim_flows flows = flows_over(100 * MBIT, 50 * MS, 0, 4);

    flows.seed = 1;
    sim_flows_run(&flows);
    printf("\n    standing queue %.1f ms of an RTT of 50 ms", flows.queue_us / MS);
    CU_ASSERT_TRUE(flows.queue_us <= 25 * MS);
    CU_ASSERT_TRUE(flows.bit_s[0] >= 0.95 * PAYLOAD_SHARE * 1e8);
}

static void long_fat_links_are_filled(void)
{
    struct sim_flows flows = flows_over(1000 * MBIT, 100 * MS, 0.001, 1);

    flows.seed = 1;
    flows.to_us = 8 * SECOND;
    sim_flows_run(&flows);
    printf("\n    1 Gbit/s 100 ms, 0.1 %% loss: %.1f %%", flows.bit_s[0] / 1e7);
    CU_ASSERT_TRUE(flows.bit_s[0] >= 0.85e9);
    flows = flows_over(20 * MBIT, 600 * MS, 0, 1);
    flows.from_us = 10 * SECOND;
    flows.to_us = 60 * SECOND;
    CU_ASSERT_TRUE(share_of_rate(&flows, "satellite, 20 Mbit/s 600 ms") >= 0.85);
}

static void jitter_and_reordering_cost_little(void)
{
    struct sim_flows flows = flows_over(50 * MBIT, 20 * MS, 0, 1);

    flows.forth.jitter_us = flows.back.jitter_us = 3 * MS;
    flows.forth.reorder_ppm = 50000;
    flows.forth.reorder_us = 10 * MS;
    CU_ASSERT_TRUE(share_of_rate(&flows, "50 Mbit/s 20 ms, as Wi-Fi") >= 0.90);
}

static void a_narrow_link_with_bursts_of_loss_is_crossed(void)
{
    /* Half of the packets in a bad spell, which lasts five packets and takes half of the time. */
    const struct stk_sim_wire wire = {.rate_bit_s = 256000,
                                      .delay_us = 400 * MS,
                                      .queue_bytes = 25600,
                                      .to_bad_ppm = 200000,
                                      .to_good_ppm = 200000,
                                      .bad_loss_ppm = 500000};
    struct transfer transfer = {.client.send_bytes = 200000, .server.send_bytes = 20000};
    struct stk_sim_host *client, *server;
    struct stk_error error = {0};
    struct stk_sim_link *link;
    struct stk_sim *sim;

    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 1}, &sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(sim, "server", "10.0.0.1", &server), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(sim, "client", "10.0.0.2", &client), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(sim, client, server, &wire, NULL, &link), 0);
    CU_ASSERT_EQUAL_FATAL(transfer_start(&transfer, sim, "/ip4/10.0.0.1/simudp/4001/ptcp",
                                         "/ip4/10.0.0.1/simudp/4001/ptcp", 1, &error),
                          0);
    CU_ASSERT_EQUAL(stk_sim_run(sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&transfer));
    printf("\n    200 kB over 256 kbit/s, 800 ms, 25 %% loss in bursts: %.1f s",
           (double)transfer.client.closed_us / SECOND);
    stk_sim_free(sim);
}

/* --- Beside others ------------------------------------------------------------------------------
 */

static const double queues_bdp[] = {0.25, 1, 4};

static struct sim_flows two_flows(double queue_bdp, uint64_t seed, const char *first,
                                  const char *second)
{
    struct sim_flows flows = flows_over(50 * MBIT, 40 * MS, 0, queue_bdp);

    flows.count = 2;
    flows.options[0] = first;
    flows.options[1] = second;
    flows.start_us[1] = 1 * SECOND;
    flows.from_us = 20 * SECOND;
    flows.to_us = 50 * SECOND;
    flows.seed = seed;
    return flows;
}

/* Jain's index of two rates: 1 if they are equal, 0.9 if one is twice the other. */
static double fairness(double a, double b) { return (a + b) * (a + b) / (2 * (a * a + b * b)); }

/* Which of the two is lucky differs from run to run, and by how much: a few runs say little. */
static void two_flows_share_fairly(void)
{
    enum { RUNS = 8 };

    for (unsigned i = 0; i < sizeof queues_bdp / sizeof queues_bdp[0]; i++) {
        double mean = 0, least = 1;

        for (uint64_t seed = 1; seed <= RUNS; seed++) {
            struct sim_flows flows = two_flows(queues_bdp[i], seed, NULL, NULL);

            sim_flows_run(&flows);
            const double index = fairness(flows.bit_s[0], flows.bit_s[1]);
            mean += index / RUNS;
            least = index < least ? index : least;
        }
        printf("\n    queue %.2f BDP: Jain's index %.3f, at least %.3f", queues_bdp[i], mean,
               least);
        CU_ASSERT_TRUE(mean >= 0.92);
        CU_ASSERT_TRUE(least >= 0.8);
    }
}

/* Neither falls below a quarter of its half. */
static void cubic_and_we_leave_each_other_room(void)
{
    for (unsigned i = 0; i < sizeof queues_bdp / sizeof queues_bdp[0]; i++)
        for (int order = 0; order < 2; order++) {
            struct sim_flows flows =
                two_flows(queues_bdp[i], 1, order ? "cc=cubic" : NULL, order ? NULL : "cc=cubic");

            sim_flows_run(&flows);
            const double ours = flows.bit_s[order] / 50e6, cubic = flows.bit_s[!order] / 50e6;
            printf("\n    queue %.2f BDP: %.1f %%, CUBIC %.1f %%%s", queues_bdp[i], 100 * ours,
                   100 * cubic, order ? ", which was first" : "");
            CU_ASSERT_TRUE(ours >= 0.125);
            CU_ASSERT_TRUE(cubic >= 0.125);
        }
}

static CU_TestInfo tests[] = {
    {"a clean link is filled", a_clean_link_is_filled},
    {"with large packets hardly anything is lost to headers",
     with_large_packets_hardly_anything_is_lost_to_headers},
    {"losses do not hold up the start", losses_do_not_hold_up_the_start},
    {"random loss is not taken for congestion", random_loss_is_not_taken_for_congestion},
    {"a deep queue stays nearly empty", a_deep_queue_stays_nearly_empty},
    {"long fat links are filled", long_fat_links_are_filled},
    {"jitter and reordering cost little", jitter_and_reordering_cost_little},
    {"a narrow link with bursts of loss is crossed", a_narrow_link_with_bursts_of_loss_is_crossed},
    {"two flows share fairly", two_flows_share_fairly},
    {"CUBIC and we leave each other room", cubic_and_we_leave_each_other_room},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN_WITHIN("sim rate", tests, 0)
