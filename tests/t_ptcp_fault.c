/*
 * Goal: a machine without memory costs connections, never more: no crash, no leak, no wrong byte,
 * nobody who waits for ever. Method: connect, move bytes both ways and close on a simulated
 * network, once for each allocation that this takes, which fails alone or with all that follow.
 */
#include "fault.h"
#include "harness.h"
#include "seal.h"
#include "transfer.h"

#include <string.h>

enum { MS = 1000, SECOND = 1000 * MS, BYTES = 60000, ALLOCATIONS_MAX = 4000 };

static void start(struct transfer *transfer, struct stk_sim *sim, bool sealed,
                  struct stk_key_pair *pair)
{
    const uint8_t seed[32] = {7};
    char key[STK_KEY_TEXT_MAX], connect[256];
    struct stk_error error = {0};

    stk_key_pair_from_seed(pair, seed);
    if (stk_seal_set_identity(stk_sim_loop(sim), pair) < 0)
        return;
    stk_key_format(pair->public_key, key);
    snprintf(connect, sizeof(connect), "/ip4/10.0.0.1/simudp/4001%s%s/ptcp,user-timeout=20s",
             sealed ? "/seal,peer=" : "", sealed ? key : "");
    transfer->client.send_bytes = transfer->server.send_bytes = BYTES;
    transfer->client.close_within_us = transfer->server.close_within_us = 60 * SECOND;
    transfer_start(transfer, sim,
                   sealed ? "/ip4/10.0.0.1/simudp/4001/seal/ptcp,user-timeout=20s"
                          : "/ip4/10.0.0.1/simudp/4001/ptcp,user-timeout=20s",
                   connect, 1, &error);
}

static bool is_over(const struct transfer_side *side) { return !side->conn || side->closed; }

static void clean_up(struct transfer *transfer, struct stk_sim *sim)
{
    if (!is_over(&transfer->client))
        stk_conn_abort(transfer->client.conn);
    if (!is_over(&transfer->server))
        stk_conn_abort(transfer->server.conn);
    if (transfer->listener)
        stk_listener_close(transfer->listener);
    CU_ASSERT_EQUAL(stk_sim_run(sim), 0);
    stk_sim_free(sim);
}

/*
 * True if everything arrived. `patient`: whoever still waits has been told by a failing write, and
 * is closed at the end.
 */
static bool whole_life(bool sealed, bool patient)
{
    static const struct stk_sim_wire wire = {.delay_us = 5 * MS, .rate_bit_s = 20000000};
    struct transfer transfer = {.accepted = 0};
    struct stk_sim_host *client, *server;
    struct stk_sim_link *link;
    struct stk_key_pair pair;
    struct stk_sim *sim;

    if (stk_sim_new(&(struct stk_sim_options){.seed = 1}, &sim) < 0)
        return false;
    if (stk_sim_host_add(sim, "server", "10.0.0.1", &server) == 0 &&
        stk_sim_host_add(sim, "client", "10.0.0.2", &client) == 0 &&
        stk_sim_link_add(sim, client, server, &wire, NULL, &link) == 0)
        start(&transfer, sim, sealed, &pair);
    stk_sim_run_for(sim, 200 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(patient || is_over(&transfer.client));
    CU_ASSERT_TRUE(patient || is_over(&transfer.server));
    CU_ASSERT_FALSE(transfer.client.in.wrong || transfer.server.in.wrong);
    const bool complete = transfer_is_complete(&transfer);
    clean_up(&transfer, sim);
    return complete;
}

static void fail_each_allocation(bool sealed, enum fault_repeat repeat)
{
    int complete = 0;

    for (long n = 1; n < ALLOCATIONS_MAX; n++) {
        const unsigned before = CU_get_number_of_failures();

        fault_heap_install();
        fault_heap_fail(n, repeat);
        complete += whole_life(sealed, repeat == FAULT_FROM_THEN_ON);
        const bool failed = fault_heap_has_failed();
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
        if (CU_get_number_of_failures() > before)
            printf("\n    with allocation %ld failing", n);
        if (CU_get_number_of_failures() > before + 5)
            return;
        if (!failed) {
            CU_ASSERT_TRUE(complete > 0);
            return;
        }
    }
    CU_FAIL("the scenario never came to its end");
}

static void a_plain_connection_survives_each_failing_allocation(void)
{
    fail_each_allocation(false, FAULT_ONCE);
}

static void a_sealed_connection_survives_each_failing_allocation(void)
{
    fail_each_allocation(true, FAULT_ONCE);
}

static void a_plain_connection_ends_in_order_when_memory_is_gone_for_good(void)
{
    fail_each_allocation(false, FAULT_FROM_THEN_ON);
}

static void a_sealed_connection_ends_in_order_when_memory_is_gone_for_good(void)
{
    fail_each_allocation(true, FAULT_FROM_THEN_ON);
}

static CU_TestInfo tests[] = {
    {"a plain connection survives each failing allocation",
     a_plain_connection_survives_each_failing_allocation},
    {"a sealed connection survives each failing allocation",
     a_sealed_connection_survives_each_failing_allocation},
    {"a plain connection ends in order when memory is gone for good",
     a_plain_connection_ends_in_order_when_memory_is_gone_for_good},
    {"a sealed connection ends in order when memory is gone for good",
     a_sealed_connection_ends_in_order_when_memory_is_gone_for_good},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN_WITHIN("ptcp fault", tests, 0)
