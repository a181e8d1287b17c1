/*
 * Goal: an association goes over several paths: offered from above, proved, switched without a
 * loss, given up. Method: sealed ports on a virtual wire with more than one socket each; the same
 * over real sockets on loopback.
 */
#include "seal_pair.h"

#include "fault.h"
#include "layer.h"

#include <sodium.h>

enum { EVENTS_MAX = 64 };

struct watched {
    int count[3]; /* by event */
    struct stk_seal_path last[3];
    struct stk_port *port;
    bool drops_failed;
};

static struct watched at_a, at_b;

static void on_path(void *user, uint64_t association, const struct stk_seal_path *path,
                    enum stk_seal_path_event event)
{
    struct watched *watched = user;

    watched->count[event]++;
    watched->last[event] = *path;
    if (watched->drops_failed && event == STK_SEAL_PATH_FAILED)
        CU_ASSERT_EQUAL(stk_seal_drop_path(watched->port, association, path->id), 0);
}

static void watch(struct world_node *node, struct watched *watched)
{
    *watched = (struct watched){.port = node->port};
    CU_ASSERT_EQUAL(stk_seal_watch_paths(node->port, on_path, watched), 0);
}

static void start(void)
{
    establish();
    watch(a, &at_a);
    watch(b, &at_b);
}

/* Another socket of a node. */
static struct world_node *add_socket(struct world_node *node, const char *recipe, uint8_t *number)
{
    struct world_node *socket = NULL;
    struct stk_error error = {0};

    CU_ASSERT_EQUAL_FATAL(world_open_recipe(&world, recipe, false, &socket, &error), 0);
    CU_ASSERT_EQUAL_FATAL(stk_seal_add_transport(node->port, socket->port, number), 0);
    return socket;
}

static uint32_t offer(uint8_t transport, const struct stk_addr *peer)
{
    const struct stk_seal_offer way = {.transport = transport, .peer = peer};
    uint32_t path = 0;

    CU_ASSERT_EQUAL(stk_seal_offer_path(a->port, id, &way, &path), 0);
    return path;
}

static unsigned said;

/* Both say a number every millisecond. */
static void talk(unsigned count)
{
    for (unsigned i = 0; i < count; i++, said++) {
        world_send_number(a, id, said);
        world_send_number(b, b->retained, said);
        world_run(&world, 1000);
    }
}

static unsigned lost(void)
{
    unsigned n = 0;

    world_run(&world, SECOND);
    for (unsigned i = 0; i < said; i++)
        n += (a->seen[i] != 1) + (b->seen[i] != 1);
    return n;
}

static struct stk_addr address_in_use(struct world_node *node, uint64_t association)
{
    return seal_path_active(world_association(node, association))->peer;
}

/* --- Offers ------------------------------------------------------------------------------------
 */

static void an_offered_path_is_validated_and_moves_nothing(void)
{
    uint8_t number;

    start();
    struct world_node *second = add_socket(b, "/wire", &number);
    const uint32_t path = offer(0, &second->addr);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_VALIDATED], 1);
    CU_ASSERT_EQUAL(at_a.last[STK_SEAL_PATH_VALIDATED].id, path);
    CU_ASSERT_EQUAL(at_a.last[STK_SEAL_PATH_VALIDATED].rtt_us, 2 * WORLD_DELAY_US);
    CU_ASSERT_TRUE(at_a.last[STK_SEAL_PATH_VALIDATED].validated);
    CU_ASSERT_FALSE(at_a.last[STK_SEAL_PATH_VALIDATED].in_use);
    CU_ASSERT_EQUAL(at_b.count[STK_SEAL_PATH_VALIDATED], 1); /* in the other direction, too */
    CU_ASSERT_EQUAL(a->moved + b->moved, 0);
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_IN_USE] + at_b.count[STK_SEAL_PATH_IN_USE], 0);
    said = 0;
    talk(10);
    CU_ASSERT_EQUAL(lost(), 0);
    end();
}

