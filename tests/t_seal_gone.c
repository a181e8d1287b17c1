/*
 * Goal: what was dropped, removed or doubted in vain has no say any more, and what is offered again
 * is there again. Method: sealed ports with several sockets on a virtual wire; calls in one turn,
 * answers that come too late.
 */
#include "seal_pair.h"

#include "layer.h"

#include <sodium.h>

static struct world_node *left, *right; /* further sockets: of a, of b */
static uint8_t at_left, at_right;
static uint32_t first, second; /* path ids at a */
static int validated, path_failed;
static int replaces; /* when a path is validated, 1: removes its transport, 2: and adds another */

static void on_path(void *user, uint64_t association, const struct stk_seal_path *path,
                    enum stk_seal_path_event event)
{
    (void)user, (void)association, (void)path;
    if (event == STK_SEAL_PATH_VALIDATED && replaces > 0)
        stk_seal_remove_transport(a->port, at_left);
    if (event == STK_SEAL_PATH_VALIDATED && replaces > 1)
        CU_ASSERT_EQUAL(stk_seal_add_transport(a->port, left->port, &at_left), 0);
    validated += event == STK_SEAL_PATH_VALIDATED;
    path_failed += event == STK_SEAL_PATH_FAILED;
}

static struct world_node *add_socket(struct world_node *node, uint8_t *number)
{
    struct world_node *socket = NULL;
    struct stk_error error = {0};

    CU_ASSERT_EQUAL_FATAL(world_open_recipe(&world, "/wire", false, &socket, &error), 0);
    CU_ASSERT_EQUAL_FATAL(stk_seal_add_transport(node->port, socket->port, number), 0);
    return socket;
}

static int offer(uint8_t transport, const struct stk_addr *peer, uint32_t *path)
{
    const struct stk_seal_offer way = {.transport = transport, .peer = peer};

    return stk_seal_offer_path(a->port, id, &way, path);
}

/* Two sockets at each side, and a proved path between the second ones. */
static void start(void)
{
    establish();
    left = add_socket(a, &at_left);
    right = add_socket(b, &at_right);
    stk_seal_watch_paths(a->port, on_path, NULL);
    first = seal_path_active(world_association(a, id))->id;
    CU_ASSERT_EQUAL_FATAL(offer(at_left, &right->addr, &second), 0);
    world_run(&world, SECOND);
    validated = path_failed = replaces = 0;
}

static void use(uint32_t path)
{
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), 0);
    world_run(&world, SECOND);
}

static struct seal_path *in_use(void) { return seal_path_active(world_association(a, id)); }

static bool drop_all(struct world *w, struct world_packet *packet)
{
    (void)w, (void)packet;
    return false;
}

/* --- Doubts ------------------------------------------------------------------------------------
 */

static void a_doubt_that_nobody_answered_is_over(void)
{
    start();
    world.filter = drop_all;
    stk_port_doubt(a->port, id);
    world_run(&world, 20 * SECOND);
    CU_ASSERT_EQUAL(path_failed, 2);
    world.filter = NULL;
    world_send_number(a, id, 1);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[1], 1);
    CU_ASSERT_EQUAL(stk_seal_probe_path(a->port, id, second), 0);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(validated, 1);
    CU_ASSERT_EQUAL(a->moved, 0);
    CU_ASSERT_EQUAL(in_use()->id, first);
    end();
}

static void a_doubt_ends_with_the_last_path_that_was_asked(void)
{
    start();
    world.filter = drop_all;
    stk_port_doubt(a->port, id);
    stk_seal_drop_path(a->port, id, second);
    world_run(&world, 20 * SECOND);
    world.filter = NULL;
    CU_ASSERT_EQUAL(offer(at_left, &right->addr, &second), 0);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(validated, 1);
    CU_ASSERT_EQUAL(a->moved, 0);
    end();
}

/* What the peer says comes all the time, and what is said to it never arrives. */
static bool one_way(struct world *w, struct world_packet *packet)
{
    (void)w;
    return !stk_addr_equal(&packet->to, &b->addr);
}

static void a_path_that_is_dead_in_one_direction_is_left(void)
{
    start();
    world.filter = one_way;
    stk_port_doubt(a->port, id);
    for (unsigned i = 0; i < 30; i++) {
        world_send_number(b, b->retained, i);
        world_run(&world, 1000);
    }
    CU_ASSERT_TRUE(a->seen[5]);
    CU_ASSERT_EQUAL(a->moved, 1);
    CU_ASSERT_EQUAL(in_use()->id, second);
    end();
}

/* --- Dropping ----------------------------------------------------------------------------------
 */

static bool slow_over_second(struct world *w, struct world_packet *packet)
{
    (void)w;
    if (stk_addr_equal(&packet->from, &right->addr))
        packet->due_us += SECOND / 2;
    return true;
}

