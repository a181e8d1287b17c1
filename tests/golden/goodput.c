/*
 * Prints the golden table: goodput in percent of the rate over controller, rate, round trip,
 * queue and random loss. BBR's is the mean of a few seeds, as losses at the wrong moment cost one
 * run a tenth. The simulator is deterministic, so that a change of congestion behaviour shows as a
 * difference.
 */
#include "sim_flows.h"

#include <inttypes.h>
#include <stdio.h>

enum { MS = 1000, SECOND = 1000 * MS };

static const struct {
    const char *name;
    unsigned seeds;
} controllers[] = {{"bbr", 4}, {"cubic", 1}, {"reno", 1}};
static const uint64_t rates_mbit_s[] = {1, 10, 100};
static const uint64_t rtts_ms[] = {10, 50, 200};
static const double queues_bdp[] = {0.5, 2};
static const double losses[] = {0, 0.01, 0.05};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static double goodput_percent(const char *controller, uint64_t rate_mbit_s, uint64_t rtt_ms,
                              double queue_bdp, double loss, uint64_t seed)
{
    char option[32];
    struct sim_flows flows = {.options = {option}, .count = 1, .seed = seed};

    snprintf(option, sizeof option, "cc=%s", controller);
    sim_flows_link(&flows, rate_mbit_s * 1000000, rtt_ms * MS, loss, queue_bdp);
    flows.from_us = 2 * SECOND + 5 * rtt_ms * MS;
    flows.to_us = flows.from_us + 6 * SECOND;
    sim_flows_run(&flows);
    return 100 * flows.bit_s[0] / (double)flows.forth.rate_bit_s;
}

static void print_row(unsigned controller, uint64_t rate_mbit_s, uint64_t rtt_ms, double queue_bdp)
{
    const char *name = controllers[controller].name;
    const unsigned seeds = controllers[controller].seeds;

    printf("%-6s %5" PRIu64 " Mbit/s %4" PRIu64 " ms  queue %.1f BDP ", name, rate_mbit_s, rtt_ms,
           queue_bdp);
    for (unsigned l = 0; l < COUNT(losses); l++) {
        double mean = 0;

        for (unsigned seed = 1; seed <= seeds; seed++)
            mean += goodput_percent(name, rate_mbit_s, rtt_ms, queue_bdp, losses[l], seed) / seeds;
        printf(" %6.1f", mean);
    }
    printf("\n");
}

int main(void)
{
    printf("%-43s", "goodput in % of the rate, random loss of");
    for (unsigned l = 0; l < COUNT(losses); l++)
        printf(" %4.0f %%", 100 * losses[l]);
    printf("\n");
    for (unsigned c = 0; c < COUNT(controllers); c++)
        for (unsigned r = 0; r < COUNT(rates_mbit_s); r++)
            for (unsigned t = 0; t < COUNT(rtts_ms); t++)
                for (unsigned q = 0; q < COUNT(queues_bdp); q++)
                    print_row(c, rates_mbit_s[r], rtts_ms[t], queues_bdp[q]);
    return 0;
}