static void a_switch_loses_nothing_and_the_peer_follows(void)
{
    uint8_t at_left, at_right;

    start();
    struct world_node *left = add_socket(a, "/wire", &at_left);
    struct world_node *right = add_socket(b, "/wire", &at_right);
    const uint32_t path = offer(at_left, &right->addr);
    said = 0;
    talk(50);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), 0);
    CU_ASSERT_EQUAL(a->moved, 0); /* not from inside the call */
    talk(100);
    CU_ASSERT_EQUAL(a->moved, 1);
    CU_ASSERT_EQUAL(b->moved, 1);
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_IN_USE], 1);
    CU_ASSERT_EQUAL(at_b.count[STK_SEAL_PATH_IN_USE], 1);
    CU_ASSERT_EQUAL(at_b.last[STK_SEAL_PATH_IN_USE].transport, at_right);
    const struct stk_addr used = address_in_use(b, b->retained);
    CU_ASSERT_TRUE(stk_addr_equal(&used, &left->addr));
    CU_ASSERT_EQUAL(lost(), 0);
    const int mark = world.logged;
    talk(10);
    for (int i = mark; i < world.logged; i++)
        CU_ASSERT_TRUE(stk_addr_equal(&world.log[i].to, &left->addr) ||
                       stk_addr_equal(&world.log[i].to, &right->addr));
    end();
}

static void a_path_to_nobody_fails_after_five_knocks(void)
{
    const struct stk_addr nobody = world_addr(99, 9);
    int knocks = 0;

    start();
    const int mark = world.logged;
    const uint32_t path = offer(0, &nobody);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), -ENOTCONN);
    world_run(&world, 7 * SECOND);
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_FAILED], 0);
    world_run(&world, 3 * SECOND);
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_FAILED], 1);
    CU_ASSERT_EQUAL(at_a.last[STK_SEAL_PATH_FAILED].id, path);
    for (int i = mark; i < world.logged; i++)
        knocks += stk_addr_equal(&world.log[i].to, &nobody);
    CU_ASSERT_EQUAL(knocks, SEAL_CHALLENGES_TIMED);
    CU_ASSERT_EQUAL(a->moved + b->moved, 0);
    end();
}

static void offers_are_bounded_and_dropped_ones_make_room(void)
{
    uint32_t path = 0;

    start();
    at_a.drops_failed = true;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < STK_SEAL_PATHS_OFFERED_MAX; i++) {
            const struct stk_addr nobody = world_addr(100 + i, 9);
            path = offer(0, &nobody);
        }
        const struct stk_addr one_more = world_addr(99, 9);
        const struct stk_seal_offer way = {.peer = &one_more};
        CU_ASSERT_EQUAL(stk_seal_offer_path(a->port, id, &way, &path), STK_ELIMIT);
        CU_ASSERT_EQUAL(stk_seal_paths(a->port, id, NULL, 0), 1 + STK_SEAL_PATHS_OFFERED_MAX);
        world_run(&world, 10 * SECOND);
        CU_ASSERT_EQUAL(stk_seal_paths(a->port, id, NULL, 0), 1);
    }
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_FAILED], 2 * STK_SEAL_PATHS_OFFERED_MAX);
    end();
}

static void the_path_in_use_is_not_dropped_and_the_one_before_is(void)
{
    struct stk_seal_path paths[STK_SEAL_PATHS_MAX];
    uint8_t number;

    start();
    struct world_node *second = add_socket(b, "/wire", &number);
    CU_ASSERT_EQUAL(stk_seal_paths(a->port, id, paths, STK_SEAL_PATHS_MAX), 1);
    const uint32_t first = paths[0].id, path = offer(0, &second->addr);
    CU_ASSERT_EQUAL(stk_seal_drop_path(a->port, id, first), -EBUSY);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), 0);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_drop_path(a->port, id, path), -EBUSY);
    CU_ASSERT_EQUAL(stk_seal_drop_path(a->port, id, first), 0);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_paths(a->port, id, paths, STK_SEAL_PATHS_MAX), 1);
    CU_ASSERT_EQUAL(paths[0].id, path);
    CU_ASSERT_TRUE(paths[0].in_use && paths[0].offered);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, first), -ENOENT);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id + 1, path), -ENOENT);
    said = 0;
    talk(20);
    CU_ASSERT_EQUAL(lost(), 0);
    end();
}

static struct stk_addr victim;
static uint64_t to_victim, from_victim;