static void a_late_echo_over_a_dropped_first_path_moves_nothing(void)
{
    start();
    use(second);
    world.filter = slow_over_second;
    stk_port_doubt(a->port, id);
    CU_ASSERT_EQUAL(stk_seal_drop_path(a->port, id, first), 0);
    world_run(&world, 3 * WORLD_DELAY_US); /* the echo over the first one is there */
    CU_ASSERT_EQUAL(in_use()->id, second);
    CU_ASSERT_FALSE(seal_path_is_gone(in_use()));
    world.filter = NULL;
    world_run(&world, 20 * SECOND);
    world_send_number(a, id, 7);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[7], 1);
    CU_ASSERT_EQUAL(a->moved, 1);
    CU_ASSERT_EQUAL(stk_seal_probe_path(a->port, id, first), -ENOENT);
    end();
}

static void what_is_dropped_and_offered_again_in_one_turn_is_there(void)
{
    uint32_t again;

    for (int i = 0; i < 2; i++) {
        start();
        if (i == 1)
            use(second);
        CU_ASSERT_EQUAL(stk_seal_drop_path(a->port, id, i ? first : second), 0);
        CU_ASSERT_EQUAL(i ? offer(0, &b->addr, &again) : offer(at_left, &right->addr, &again), 0);
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(validated, 1);
        CU_ASSERT_EQUAL(stk_seal_paths(a->port, id, NULL, 0), 2);
        use(again);
        CU_ASSERT_EQUAL(in_use()->id, again);
        CU_ASSERT_EQUAL(a->moved, 1 + i);
        end();
    }
}

/* --- Transports that go ------------------------------------------------------------------------
 */

static void a_path_that_was_chosen_and_lost_in_one_turn_is_not_used(void)
{
    start();
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, second), 0);
    stk_seal_remove_transport(a->port, at_left);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(in_use()->id, first);
    CU_ASSERT_EQUAL(a->moved, 0);
    world_send_number(a, id, 7);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[7], 1);
    end();
}

static void paths_whose_transport_went_while_in_use_do_not_pile_up(void)
{
    uint32_t path;

    start();
    for (int i = 0; i < STK_SEAL_PATHS_OFFERED_MAX + 4; i++) {
        CU_ASSERT_EQUAL_FATAL(offer(at_left, &right->addr, &path), 0);
        world_run(&world, SECOND);
        use(path);
        stk_seal_remove_transport(a->port, at_left);
        world_run(&world, SECOND);
        CU_ASSERT_TRUE(seal_path_is_gone(in_use()));
        CU_ASSERT_EQUAL_FATAL(offer(0, &b->addr, &path), 0);
        world_run(&world, SECOND);
        use(path);
        CU_ASSERT_EQUAL(stk_seal_paths(a->port, id, NULL, 0), 1);
        CU_ASSERT_EQUAL_FATAL(stk_seal_add_transport(a->port, left->port, &at_left), 0);
    }
    const struct seal_path *path_left = seal_path_first(world_association(a, id));
    CU_ASSERT_PTR_NULL(path_left->next);
    end();
}

static void the_rest_of_a_batch_goes_with_its_transport(void)
{
    for (int how = 1; how <= 2; how++) {
        start();
        use(second);
        CU_ASSERT_EQUAL(stk_seal_probe_path(a->port, id, second), 0);
        world_run(&world, WORLD_DELAY_US / 2);
        world.filter = drop_all;
        world_run(&world, WORLD_DELAY_US); /* the challenge is there and its echo kept */
        world_send_number(b, b->retained, 9);
        struct world_packet *last = &world.log[world.logged - 1];
        struct stk_run runs[] = {world_run_of(last - 1), world_run_of(last)};
        CU_ASSERT_EQUAL(runs[0].size, SEAL_CHALLENGE_BYTES);
        replaces = how;
        stk_dgram_input_above(left->wire, runs, 2);
        CU_ASSERT_EQUAL(validated, 1);
        CU_ASSERT_EQUAL(a->seen[9], 0);
        replaces = 0;
        world.filter = NULL;
        world_run(&world, SECOND);
        for (struct seal_path *path = seal_path_first(world_association(a, id)); path;
             path = path->next)
            CU_ASSERT_NOT_EQUAL(path->way, at_left); /* none of the transport before */
        end();
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a doubt that nobody answered is over", a_doubt_that_nobody_answered_is_over},
        {"a doubt ends with the last path that was asked",
         a_doubt_ends_with_the_last_path_that_was_asked},
        {"a path that is dead in one direction is left",
         a_path_that_is_dead_in_one_direction_is_left},
        {"a late echo over a dropped first path moves nothing",
         a_late_echo_over_a_dropped_first_path_moves_nothing},
        {"what is dropped and offered again in one turn is there",
         what_is_dropped_and_offered_again_in_one_turn_is_there},
        {"a path that was chosen and lost in one turn is not used",
         a_path_that_was_chosen_and_lost_in_one_turn_is_not_used},
        {"paths whose transport went while in use do not pile up",
         paths_whose_transport_went_while_in_use_do_not_pile_up},
        {"the rest of a batch goes with its transport",
         the_rest_of_a_batch_goes_with_its_transport},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    make_keys();
    return stk_test_run("seal gone", tests, STK_TEST_LIMIT_S);
}
