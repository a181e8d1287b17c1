/*
 * Goal: the CUBIC controller fills a clean link, and with random loss moves at least what a
 * textbook CUBIC would.
 * Method: an endless sender across a simulated link; the bytes that arrive in a stretch of
 * virtual time after the start-up, beside two models of CUBIC.
 */
#include "harness.h"
#include "sim_flows.h"

#include <math.h>

enum { MS = 1000, SECOND = 1000 * MS, MTU = SIM_FLOWS_MTU, TCP_SEGMENT = 1460 };

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

/* Bits of payload a second that arrive between `from_us` and `to_us`. */
static double goodput_bit_s(const struct link *link, uint64_t seed, uint64_t from_us,
                            uint64_t to_us)
{
    struct sim_flows flows = {
        .options = {"cc=cubic"}, .count = 1, .seed = seed, .from_us = from_us, .to_us = to_us};

    sim_flows_link(&flows, link->rate_bit_s, link->rtt_us, link->loss, link->queue_bdp);
    sim_flows_run(&flows);
    return flows.bit_s[0];
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

static CU_TestInfo tests[] = {
    {"a clean link is filled", a_clean_link_is_filled},
    {"random loss costs no more than a textbook CUBIC",
     random_loss_costs_no_more_than_a_textbook_cubic},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN_WITHIN("sim cubic", tests, 0)