static bool copy_from_victim(struct world *w, struct world_packet *packet)
{
    if (stk_addr_equal(&packet->to, &victim)) {
        to_victim += packet->len;
        return false;
    }
    if (!stk_addr_equal(&packet->from, &b->addr)) {
        world_inject(w, &victim, &packet->to, packet->data, packet->len);
        from_victim += packet->len;
    }
    return true;
}

static void copied_probes_move_nothing_and_are_answered_by_less_than_thrice(void)
{
    start();
    victim = world_addr(99, 9);
    to_victim = from_victim = 0;
    world.filter = copy_from_victim;
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(
            stk_seal_probe_path(a->port, id, seal_path_active(world_association(a, id))->id), 0);
        world_run(&world, SECOND);
    }
    CU_ASSERT_TRUE(to_victim > 0);
    CU_ASSERT_TRUE(to_victim <= SEAL_AMPLIFICATION * from_victim);
    CU_ASSERT_EQUAL(b->moved, 0);
    end();
}

/* --- Failing over ------------------------------------------------------------------------------
 */

static struct stk_addr dead_left, dead_right;

static bool first_path_is_dead(struct world *w, struct world_packet *packet)
{
    (void)w;
    return !(stk_addr_equal(&packet->from, &dead_left) ||
             stk_addr_equal(&packet->from, &dead_right));
}

static bool second_path_is_slow(struct world *w, struct world_packet *packet)
{
    if (first_path_is_dead(w, packet))
        packet->due_us += WORLD_DELAY_US;
    return true;
}

static void prepare_second_path(void)
{
    uint8_t at_left, at_right;

    start();
    dead_left = a->addr;
    dead_right = b->addr;
    struct world_node *left = add_socket(a, "/wire", &at_left);
    struct world_node *right = add_socket(b, "/wire", &at_right);
    (void)left;
    offer(at_left, &right->addr);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_VALIDATED], 1);
}

static void a_dead_path_is_left_one_round_trip_after_it_is_doubted(void)
{
    prepare_second_path();
    world.filter = first_path_is_dead;
    stk_port_doubt(a->port, id);
    world_run(&world, 2 * WORLD_DELAY_US + 1);
    CU_ASSERT_EQUAL(a->moved, 1);
    said = 0;
    world_send_number(a, id, said++);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[0], 1);
    CU_ASSERT_EQUAL(b->moved, 1);
    talk(20);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[19], 1);
    CU_ASSERT_EQUAL(a->seen[19], 1);
    end();
}

static void a_path_that_answers_in_doubt_stays_in_use(void)
{
    prepare_second_path();
    stk_port_doubt(b->port, b->retained); /* who was called follows, and does not choose */
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->moved + b->moved, 0);
    world.filter = second_path_is_slow;
    stk_port_doubt(a->port, id);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->moved + b->moved, 0);
    end();
}

/* --- Further addresses of one socket ------------------------------------------------------------
 */

static void an_offered_address_of_the_same_socket_moves_nothing_until_it_is_used(void)
{
    start();
    b->further = world_addr(60, 4000);
    const uint32_t path = offer(0, &b->further);
    world_run(&world, WORLD_DELAY_US + 1000); /* it has been challenged, and echoes */
    CU_ASSERT_TRUE(stk_addr_equal(&world.log[world.logged - 1].from, &b->further));
    said = 0;
    talk(50);
    CU_ASSERT_EQUAL(at_a.count[STK_SEAL_PATH_VALIDATED], 1);
    CU_ASSERT_TRUE(stk_addr_equal(&a->from, &b->addr));
    CU_ASSERT_EQUAL(a->moved + b->moved, 0);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), 0);
    talk(50);
    CU_ASSERT_TRUE(stk_addr_equal(&a->from, &b->further));
    CU_ASSERT_EQUAL(a->moved, 1);
    CU_ASSERT_EQUAL(lost(), 0);
    end();
}

static struct stk_addr unreachable;

static bool nothing_there(struct world *w, struct world_packet *packet)
{
    (void)w;
    return !stk_addr_equal(&packet->from, &unreachable) &&
           !stk_addr_equal(&packet->to, &unreachable);
}

