/*
 * Goal: whatever is sent to a listener from a forged address, in any order, sends to that address
 * no more than three times as much. Method: conversations of whole stacks, plain and sealed, are
 * recorded in the simulator; their packets come again, copied, cut and spoilt, from the address of
 * a victim that never answers, to the same listener and to one that was started anew.
 */
#include "harness.h"
#include "seal.h"
#include "transfer.h"

#include <inttypes.h>

enum {
    SECOND = 1000000,
    RECORDED_MAX = 256,
    BYTES_MAX = 2048,
    SEEDS = 60,
    ROUNDS = 60,
    FIRST_MAX = 3,
    CHOICE_MAX = 3
};

struct recorded {
    uint16_t size;
    uint8_t bytes[BYTES_MAX];
};

static struct {
    struct stk_sim *sim;
    struct stk_sim_host *server, *victim;
    struct stk_key_pair key;
    struct stk_prng prng;
    struct stk_addr from, to;             /* the victim and the listener */
    uint64_t in, out;                     /* bytes in the victim's name, and to it */
    int choice[CHOICE_MAX], choice_count; /* the packets of this run */
    bool broken;
} world;

static struct recorded recording[RECORDED_MAX];
static int recorded, answers;

/* What the client sends to the server, when it talks to it. */
static enum stk_sim_verdict record(void *user, struct stk_sim_host *host,
                                   struct stk_sim_packet *packet)
{
    (void)user;
    (void)host;
    if (recorded < RECORDED_MAX && packet->size <= BYTES_MAX) {
        recording[recorded].size = packet->size;
        memcpy(recording[recorded++].bytes, packet->data, packet->size);
    }
    return STK_SIM_PASS;
}

static enum stk_sim_verdict count(void *user, struct stk_sim_host *host,
                                  struct stk_sim_packet *packet)
{
    (void)user;
    (void)host;
    world.out += packet->size;
    world.broken |= world.out > 3 * world.in;
    return STK_SIM_DROP;
}

/* The client of the recording has the address 10.0.0.2. */
static void open_world(uint64_t seed, const char *victim)
{
    static const struct stk_sim_wire wire = {.delay_us = 10000};
    const uint8_t key_seed[32] = {7};
    struct stk_sim_link *link;

    memset(&world, 0, sizeof world);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = seed}, &world.sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(world.sim, "server", "10.0.0.1", &world.server), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(world.sim, "victim", victim, &world.victim), 0);
    CU_ASSERT_EQUAL_FATAL(
        stk_sim_link_add(world.sim, world.victim, world.server, &wire, NULL, &link), 0);
    stk_key_pair_from_seed(&world.key, key_seed);
    stk_seal_set_identity(stk_sim_loop(world.sim), &world.key);
    stk_prng_seed(&world.prng, seed);
    stk_addr_parse_ip(&world.from, victim, 5000);
    stk_addr_parse(&world.to, "10.0.0.1:4001");
}

static void on_opened(struct stk_conn *conn)
{
    static const uint8_t greeting[20000];

    stk_conn_write(conn, greeting, sizeof greeting);
}

/* It has much to say to whoever comes. */
static const struct stk_protocol greeter = {.opened = on_opened};

/* Those that begin a conversation get answers, most of all if nothing longer comes between them. */
static void choose_packets(void)
{
    const bool any = stk_prng_below(&world.prng, 4) == 0;

    world.choice_count = 1 + (int)stk_prng_below(&world.prng, CHOICE_MAX);
    for (int i = 0; i < world.choice_count; i++)
        world.choice[i] = (int)stk_prng_below(&world.prng, any ? (uint64_t)recorded : FIRST_MAX);
}

static void forge(void)
{
    const int which = world.choice[stk_prng_below(&world.prng, (uint64_t)world.choice_count)];
    struct recorded copy = recording[which];
    struct stk_sim_packet sent = {
        .from = world.from, .to = world.to, .data = copy.bytes, .size = copy.size};
    const uint64_t fate = stk_prng_below(&world.prng, 10);

    if (fate == 0)
        sent.size = (uint16_t)stk_prng_below(&world.prng, copy.size);
    else if (fate == 1)
        copy.bytes[stk_prng_below(&world.prng, copy.size)] ^= 1;
    world.in += sent.size;
    CU_ASSERT_EQUAL(stk_sim_inject(world.victim, &sent), 0);
}

