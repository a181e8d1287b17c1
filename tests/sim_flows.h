/*
 * Endless PTCP transfers side by side across one simulated bottleneck, and what each of them got.
 */
#ifndef STK_TESTS_SIM_FLOWS_H
#define STK_TESTS_SIM_FLOWS_H

#include "sim.h"

enum { SIM_FLOWS_MAX = 4, SIM_FLOWS_MTU = 1500 };

struct sim_flows {
    /* What shall be done. Times are since the sim's start. */
    struct stk_sim_wire forth, back;
    const char *options[SIM_FLOWS_MAX]; /* of "ptcp", as "cc=cubic"; NULL: none. One a flow. */
    uint64_t start_us[SIM_FLOWS_MAX];
    int count;
    uint64_t seed;
    uint64_t from_us, to_us; /* the stretch that is measured */

    /* What became of it. */
    double bit_s[SIM_FLOWS_MAX]; /* payload that arrived in order, of the stretch */
    double queue_us;             /* mean wait in the bottleneck's queue in the stretch */
    double loss;                 /* share of the packets that the queue dropped since the start */
    uint64_t marked;             /* packets that the queue marked since the start */
};

/* Both directions have the rate, half of the RTT each and a drop-tail queue; losses go forth. */
void sim_flows_link(struct sim_flows *flows, uint64_t rate_bit_s, uint64_t rtt_us, double loss,
                    double queue_bdp);
/* Ends the program if something does not work at all. */
void sim_flows_run(struct sim_flows *flows);
double sim_flows_total_bit_s(const struct sim_flows *flows);

#endif