/* The address that A calls stays B's, but leads nowhere; B could be reached at another one. */
static void a_listener_in_doubt_finds_out_where_it_is_reached(void)
{
    start();
    unreachable = b->further = b->addr;
    b->addr = world_addr(60, 4000);
    world.filter = nothing_there;
    said = 0;
    talk(50);
    CU_ASSERT_EQUAL(a->inputs, 0);
    CU_ASSERT_EQUAL(b->inputs, 1);
    stk_port_doubt(b->port, b->retained);
    world_run(&world, 2 * WORLD_DELAY_US + 1);
    CU_ASSERT_EQUAL(b->moved, 1); /* over another interface nothing is as before */
    CU_ASSERT_EQUAL(a->moved, 0);
    world_run(&world, 3 * WORLD_DELAY_US); /* B's keepalive tells A to follow, once it is proved */
    CU_ASSERT_EQUAL(a->moved, 1);
    talk(50);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->seen[60], 1);
    CU_ASSERT_EQUAL(b->seen[60], 1);
    CU_ASSERT_EQUAL(a->moved + b->moved, 2);
    CU_ASSERT_EQUAL(a->rebound + b->rebound, 0);
    end();
}

/* As where A is behind a NAT, which lets nobody in but whom A speaks to. */
static void a_listener_in_doubt_goes_on_from_where_it_was_called(void)
{
    start();
    b->further = b->addr;
    unreachable = b->addr = world_addr(60, 4000);
    world.filter = nothing_there;
    stk_port_doubt(b->port, b->retained);
    said = 0;
    talk(50);
    world_run(&world, 10 * SECOND); /* nothing answers that challenge, which changes nothing */
    talk(50);
    CU_ASSERT_EQUAL(lost(), 0);
    CU_ASSERT_EQUAL(a->moved + b->moved + b->rebound, 0);
    end();
}

/* --- Transports --------------------------------------------------------------------------------
 */

static void a_transport_with_headers_of_its_own_carries_a_path(void)
{
    uint8_t at_left, at_right;

    start();
    struct world_node *left = add_socket(a, "/wire/pad", &at_left);
    struct world_node *right = add_socket(b, "/wire/pad", &at_right);
    (void)left;
    const uint32_t path = offer(at_left, &right->addr);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), 0);
    world_run(&world, SECOND);
    said = 0;
    talk(50);
    CU_ASSERT_EQUAL(lost(), 0);
    CU_ASSERT_EQUAL(b->moved, 1);
    end();
}

static void an_association_begins_over_any_transport(void)
{
    uint8_t at_left, at_right;

    begin("", "");
    struct world_node *left = add_socket(a, "/wire/pad", &at_left);
    struct world_node *right = add_socket(b, "/wire/pad", &at_right);
    const struct stk_seal_offer way = {.transport = at_left, .peer = &right->addr};
    (void)left;
    CU_ASSERT_EQUAL(stk_seal_associate(a->port, bob.public_key, &way, &id), 0);
    CU_ASSERT_EQUAL(world_send(a, id, "hello", 5), 1);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->ready + b->ready, 2);
    CU_ASSERT_EQUAL(b->inputs, 1);
    watch(a, &at_a);
    /* And goes on to the direct way. */
    const uint32_t path = offer(0, &b->addr);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), 0);
    world_run(&world, SECOND);
    said = 0;
    talk(20);
    CU_ASSERT_EQUAL(lost(), 0);
    const struct stk_addr used = address_in_use(b, b->retained);
    CU_ASSERT_TRUE(stk_addr_equal(&used, &a->addr));
    end();
}

static void a_transport_that_is_removed_takes_its_paths_along(void)
{
    uint8_t number, other;
    struct stk_seal_path paths[STK_SEAL_PATHS_MAX];

    start();
    struct world_node *left = add_socket(a, "/wire", &number);
    (void)left;
    const uint32_t path = offer(number, &b->addr);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, path), 0);
    world_run(&world, SECOND);
    stk_seal_remove_transport(a->port, number);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_paths(a->port, id, paths, STK_SEAL_PATHS_MAX), 2);
    world_send_number(a, id, 1); /* lost, and nothing worse */
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[1], 0);
    const uint32_t again = offer(0, &b->addr);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stk_seal_use_path(a->port, id, again), 0);
    add_socket(a, "/wire", &other);
    CU_ASSERT_EQUAL(other, number);
    world_run(&world, SECOND);
    world_send_number(a, id, 2);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[2], 1);
    end();
}

