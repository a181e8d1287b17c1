/*
 * Goal: ECN is used where it works, and only there.
 * Method: validation rule by rule on hand-made ACKs; then transfers across simulated links whose
 * far end marks, bleaches, rewrites or drops what bears a mark.
 */
#include "ecn.h"
#include "harness.h"
#include "transfer.h"

enum { MS = 1000, BYTES = 3000000 };

/* --- Rules --------------------------------------------------------------------------------------
 */

static struct ptcp_ack told(uint64_t ect0, uint64_t ect1, uint64_t ce)
{
    return (struct ptcp_ack){.has_ecn = true, .ecn = {ect0, ect1, ce}};
}

static enum ptcp_ecn_state after(uint64_t sent, const struct ptcp_ack *ack, uint64_t marked)
{
    struct ptcp_ecn ecn = {.state = PTCP_ECN_TESTING};
    struct ptcp_ecn_counts counts = {.sent = 0};

    while (counts.sent < sent)
        ptcp_ecn_sent(&ecn, &counts, 1);
    ptcp_ecn_acked(&ecn, &counts, ack, marked);
    return ecn.state;
}

static void counts_must_cover_what_was_marked(void)
{
    struct ptcp_ack ack = told(4, 0, 0);

    CU_ASSERT_EQUAL(after(4, &ack, 4), PTCP_ECN_CAPABLE);
    CU_ASSERT_EQUAL(after(6, &ack, 3), PTCP_ECN_CAPABLE); /* ACKs were lost */
    CU_ASSERT_EQUAL(after(6, &ack, 5), PTCP_ECN_FAILED);  /* one was bleached */
    CU_ASSERT_EQUAL(after(3, &ack, 3), PTCP_ECN_FAILED);  /* more than were sent */
    ack = told(2, 0, 2);
    CU_ASSERT_EQUAL(after(4, &ack, 4), PTCP_ECN_CAPABLE);
    ack = told(3, 1, 0);
    CU_ASSERT_EQUAL(after(4, &ack, 4), PTCP_ECN_FAILED); /* rewritten */
    ack = (struct ptcp_ack){.has_ecn = false};
    CU_ASSERT_EQUAL(after(4, &ack, 4), PTCP_ECN_FAILED);
    CU_ASSERT_EQUAL(after(4, &ack, 0), PTCP_ECN_TESTING);
    ack = told(UINT64_MAX, 0, UINT64_MAX);
    CU_ASSERT_EQUAL(after(4, &ack, 4), PTCP_ECN_FAILED);
}

static void counts_never_fall(void)
{
    struct ptcp_ecn ecn = {.state = PTCP_ECN_TESTING};
    struct ptcp_ecn_counts counts = {.sent = 0};
    struct ptcp_ack ack = told(4, 0, 1);

    for (int i = 0; i < 8; i++)
        ptcp_ecn_sent(&ecn, &counts, 1);
    CU_ASSERT_TRUE(ptcp_ecn_acked(&ecn, &counts, &ack, 5));
    CU_ASSERT_FALSE(ptcp_ecn_acked(&ecn, &counts, &ack, 0)); /* nothing new */
    ack = told(6, 0, 0);
    CU_ASSERT_FALSE(ptcp_ecn_acked(&ecn, &counts, &ack, 1));
    CU_ASSERT_EQUAL(ecn.state, PTCP_ECN_FAILED);
}

static void ten_lost_packets_end_the_test(void)
{
    struct ptcp_ecn ecn = {.state = PTCP_ECN_TESTING};
    struct ptcp_ecn_counts counts = {.sent = 0};

    for (int i = 0; i < PTCP_ECN_TEST_PACKETS; i++) {
        CU_ASSERT_TRUE(ptcp_ecn_marks(&ecn));
        ptcp_ecn_sent(&ecn, &counts, 1);
    }
    CU_ASSERT_FALSE(ptcp_ecn_marks(&ecn));
    for (int i = 0; i < PTCP_ECN_TEST_PACKETS; i++)
        ptcp_ecn_lost(&ecn);
    CU_ASSERT_EQUAL(ecn.state, PTCP_ECN_FAILED);
}

static void silence_ends_the_use_of_marks(void)
{
    struct ptcp_ecn ecn = {.state = PTCP_ECN_CAPABLE};

    ptcp_ecn_timeout(&ecn, PTCP_ECN_TIMEOUTS - 1);
    CU_ASSERT_TRUE(ptcp_ecn_marks(&ecn));
    ptcp_ecn_timeout(&ecn, PTCP_ECN_TIMEOUTS);
    CU_ASSERT_FALSE(ptcp_ecn_marks(&ecn));
}

/* --- Networks -----------------------------------------------------------------------------------
 */

static struct far_end {
    int to_ecn;    /* what arrives with a mark gets this; -1: left alone; -2: dropped */
    int of_packet; /* from this arrival on */
    int arrived, marked;
} far_end;

static enum stk_sim_verdict meddle(void *user, struct stk_sim_host *host,
                                   struct stk_sim_packet *packet)
{
    (void)user;
    (void)host;
    far_end.arrived++;
    if (packet->ecn == STK_ECN_NOT)
        return STK_SIM_PASS;
    far_end.marked++;
    if (far_end.arrived < far_end.of_packet)
        return STK_SIM_PASS;
    if (far_end.to_ecn == -2)
        return STK_SIM_DROP;
    if (far_end.to_ecn >= 0)
        packet->ecn = (uint8_t)far_end.to_ecn;
    return STK_SIM_PASS;
}