/* Many at once, or one now and then: retries and time-outs get their turn, too. */
static void attack(void)
{
    const bool hasty = stk_prng_below(&world.prng, 2);

    choose_packets();
    for (int i = 0; i < ROUNDS; i++) {
        forge();
        stk_sim_run_for(world.sim, stk_prng_below(&world.prng, hasty ? 2000 : 2 * SECOND));
    }
    stk_sim_run_for(world.sim, 30 * SECOND);
}

static void addresses(bool sealed, char listen[128], char connect[256])
{
    char key[STK_KEY_TEXT_MAX];

    stk_key_format(world.key.public_key, key);
    snprintf(listen, 128, "/ip4/10.0.0.1/simudp/4001%s/ptcp", sealed ? "/seal" : "");
    snprintf(connect, 256, "/ip4/10.0.0.1/simudp/4001%s%s/ptcp", sealed ? "/seal,peer=" : "",
             sealed ? key : "");
}

static void record_a_conversation(bool sealed)
{
    char listen[128], connect[256];
    struct transfer transfer = {.client.send_bytes = 50000, .server.send_bytes = 50000};
    struct stk_error error = {0};

    recorded = 0;
    open_world(1, "10.0.0.2");
    addresses(sealed, listen, connect);
    stk_sim_host_set_hook(world.server, record, NULL);
    CU_ASSERT_EQUAL_FATAL(transfer_start(&transfer, world.sim, listen, connect, 1, &error), 0);
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    CU_ASSERT_TRUE(transfer_is_complete(&transfer));
    CU_ASSERT_TRUE(recorded > 10);
    stk_sim_free(world.sim);
}

/* `seed` 1 as the listener's own gives it the keys and random numbers of the recording. */
static bool withstands(uint64_t seed, bool sealed, const char *victim)
{
    char listen[128], connect[256];
    struct stk_listener *listener;
    struct stk_error error = {0};

    open_world(seed % 3 == 0 ? 1 : seed + 1000, victim);
    stk_prng_seed(&world.prng, seed);
    addresses(sealed, listen, connect);
    stk_sim_host_set_hook(world.victim, count, NULL);
    stk_sim_set_current_host(world.sim, world.server);
    CU_ASSERT_EQUAL_FATAL(
        stk_listen(stk_sim_loop(world.sim), listen, &greeter, NULL, &listener, &error), 0);
    attack();
    const bool ok = !world.broken && world.in > 0;
    if (!ok)
        printf("\n    seed %" PRIu64 ", %s from %s: %" PRIu64 " bytes in, %" PRIu64 " out\n", seed,
               sealed ? "sealed" : "plain", victim, world.in, world.out);
    answers += world.out > 0;
    stk_listener_close(listener);
    stk_sim_run(world.sim);
    stk_sim_free(world.sim);
    return ok;
}

/*
 * A plain SYN with a cookie proves its sender's address as long as the cookie lives: a recording of
 * it is good for that address only. Nothing that was sealed proves any address a second time.
 */
static void no_order_of_packets_amplifies(bool sealed)
{
    answers = 0;
    record_a_conversation(sealed);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        CU_ASSERT_TRUE(withstands(seed, sealed, "10.0.0.3"));
        if (sealed)
            CU_ASSERT_TRUE(withstands(seed, sealed, "10.0.0.2"));
    }
    CU_ASSERT_TRUE(answers > SEEDS / 2); /* it was not deaf */
}

static void no_order_of_plain_packets_amplifies(void) { no_order_of_packets_amplifies(false); }
static void no_order_of_sealed_packets_amplifies(void) { no_order_of_packets_amplifies(true); }

static CU_TestInfo tests[] = {
    {"no order of plain packets amplifies", no_order_of_plain_packets_amplifies},
    {"no order of sealed packets amplifies", no_order_of_sealed_packets_amplifies},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("sim amplify", tests)