static void transports_are_bounded(void)
{
    struct world_node *socket = NULL;
    struct stk_error error = {0};
    uint8_t number;

    start();
    CU_ASSERT_EQUAL_FATAL(world_open_recipe(&world, "/wire", false, &socket, &error), 0);
    for (int i = 0; i < STK_SEAL_TRANSPORTS_MAX; i++)
        CU_ASSERT_EQUAL(stk_seal_add_transport(a->port, socket->port, &number), 0);
    CU_ASSERT_EQUAL(stk_seal_add_transport(a->port, socket->port, &number), STK_ELIMIT);
    CU_ASSERT_EQUAL(stk_seal_add_transport(a->port, a->port, &number), -ENOTSUP);
    CU_ASSERT_EQUAL(stk_seal_watch_paths(socket->port, on_path, NULL), -ENOTSUP);
    end();
}

/* The n-th allocation fails, for every n: then there is one path less, and nothing worse. */
static void paths_survive_any_failed_allocation(void)
{
    bool failed = true;

    for (long n = 1; failed && n < 200; n++) {
        fault_heap_install();
        start();
        struct world_node *second = NULL;
        struct stk_error error = {0};
        uint8_t number = 0;
        uint32_t path = 0;

        CU_ASSERT_EQUAL_FATAL(world_open_recipe(&world, "/wire/pad", false, &second, &error), 0);
        fault_heap_fail(n, FAULT_ONCE);
        if (stk_seal_add_transport(b->port, second->port, &number) == 0) {
            const struct stk_seal_offer way = {.peer = &second->addr};
            stk_seal_offer_path(a->port, id, &way, &path);
        }
        said = 0;
        a->addr = world_addr(77, 7);
        talk(20);
        world_run(&world, SECOND);
        failed = fault_heap_has_failed();
        fault_heap_fail(0, FAULT_ONCE);
        talk(20); /* in order again, whatever was missing */
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(b->seen[said - 1], 1);
        CU_ASSERT_EQUAL(a->seen[said - 1], 1);
        end();
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
    }
    CU_ASSERT_FALSE(failed);
}

/* --- Real sockets ------------------------------------------------------------------------------
 */

struct real {
    struct stk_loop *loop;
    struct stk_port *left, *right, *left_socket, *right_socket;
    uint64_t left_id, right_id;
    unsigned received, moved;
    uint32_t path;
    struct stk_addr to;
};

static struct real real;

static void real_send(struct stk_port *port, uint64_t association, uint8_t byte)
{
    uint8_t room[64 + 1 + 64];
    struct stk_run run = {.data = room + 64,
                          .stride = 1,
                          .size = 1,
                          .last_size = 1,
                          .count = 1,
                          .association = association};

    room[64] = byte;
    CU_ASSERT_EQUAL(stk_port_send(port, &run, 1), 1);
}

static void real_input(void *user, const struct stk_run *runs, int count)
{
    for (int i = 0; i < count; i++) {
        if (user == real.right) {
            real.right_id = runs[i].association;
            real_send(real.right, real.right_id, *runs[i].data);
            continue;
        }
        real.received += runs[i].count;
        if (*runs[i].data == 2)
            stk_loop_stop(real.loop);
    }
}

static void real_path(void *user, uint64_t association, const struct stk_seal_path *path,
                      enum stk_seal_path_event event)
{
    (void)user;
    if (event == STK_SEAL_PATH_VALIDATED)
        CU_ASSERT_EQUAL(stk_seal_use_path(real.left, association, path->id), 0);
    if (event == STK_SEAL_PATH_IN_USE)
        real_send(real.left, association, 2);
}

static void real_association(void *user, uint64_t association, enum stk_association_event event,
                             const struct stk_error *error)
{
    (void)error;
    if (event == STK_ASSOCIATION_MOVED)
        real.moved++;
    if (event != STK_ASSOCIATION_READY || user != real.left)
        return;
    uint8_t number = 0;
    CU_ASSERT_EQUAL(stk_seal_add_transport(real.left, real.left_socket, &number), 0);
    const struct stk_seal_offer way = {.transport = number, .peer = &real.to};
    CU_ASSERT_EQUAL(stk_seal_offer_path(real.left, association, &way, &real.path), 0);
}