struct outcome {
    struct stk_sim_wire_stats wire;
    uint64_t took_us, ce_told, lost;
};

static struct outcome transfer_over(const char *stack, uint64_t mark_bytes, int to_ecn,
                                    int of_packet)
{
    const struct stk_sim_wire wire = {.rate_bit_s = 20000000,
                                      .delay_us = 20 * MS,
                                      .queue_bytes = 200000,
                                      .mark_bytes = mark_bytes,
                                      .mtu = 1500};
    struct transfer transfer = {.client.send_bytes = BYTES};
    struct stk_sim_host *client, *server;
    struct stk_error error = {0};
    struct outcome outcome = {.took_us = 0};
    struct stk_sim_link *link;
    struct stk_sim *sim;
    char recipe[128];

    far_end = (struct far_end){.to_ecn = to_ecn, .of_packet = of_packet};
    snprintf(recipe, sizeof recipe, "/ip4/10.0.0.1/simudp/4001%s", stack);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 1}, &sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(sim, "server", "10.0.0.1", &server), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(sim, "client", "10.0.0.2", &client), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(sim, client, server, &wire, NULL, &link), 0);
    stk_sim_host_set_hook(server, meddle, NULL);
    CU_ASSERT_EQUAL_FATAL(transfer_start(&transfer, sim, recipe, recipe, 1, &error), 0);
    CU_ASSERT_EQUAL(stk_sim_run(sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&transfer));
    stk_sim_link_stats(link, STK_SIM_FORTH, &outcome.wire);
    outcome.took_us = transfer.server.end_us;
    outcome.ce_told = transfer.client.stats.ecn_ce;
    outcome.lost = transfer.client.stats.packets_lost;
    stk_sim_free(sim);
    return outcome;
}

static const char *const stacks[] = {"/ptcp", "/ptcp,cc=cubic", "/ptcp,cc=reno"};

static void marks_replace_losses(void)
{
    for (unsigned i = 0; i < sizeof stacks / sizeof stacks[0]; i++) {
        const struct outcome without = transfer_over(stacks[i], 0, -1, 0);
        const struct outcome with = transfer_over(stacks[i], 30000, -1, 0);

        printf("\n    %-15s marked %llu, told of %llu; lost %llu, without marks %llu", stacks[i],
               (unsigned long long)with.wire.marked, (unsigned long long)with.ce_told,
               (unsigned long long)with.lost, (unsigned long long)without.lost);
        CU_ASSERT_EQUAL(without.wire.marked, 0);
        CU_ASSERT_TRUE(with.wire.marked > 0);
        CU_ASSERT_TRUE(with.ce_told > 0 && with.ce_told <= with.wire.marked);
        CU_ASSERT_TRUE(with.wire.queue_mean_bytes < without.wire.queue_mean_bytes);
        CU_ASSERT_TRUE(with.lost <= without.lost);
        CU_ASSERT_TRUE(far_end.marked > BYTES / 1500 / 2);
    }
}

static void a_path_that_bleaches_gets_ten_marks(void)
{
    const struct outcome outcome = transfer_over("/ptcp", 0, STK_ECN_NOT, 0);

    CU_ASSERT_TRUE(far_end.marked >= 1 && far_end.marked <= 2 * PTCP_ECN_TEST_PACKETS);
    CU_ASSERT_EQUAL(outcome.lost, transfer_over("/ptcp", 0, -1, 0).lost);
}

static void a_path_that_rewrites_gets_ten_marks(void)
{
    transfer_over("/ptcp", 0, STK_ECN_ECT1, 0);
    CU_ASSERT_TRUE(far_end.marked >= 1 && far_end.marked <= 2 * PTCP_ECN_TEST_PACKETS);
}

static void a_path_that_drops_marks_is_crossed_without(void)
{
    const struct outcome outcome = transfer_over("/ptcp", 0, -2, 0);

    CU_ASSERT_TRUE(far_end.marked >= PTCP_ECN_TEST_PACKETS &&
                   far_end.marked <= 2 * PTCP_ECN_TEST_PACKETS);
    CU_ASSERT_TRUE(outcome.took_us < 10000 * MS);
}

static void a_path_that_begins_to_bleach_loses_its_marks(void)
{
    transfer_over("/ptcp", 0, STK_ECN_NOT, 1000);
    CU_ASSERT_TRUE(far_end.marked >= 900);
    CU_ASSERT_TRUE(far_end.marked < 1500);
}

static CU_TestInfo tests[] = {
    {"counts must cover what was marked", counts_must_cover_what_was_marked},
    {"counts never fall", counts_never_fall},
    {"ten lost packets end the test", ten_lost_packets_end_the_test},
    {"silence ends the use of marks", silence_ends_the_use_of_marks},
    {"marks replace losses", marks_replace_losses},
    {"a path that bleaches gets ten marks", a_path_that_bleaches_gets_ten_marks},
    {"a path that rewrites gets ten marks", a_path_that_rewrites_gets_ten_marks},
    {"a path that drops marks is crossed without", a_path_that_drops_marks_is_crossed_without},
    {"a path that begins to bleach loses its marks", a_path_that_begins_to_bleach_loses_its_marks},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("sim ecn", tests)
