/*
 * Goal: whatever two sealed ports do to each other, and whatever the network, the clock and the
 * heap do to them, their books balance, a new association gets ready afterwards, and nothing is
 * left at the end. Method: a seed chooses calls, moves, losses, copies, late and false packets,
 * hours that pass and allocations that fail.
 *
 * Seeds of one's own: t_seal_chaos FIRST COUNT
 */
#include "fault.h"
#include "harness.h"
#include "seal_world.h"

#include <sodium.h>
#include <string.h>

enum { MS = 1000, SECOND = 1000 * MS, MINE = 6, MOMENTS = 1500, SEEDS = 24 };

static struct world world;
static struct world_node *node[2];
static struct stk_key_pair keys[2];
static uint64_t mine[2][MINE]; /* associations that a side retains once; 0: none */
static unsigned loss, copies, spoilt;
static uint64_t seed, first_seed = 1, seeds = SEEDS;
static bool faults;

static uint64_t below(uint64_t bound) { return stk_prng_below(&world.prng, bound); }
static bool chance(unsigned percent) { return below(100) < percent; }

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("\n    seed %llu: %s\n", (unsigned long long)seed, #condition);                 \
            CU_FAIL_FATAL(#condition);                                                             \
        }                                                                                          \
    } while (0)

/* --- Books -------------------------------------------------------------------------------------
 */

static bool has_session(const struct seal_association *a, const struct seal_session *session)
{
    bool found = !session;

    for (int i = 0; i < SEAL_SESSIONS; i++)
        found |= a->sessions[i] == session;
    return found;
}

static bool has_path(const struct seal_association *a, const struct seal_path *wanted)
{
    bool found = !wanted;

    for (const struct seal_path *path = seal_path_first(a); path; path = path->next)
        found |= path == wanted;
    return found;
}

static void check_association(const struct seal_association *a)
{
    CHECK(has_session(a, a->current) && has_session(a, a->previous) && has_session(a, a->next));
    CHECK(!a->current || (a->current != a->previous && a->current != a->next));
    CHECK(a->active && has_path(a, a->active) && has_path(a, a->spoken));
    CHECK(has_path(a, a->candidate) && has_path(a, a->wanted));
    CHECK(a->state != SEAL_DEAD || (!a->attempt && !a->answer && !a->current));
}

static void check_books(int side)
{
    struct seal_port *port = world_seal(node[side]);
    uint32_t live = 0, opening = 0, attempts = 0;

    for (uint32_t i = 0; i < port->slot_count; i++) {
        const struct seal_association *a = port->slots[i];

        if (!a)
            continue;
        live++;
        opening += a->state == SEAL_NEW || a->state == SEAL_INITIATING;
        attempts += a->attempt != NULL;
        check_association(a);
    }
    CHECK(live == port->live && opening == port->opening && attempts == port->attempts);
}

/* --- The network -------------------------------------------------------------------------------
 */

static bool disturb_packet(struct world *w, struct world_packet *packet)
{
    struct world_packet copy = *packet;

    packet->due_us += below(4) ? 0 : below(60 * MS);
    if (below(100) < copies)
        world_inject(w, &copy.from, &copy.to, copy.data, copy.len);
    if (below(100) < spoilt && packet->len > 0)
        packet->data[below(packet->len)] ^= (uint8_t)(1 + below(255));
    if (below(100) < spoilt / 2)
        packet->len = (uint16_t)below(packet->len + UINT64_C(1));
    return below(100) >= loss;
}

static struct stk_addr any_addr(int side)
{
    return world_addr(10 * side + 1 + (int)below(3), (uint16_t)(4000 + below(3)));
}

/* Somebody recorded it, and plays it, from wherever he is. */
static void replay(void)
{
    if (world.logged == 0)
        return;
    const struct world_packet *old = &world.log[below((uint64_t)world.logged)];
    const int to = (int)below(2);
    const struct stk_addr from = chance(50) ? old->from : any_addr((int)below(2));

    world_inject(&world, &from, &node[to]->addr, old->data, old->len);
}

/* --- Owners ------------------------------------------------------------------------------------
 */

static void begin_one(int side)
{
    uint64_t *place = &mine[side][below(MINE)];
    const struct stk_addr peer = chance(80) ? node[!side]->addr : any_addr(!side);
    const struct stk_seal_offer offer = {.peer = &peer};

    if (*place == 0 &&
        stk_seal_associate(node[side]->port, keys[!side].public_key, &offer, place) < 0)
        *place = 0;
}

static void leave_one(int side)
{
    uint64_t *place = &mine[side][below(MINE)];

    if (*place)
        stk_port_release(node[side]->port, *place);
    *place = 0;
}

/* Of those it began itself, or that the peer did. */
static uint64_t any_of(int side)
{
    return chance(70) ? mine[side][below(MINE)] : node[side]->association;
}