static const struct stk_port_user real_user = {.input = real_input,
                                               .association = real_association};

static struct stk_port *real_open(const char *text, bool listening, struct stk_addr *local)
{
    struct stk_recipe *recipe = NULL;
    struct stk_port *port = NULL;
    struct stk_error error = {0};

    CU_ASSERT_EQUAL_FATAL(stk_recipe_parse(text, &recipe, &error), 0);
    CU_ASSERT_EQUAL_FATAL(stk_port_open(real.loop, recipe, listening, &port, &error), 0);
    stk_recipe_unref(recipe);
    stk_port_set_user(port, &real_user, port);
    stk_port_local(port, local);
    return port;
}

static void a_second_socket_on_loopback_takes_over(void)
{
    struct stk_addr address, ignored;
    uint8_t number;
    char text[256];

    memset(&real, 0, sizeof(real));
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &real.loop), 0);
    stk_seal_set_identity(real.loop, &bob);
    real.right = real_open("/ip4/127.0.0.1/udp/0/seal", true, &address);
    real.right_socket = real_open("/ip4/127.0.0.1/udp/0", true, &real.to);
    CU_ASSERT_EQUAL(stk_seal_add_transport(real.right, real.right_socket, &number), 0);
    stk_seal_set_identity(real.loop, &alice);
    snprintf(text, sizeof(text), "/ip4/127.0.0.1/udp/%u/seal,peer=%s", stk_addr_port(&address),
             bob_text);
    real.left = real_open(text, false, &ignored);
    real.left_socket = real_open("/ip4/127.0.0.1/udp/0", true, &ignored);
    stk_seal_watch_paths(real.left, real_path, NULL);
    CU_ASSERT_EQUAL_FATAL(stk_port_associate(real.left, &address, &real.left_id), 0);
    real_send(real.left, real.left_id, 1);
    CU_ASSERT_EQUAL(stk_loop_run(real.loop), 0);
    CU_ASSERT_EQUAL(real.received, 2);
    CU_ASSERT_TRUE(real.moved >= 1);
    stk_port_unref(real.left);
    stk_port_unref(real.right);
    stk_port_unref(real.left_socket);
    stk_port_unref(real.right_socket);
    stk_loop_free(real.loop);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"an offered path is validated and moves nothing",
         an_offered_path_is_validated_and_moves_nothing},
        {"a switch loses nothing and the peer follows",
         a_switch_loses_nothing_and_the_peer_follows},
        {"a path to nobody fails after five knocks", a_path_to_nobody_fails_after_five_knocks},
        {"offers are bounded and dropped ones make room",
         offers_are_bounded_and_dropped_ones_make_room},
        {"the path in use is not dropped and the one before is",
         the_path_in_use_is_not_dropped_and_the_one_before_is},
        {"copied probes move nothing and are answered by less than thrice",
         copied_probes_move_nothing_and_are_answered_by_less_than_thrice},
        {"a dead path is left one round trip after it is doubted",
         a_dead_path_is_left_one_round_trip_after_it_is_doubted},
        {"a path that answers in doubt stays in use", a_path_that_answers_in_doubt_stays_in_use},
        {"an offered address of the same socket moves nothing until it is used",
         an_offered_address_of_the_same_socket_moves_nothing_until_it_is_used},
        {"a listener in doubt finds out where it is reached",
         a_listener_in_doubt_finds_out_where_it_is_reached},
        {"a listener in doubt goes on from where it was called",
         a_listener_in_doubt_goes_on_from_where_it_was_called},
        {"a transport with headers of its own carries a path",
         a_transport_with_headers_of_its_own_carries_a_path},
        {"an association begins over any transport", an_association_begins_over_any_transport},
        {"a transport that is removed takes its paths along",
         a_transport_that_is_removed_takes_its_paths_along},
        {"transports are bounded", transports_are_bounded},
        {"paths survive any failed allocation", paths_survive_any_failed_allocation},
        {"a second socket on loopback takes over", a_second_socket_on_loopback_takes_over},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    make_keys();
    return stk_test_run("seal path", tests, STK_TEST_LIMIT_S);
}
