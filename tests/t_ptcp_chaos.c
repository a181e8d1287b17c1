/*
 * Goal: whatever many users, the network, lower layers and the heap do, books balance at all times,
 * no byte is wrong, nobody waits for ever, and nothing is left at the end. Method: two endpoints
 * with many connections over a few associations; a seed chooses what happens in each moment:
 * opening, writing, reading, ending, loss, silence, associations that move and fail, allocations
 * that fail. Users do only what events tell them to. Then the network calms down, and everything
 * must arrive.
 *
 * Seeds of one's own: t_ptcp_chaos FIRST COUNT
 */
#include "ptcp_chaos.h"

enum {
    MOMENTS = 1500,
    CALM_US = 240 * SECOND,
    SEEDS = 6,
};

struct chaos world;

static uint64_t first_seed = 1, seeds = SEEDS;
static uint64_t complete; /* users who have got all */

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t next_us(void)
{
    uint64_t us = pair_next_us(&world.pair);

    for (uint64_t id = 1; id <= world.last_link; id++)
        us = min_u64(us, min_u64(world.links[id].ready_us, world.links[id].fail_us));
    return us;
}

static void happen(void)
{
    struct pair *pair = &world.pair;

    for (int side = 0; side < 2; side++) {
        ptcp_timeout(pair->end[side], pair->now_us);
        chaos_tell(side);
    }
    chaos_serve_links();
    while (pair->flying && pair->flying->due_us <= pair->now_us) {
        chaos_deliver_some();
        chaos_tell(PAIR_A);
        chaos_tell(PAIR_B);
    }
    chaos_act_all();
    for (int side = 0; side < 2; side++) {
        chaos_flush(side, !world.calm && chance(10) ? (unsigned)below(4) : UINT32_MAX);
        chaos_tell(side);
    }
}

static void go_on(uint64_t until_us)
{
    struct pair *pair = &world.pair;
    uint64_t same = 0;

    while (pair->now_us < until_us) {
        const uint64_t us = min_u64(next_us(), until_us);

        same = us <= pair->now_us ? same + 1 : 0;
        CHECK(same < 20000); /* time stands still */
        pair->now_us = us > pair->now_us ? us : pair->now_us;
        happen();
    }
}

static void disturb(void)
{
    if (world.hostile && chance(30))
        chaos_lie_to(&world.users[below(2)][below(CHAOS_USERS)]);
    if (chance(50))
        chaos_open_one();
    for (uint64_t n = below(16); n > 0; n--)
        chaos_disturb_user();
    if (chance(3))
        chaos_disturb_network();
    if (world.sealed && chance(3))
        chaos_disturb_link();
    if (world.faults && chance(5))
        fault_heap_fail(1 + (long)below(100), FAULT_ONCE);
}

static void set_up(uint64_t seed, bool sealed, bool faults, bool hostile)
{
    memset(&world, 0, sizeof(world));
    fault_heap_install();
    world.seed = seed;
    world.sealed = sealed;
    world.faults = faults;
    world.hostile = hostile;
    stk_prng_seed(&world.pair.prng, seed);
    world.durable = sealed && chance(50);
    world.links_used = chance(50) ? 1 : CHAOS_LINKS;
    world.port = (struct ptcp_endpoint_options){.max_datagram = 1472,
                                                .memory_bytes = chance(30) ? 4 << 20 : 64 << 20};
}

static int any_key(void *context, uint64_t association, uint8_t key[32])
{
    (void)context;
    (void)association;
    memset(key, 9, 32);
    return 0;
}

static void begin(void)
{
    world.port.peer_key = any_key;
    pair_init_with(&world.pair, world.seed, world.sealed, world.port);
    world.listen = (struct stk_ptcp_options){.durable_us = world.durable ? CHAOS_DURABLE_US : 0};
    for (int side = 0; side < 2; side++) {
        world.records[side] = world.pair.end[side]->records.left;
        ptcp_listen(world.pair.end[side], &world.listen, 1000);
    }
    for (int i = 0; world.sealed && i < (int)world.links_used; i++)
        world.link[i] = chaos_new_link();
    chaos_disturb_network();
}

static void settle(void)
{
    chaos_calm_down();
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < CHAOS_USERS; i++)
            world.users[side][i].finishes = true;
    go_on(world.pair.now_us + CALM_US);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < CHAOS_USERS; i++)
            complete += chaos_check_outcome(&world.users[side][i]);
}

static void end(void)
{
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < CHAOS_USERS; i++)
            if (world.users[side][i].conn)
                chaos_leave(&world.users[side][i]);
    go_on(world.pair.now_us + 120 * (uint64_t)SECOND);
    for (int side = 0; side < 2; side++)
        chaos_check_nothing_is_left(side);
    pair_free(&world.pair);
    CHECK(fault_heap_remove() == 0);
}

static void run(uint64_t seed, bool sealed, bool faults, bool hostile)
{
    set_up(seed, sealed, faults, hostile);
    begin();
    for (int moment = 0; moment < MOMENTS; moment++) {
        disturb();
        go_on(world.pair.now_us + below(20 * MS));
        if (moment % 16 == 0) {
            chaos_check_books(PAIR_A);
            chaos_check_books(PAIR_B);
        }
    }
    settle();
    end();
}

static void run_all(bool sealed, bool faults, bool hostile)
{
    complete = 0;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
        run(seed, sealed, faults, hostile);
    CU_ASSERT_TRUE(complete > seeds);
}

static void plain_connections_survive_chaos(void) { run_all(false, false, false); }
static void connections_of_associations_survive_chaos(void) { run_all(true, false, false); }
static void so_do_plain_ones_on_a_heap_that_fails(void) { run_all(false, true, false); }
static void so_do_others_on_a_heap_that_fails(void) { run_all(true, true, false); }
static void plain_peers_who_lie_harm_only_themselves(void) { run_all(false, true, true); }
static void sealed_peers_who_lie_harm_only_themselves(void) { run_all(true, true, true); }

static CU_TestInfo tests[] = {
    {"plain connections survive chaos", plain_connections_survive_chaos},
    {"connections of associations survive chaos", connections_of_associations_survive_chaos},
    {"so do plain ones on a heap that fails", so_do_plain_ones_on_a_heap_that_fails},
    {"so do others on a heap that fails", so_do_others_on_a_heap_that_fails},
    {"plain peers who lie harm only themselves", plain_peers_who_lie_harm_only_themselves},
    {"sealed peers who lie harm only themselves", sealed_peers_who_lie_harm_only_themselves},
    CU_TEST_INFO_NULL,
};

int main(int argc, char **argv)
{
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seeds = strtoull(argv[2], NULL, 10);
    }
    return stk_test_run("ptcp chaos", tests, argc == 3 ? 0 : STK_TEST_LIMIT_S);
}