static void choose_path(int side, uint64_t id)
{
    struct stk_port *port = node[side]->port;
    struct stk_seal_path paths[STK_SEAL_PATHS_MAX];
    const struct stk_addr peer = chance(50) ? node[!side]->addr : any_addr(!side);
    const struct stk_addr local = node[side]->addr;
    const struct stk_seal_offer offer = {.peer = &peer, .local = chance(20) ? &local : NULL};
    const int count = stk_seal_paths(port, id, paths, STK_SEAL_PATHS_MAX);
    uint32_t path;

    CHECK(count <= STK_SEAL_PATHS_MAX);
    if (count <= 0)
        return;
    path = paths[below((uint64_t)count)].id;
    switch (below(4)) {
    case 0:
        stk_seal_offer_path(port, id, &offer, &path);
        break;
    case 1:
        stk_seal_use_path(port, id, path);
        break;
    case 2:
        stk_seal_drop_path(port, id, path);
        break;
    default:
        stk_seal_probe_path(port, id, path);
    }
}

static void do_something(int side)
{
    uint8_t data[1300] = {1};
    const uint64_t id = any_of(side);

    switch (below(10)) {
    case 0:
        begin_one(side);
        break;
    case 1:
        if (chance(20))
            leave_one(side);
        break;
    case 2:
        if (chance(30))
            node[side]->addr = any_addr(side);
        break;
    case 3:
        choose_path(side, id);
        break;
    case 4:
        stk_port_doubt(node[side]->port, id);
        break;
    case 5:
        if (chance(20))
            stk_port_renew(node[side]->port, id);
        break;
    case 6:
        replay();
        break;
    case 7:
        node[side]->full = chance(10);
        break;
    default:
        world_send(node[side], id, data, 1 + below(sizeof(data)));
    }
}

/* --- The run -----------------------------------------------------------------------------------
 */

static void open_node(int side)
{
    struct stk_error error = {0};

    stk_seal_set_identity(world.loop, &keys[side]);
    CHECK(world_open(&world, chance(50) ? "" : ",keepalive=10s", true, &node[side], &error) == 0);
    node[side]->addr = any_addr(side);
}

static void set_up(void)
{
    fault_heap_install();
    CHECK(world_init(&world, seed));
    memset(mine, 0, sizeof(mine));
    for (uint8_t side = 0; side < 2; side++) {
        const uint8_t bytes[32] = {side, 7};

        stk_key_pair_from_seed(&keys[side], bytes);
        open_node(side);
    }
    world.filter = disturb_packet;
}

static void pass_time(void)
{
    if (chance(2))
        world_run(&world, below(200 * (uint64_t)SECOND));
    else
        world_run(&world, below(chance(20) ? SECOND : 30 * MS));
    if (world.logged == WORLD_PACKETS)
        world.logged = 0;
}

static void change_weather(void)
{
    loss = chance(50) ? (unsigned)below(60) : 0;
    copies = chance(50) ? (unsigned)below(40) : 0;
    spoilt = chance(30) ? (unsigned)below(30) : 0;
}

static void calm_down(void)
{
    fault_heap_fail(0, FAULT_ONCE);
    world.filter = NULL;
    for (int side = 0; side < 2; side++)
        node[side]->full = false;
}

/* What was before must not keep a new one from its answer. */
static void check_that_a_new_one_works(void)
{
    const struct stk_seal_offer offer = {.peer = &node[1]->addr};
    uint64_t id;

    node[0]->addr = world_addr(9, 4009);
    node[1]->addr = world_addr(19, 4019);
    CHECK(stk_seal_associate(node[0]->port, keys[1].public_key, &offer, &id) == 0);
    CHECK(world_send(node[0], id, "hello", 5) == 1);
    world_run(&world, 5 * SECOND);
    CHECK(world_association(node[0], id)->state == SEAL_READY);
    CHECK(node[1]->len == 5 && memcmp(node[1]->data, "hello", 5) == 0);
    stk_port_release(node[0]->port, id);
}

static void end(void)
{
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < MINE; i++)
            if (mine[side][i])
                stk_port_release(node[side]->port, mine[side][i]);
    world_run(&world, 400 * (uint64_t)SECOND);
    for (int side = 0; side < 2; side++) {
        check_books(side);
        CHECK(world_seal(node[side])->live == 0);
    }
    world_free(&world);
    CHECK(fault_heap_remove() == 0);
}

static void run(void)
{
    set_up();
    for (int moment = 0; moment < MOMENTS; moment++) {
        if (chance(3))
            change_weather();
        if (faults && chance(5))
            fault_heap_fail(1 + (long)below(30), FAULT_ONCE);
        do_something((int)below(2));
        pass_time();
        check_books(0);
        check_books(1);
    }
    calm_down();
    world_run(&world, 20 * SECOND);
    check_that_a_new_one_works();
    end();
}

static void run_all(bool with_faults)
{
    faults = with_faults;
    for (seed = first_seed; seed < first_seed + seeds; seed++)
        run();
}

static void associations_survive_chaos(void) { run_all(false); }
static void so_do_they_on_a_heap_that_fails(void) { run_all(true); }

static CU_TestInfo tests[] = {
    {"associations survive chaos", associations_survive_chaos},
    {"so do they on a heap that fails", so_do_they_on_a_heap_that_fails},
    CU_TEST_INFO_NULL,
};

int main(int argc, char **argv)
{
    if (sodium_init() < 0)
        return 1;
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seeds = strtoull(argv[2], NULL, 10);
    }
    return stk_test_run("seal chaos", tests, argc == 3 ? 0 : STK_TEST_LIMIT_S);
}
