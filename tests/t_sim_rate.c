/*
 * Goal: PTCP fills a clean link, and with random loss moves at least what a textbook CUBIC would.
 * Method: an endless sender across a simulated link; the bytes that arrive in a stretch of
 * virtual time after the start-up, beside two models of CUBIC.
 */
#include "harness.h"
#include "transfer.h"

#include <inttypes.h>
#include <math.h>

enum { MS = 1000, SECOND = 1000 * MS, MTU = 1500, TCP_SEGMENT = 1460 };

struct link {
    uint64_t rate_bit_s, rtt_us;
    double loss;
    double queue_bdp;
};

/* --- The models --------------------------------------------------------------------------------
 */

static const double cubic_c = 0.4, cubic_beta = 0.7;

/*
 * RFC 9438 section 5: the average window of a CUBIC that loses each packet with chance p, in
 * segments, and where that is more, the one of its Reno-friendly region (section 4.3).
 */
static double response_function_bit_s(const struct link *link)
{
    const double rtt = (double)link->rtt_us / SECOND;
    const double cubic = pow(cubic_c * (3 + cubic_beta) / (4 * (1 - cubic_beta)), 0.25) *
                         pow(rtt / link->loss, 0.75);
    const double friendly = sqrt(1.5 / link->loss);
    const double rate = fmax(cubic, friendly) * TCP_SEGMENT * 8 / rtt;

    return fmin(rate, (double)link->rate_bit_s);
}

struct model {
    double window, window_max, estimate; /* segments */
    double since;                        /* seconds since the last reduction */
    bool recovering;                     /* the round after it, in which nothing grows */
};

static void model_loses(struct model *m)
{
    /* Fast convergence: RFC 9438 section 4.7. */
    m->window_max = m->window < m->window_max ? m->window * (1 + cubic_beta) / 2 : m->window;
    m->window = m->estimate = fmax(m->window * cubic_beta, 2);
    m->since = 0;
    m->recovering = true;
}

static void model_grows(struct model *m, double rtt)
{
    const double k = cbrt(fmax(m->window_max - m->window_max * cubic_beta, 0) / cubic_c);
    const double target = cubic_c * pow(m->since + rtt - k, 3) + m->window_max;

    if (m->recovering) {
        m->recovering = false;
        return;
    }
    m->since += rtt;
    m->estimate += m->estimate < m->window_max ? 3 * (1 - cubic_beta) / (1 + cubic_beta) : 1;
    m->window = fmax(fmin(fmax(target, m->window), 1.5 * m->window), m->estimate);
}

/*
 * The same window played round by round over a random loss sequence, as RFC 9438 and RFC 9002 have
 * it: at most one reduction a round, and none of the growth while recovering from it. Otherwise it
 * is ideal: lost segments are known and repaired at once, nothing waits for a timer or an ACK.
 */
static double ideal_cubic_bit_s(const struct link *link, uint64_t seed, double seconds)
{
    const double rtt = (double)link->rtt_us / SECOND;
    const double most = (double)link->rate_bit_s / 8 * rtt / MTU * (1 + link->queue_bdp);
    struct model m = {.window = 10, .window_max = 10, .estimate = 10};
    double sent = 0;
    struct stk_prng prng;

    stk_prng_seed(&prng, seed);
    for (double t = 0; t < seconds; t += rtt) {
        int lost = 0;

        for (int i = 0; i < (int)m.window; i++)
            lost += stk_prng_unit(&prng) < link->loss;
        sent += floor(m.window) - lost;
        if (lost > 0 || m.window > most)
            model_loses(&m);
        else
            model_grows(&m, rtt);
    }
    return fmin(sent * TCP_SEGMENT * 8 / seconds, (double)link->rate_bit_s);
}

/* --- The measurement ----------------------------------------------------------------------------
 */

static struct stk_sim_wire wire_of(const struct link *link)
{
    const double bdp_bytes = (double)link->rate_bit_s / 8 * (double)link->rtt_us / SECOND;

    return (struct stk_sim_wire){.rate_bit_s = link->rate_bit_s,
                                 .delay_us = link->rtt_us / 2,
                                 .loss_ppm = (uint32_t)(link->loss * 1e6),
                                 .queue_bytes = (uint64_t)(bdp_bytes * link->queue_bdp),
                                 .mtu = MTU};
}

static struct stk_sim *make_network(const struct link *link, uint64_t seed)
{
    const struct stk_sim_wire forth = wire_of(link);
    struct stk_sim_wire back = forth;
    struct stk_sim_host *client, *server;
    struct stk_sim_link *added;
    struct stk_sim *sim;

    back.loss_ppm = 0;
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = seed}, &sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(sim, "server", "10.0.0.1", &server), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(sim, "client", "10.0.0.2", &client), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(sim, client, server, &forth, &back, &added), 0);
    return sim;
}

static void end(struct transfer *transfer)
{
    if (!transfer->client.closed)
        stk_conn_abort(transfer->client.conn);
    if (transfer->server.conn && !transfer->server.closed)
        stk_conn_abort(transfer->server.conn);
    CU_ASSERT_EQUAL(stk_sim_run(transfer->sim), 0);
    stk_sim_free(transfer->sim);
}

/* Bits of payload a second that arrive between `from_us` and `to_us`. */
static double goodput_bit_s(const struct link *link, uint64_t seed, uint64_t from_us,
                            uint64_t to_us)
{
    struct transfer transfer = {.client.send_bytes = UINT64_C(1) << 40};
    struct stk_sim *sim = make_network(link, seed);
    struct stk_error error = {0};
    uint64_t before;

    CU_ASSERT_EQUAL_FATAL(transfer_start(&transfer, sim, "/ip4/10.0.0.1/simudp/4001/ptcp",
                                         "/ip4/10.0.0.1/simudp/4001/ptcp", seed, &error),
                          0);
    CU_ASSERT_EQUAL(stk_sim_run_for(sim, from_us), 0);
    before = transfer.server.in.position;
    CU_ASSERT_EQUAL(stk_sim_run_for(sim, to_us - from_us), 0);
    CU_ASSERT_FALSE(transfer.server.in.wrong);
    const double bits = (double)(transfer.server.in.position - before) * 8;
    end(&transfer);
    return bits * SECOND / (double)(to_us - from_us);
}

static void a_clean_link_is_filled(void)
{
    static const struct link links[] = {{100000000, 50 * MS, 0, 1},
                                        {10000000, 50 * MS, 0, 1},
                                        {100000000, 10 * MS, 0, 1},
                                        {10000000, 200 * MS, 0, 2}};

    for (unsigned i = 0; i < sizeof links / sizeof links[0]; i++) {
        const struct link *link = &links[i];
        const uint64_t start_us = 2 * SECOND + 20 * link->rtt_us;
        const double share =
            goodput_bit_s(link, 1, start_us, start_us + 8 * SECOND) / (double)link->rate_bit_s;

        printf("\n    %4.0f Mbit/s, %3.0f ms: %.1f %% of the rate", (double)link->rate_bit_s / 1e6,
               (double)link->rtt_us / MS, 100 * share);
        CU_ASSERT_TRUE(share >= 0.95);
    }
}

static void random_loss_costs_no_more_than_a_textbook_cubic(void)
{
    static const struct link link = {100000000, 50 * MS, 0.01, 1};
    double mean = 0, ideal = 0;

    for (uint64_t seed = 1; seed <= 4; seed++) {
        mean += goodput_bit_s(&link, seed, 2 * SECOND, 32 * SECOND) / 4;
        ideal += ideal_cubic_bit_s(&link, seed, 300) / 4;
    }
    printf("\n    1 %% loss: PTCP %.2f Mbit/s, ideal CUBIC %.2f, RFC 9438's formula %.2f",
           mean / 1e6, ideal / 1e6, response_function_bit_s(&link) / 1e6);
    CU_ASSERT_TRUE(mean >= response_function_bit_s(&link));
    /* Longer headers, the packets' own time on the wire and delayed ACKs cost a few percent. */
    CU_ASSERT_TRUE(mean >= 0.95 * ideal);
}

/* A table to look at; what it must hold is asserted above. */
static void goodput_over_rate_round_trip_and_loss(void)
{
    static const uint64_t rates[] = {1000000, 20000000};
    static const uint64_t rtts_ms[] = {10, 50, 200};
    static const double losses[] = {0, 0.001, 0.01, 0.05};

    printf("\n    goodput in %% of the rate (ideal CUBIC), queue 1 BDP\n    %9s %7s", "rate",
           "RTT");
    for (unsigned l = 0; l < 4; l++)
        printf(" %8.1f %% loss", 100 * losses[l]);
    for (unsigned r = 0; r < 2; r++)
        for (unsigned t = 0; t < 3; t++) {
            printf("\n    %3.0f Mbit/s %4" PRIu64 " ms", (double)rates[r] / 1e6, rtts_ms[t]);
            for (unsigned l = 0; l < 4; l++) {
                const struct link link = {rates[r], rtts_ms[t] * MS, losses[l],
                                          rates[r] == 1000000 && rtts_ms[t] == 10 ? 8 : 1};
                const double got = goodput_bit_s(&link, 1, 5 * SECOND, 15 * SECOND);

                printf("  %5.1f (%5.1f)", 100 * got / (double)rates[r],
                       100 * ideal_cubic_bit_s(&link, 1, 100) / (double)rates[r]);
                CU_ASSERT_TRUE(got > 0);
            }
        }
    printf("\n    ");
}

static CU_TestInfo tests[] = {
    {"a clean link is filled", a_clean_link_is_filled},
    {"random loss costs no more than a textbook CUBIC",
     random_loss_costs_no_more_than_a_textbook_cubic},
    {"goodput over rate, round trip and loss", goodput_over_rate_round_trip_and_loss},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN_WITHIN("sim rate", tests, 0)
