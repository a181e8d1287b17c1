/*
 * Goal: stacks that connect from one loop share a port where all of its layers would be the same,
 * and only there; what happens to one of them is nothing to the others.
 * Method: listeners and connections over real sockets on loopback, in one loop; sockets are counted
 * in the table of system calls; an association is lost by hand.
 */
#include "harness.h"
#include "ptcp.h"
#include "seal_state.h"
#include "stack.h"
#include "sys.h"

#include <string.h>

enum { CROWD = 1024, FDS = 256 };

/* One connection of the client's. */
struct user {
    struct stk_conn *conn; /* NULL: closed */
    bool opened;
    size_t received;
    int error;
    char text[STK_ERROR_TEXT_MAX];
};

static struct {
    struct stk_loop *loop;
    struct stk_key_pair alice, bob, carol; /* who connects; two who listen */
    struct stk_listener *at_bob, *at_carol;
    struct user users[4];
    unsigned sockets; /* counted and not closed */
    bool counted[FDS];
    uint8_t seen[8][STK_KEY_BYTES];
    unsigned accepted;
} world;

static struct stk_sys real;

/* --- What both sides do -------------------------------------------------------------------------
 */

static int count_socket(int family, int type, int protocol)
{
    const int fd = real.socket(family, type, protocol);

    CU_ASSERT_TRUE_FATAL(fd < FDS);
    if (fd >= 0)
        world.sockets++;
    if (fd >= 0)
        world.counted[fd] = true;
    return fd;
}

static int count_close(int fd)
{
    if (fd >= 0 && fd < FDS && world.counted[fd])
        world.sockets--;
    if (fd >= 0 && fd < FDS)
        world.counted[fd] = false;
    return real.close(fd);
}

/* Those that are there don't count. */
static void begin_counting(void)
{
    memset(world.counted, 0, sizeof world.counted);
    world.sockets = 0;
}

static void server_opened(struct stk_conn *conn)
{
    if (world.accepted < 8)
        stk_conn_query(conn, STK_QUERY_PEER_KEY, world.seen[world.accepted], STK_KEY_BYTES);
    world.accepted++;
}

static size_t echo(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    return (size_t)stk_conn_write(conn, data, len);
}

static void opened(struct stk_conn *conn) { ((struct user *)stk_conn_user(conn))->opened = true; }

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    (void)data;
    ((struct user *)stk_conn_user(conn))->received += len;
    return len;
}

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct user *user = stk_conn_user(conn);

    user->conn = NULL;
    user->error = error ? error->code : 0;
    snprintf(user->text, sizeof user->text, "%s", error ? error->text : "");
}

static const struct stk_protocol echoing = {.opened = server_opened, .received = echo};
static const struct stk_protocol using = {.opened = opened, .received = received, .closed = closed};

/* --- The world ----------------------------------------------------------------------------------
 */

static void be(const struct stk_key_pair *pair)
{
    CU_ASSERT_EQUAL_FATAL(stk_seal_set_identity(world.loop, pair), 0);
}

static struct stk_listener *listen_as(const struct stk_key_pair *pair, const char *recipe)
{
    struct stk_listener *listener = NULL;
    struct stk_error error;

    be(pair);
    CU_ASSERT_EQUAL_FATAL(stk_listen(world.loop, recipe, &echoing, NULL, &listener, &error), 0);
    return listener;
}

static void set_up(void)
{
    memset(&world, 0, sizeof world);
    real = stk_sys;
    stk_sys.socket = count_socket;
    stk_sys.close = count_close;
    stk_key_pair_new(&world.alice);
    stk_key_pair_new(&world.bob);
    stk_key_pair_new(&world.carol);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &world.loop), 0);
    world.at_bob = listen_as(&world.bob, "/ip4/127.0.0.1/udp/0/seal/ptcp,durable=1h");
    world.at_carol = listen_as(&world.carol, "/ip4/127.0.0.1/udp/0/seal/ptcp");
    be(&world.alice);
    begin_counting();
}

static void tear_down(void)
{
    if (world.at_bob)
        stk_listener_close(world.at_bob);
    if (world.at_carol)
        stk_listener_close(world.at_carol);
    stk_loop_free(world.loop);
    CU_ASSERT_EQUAL(world.sockets, 0);
    stk_sys = real;
}

static uint16_t port_of(struct stk_listener *listener)
{
    struct stk_addr addr;

    CU_ASSERT_EQUAL_FATAL(stk_listener_addr(listener, &addr), 0);
    return stk_addr_port(&addr);
}

static void connect_by(struct user *user, const char *recipe)
{
    struct stk_error error = {0};

    memset(user, 0, sizeof *user);
    CU_ASSERT_EQUAL_FATAL(stk_connect(world.loop, recipe, &using, user, &user->conn, &error), 0);
}

/* With these options of udp, seal and ptcp. */
static void connect_with(struct user *user, struct stk_listener *to, const char *udp,
                         const char *seal, const char *ptcp)
{
    const struct stk_key_pair *peer = to == world.at_bob ? &world.bob : &world.carol;
    char key[STK_KEY_TEXT_MAX], recipe[512];

    snprintf(recipe, sizeof recipe, "/ip4/127.0.0.1/udp/%u%s/seal,peer=%s%s/ptcp%s", port_of(to),
             udp, stk_key_format(peer->public_key, key), seal, ptcp);
    connect_by(user, recipe);
}

static void connect_to(struct user *user, struct stk_listener *to)
{
    connect_with(user, to, "", "", "");
}

static void turn(void) { stk_loop_turn(world.loop, 20000); }

static void wait_open(const struct user *user)
{
    while (!user->opened && user->conn)
        turn();
    CU_ASSERT_TRUE_FATAL(user->opened);
}

static void wait_closed(const struct user *user)
{
    while (user->conn)
        turn();
}

/* Something goes there and comes back. */
static void converse(struct user *user)
{
    const size_t before = user->received;

    CU_ASSERT_PTR_NOT_NULL_FATAL(user->conn);
    CU_ASSERT_EQUAL(stk_conn_write(user->conn, "hello", 5), 5);
    while (user->received < before + 5 && user->conn)
        turn();
    CU_ASSERT_EQUAL(user->received, before + 5);
}

static uint16_t local_port(const struct user *user)
{
    struct stk_addr addr;

    CU_ASSERT_PTR_NOT_NULL_FATAL(user->conn);
    CU_ASSERT_EQUAL(stk_conn_query(user->conn, STK_QUERY_LOCAL_ADDR, &addr, sizeof addr), 0);
    return stk_addr_port(&addr);
}

static struct stk_association association_of(const struct user *user)
{
    struct stk_association association = {0};

    CU_ASSERT_EQUAL(
        stk_conn_query(user->conn, STK_QUERY_ASSOCIATION, &association, sizeof association), 0);
    return association;
}

static void expect_sockets(unsigned count) { CU_ASSERT_EQUAL(world.sockets, count); }

/* --- Who shares ---------------------------------------------------------------------------------
 */

static void connections_to_two_peers_share_a_port(void)
{
    struct user *a = &world.users[0], *b = &world.users[1];
    uint8_t key[STK_KEY_BYTES];

    set_up();
    connect_to(a, world.at_bob);
    connect_to(b, world.at_carol);
    wait_open(a);
    wait_open(b);
    expect_sockets(1);
    CU_ASSERT_EQUAL(local_port(a), local_port(b));
    stk_conn_query(a->conn, STK_QUERY_PEER_KEY, key, sizeof key);
    CU_ASSERT_EQUAL(memcmp(key, world.bob.public_key, sizeof key), 0);
    stk_conn_query(b->conn, STK_QUERY_PEER_KEY, key, sizeof key);
    CU_ASSERT_EQUAL(memcmp(key, world.carol.public_key, sizeof key), 0);
    converse(a);
    converse(b);
    tear_down();
}

static void connections_to_one_peer_have_an_association_each(void)
{
    struct user *a = &world.users[0], *b = &world.users[1];

    set_up();
    connect_to(a, world.at_bob);
    connect_to(b, world.at_bob);
    wait_open(a);
    wait_open(b);
    expect_sockets(1);
    CU_ASSERT_NOT_EQUAL(association_of(a).id, association_of(b).id);
    CU_ASSERT_PTR_EQUAL(association_of(a).port, association_of(b).port);
    converse(a);
    converse(b);
    tear_down();
}

static void plain_connections_share_a_port_too(void)
{
    struct user *a = &world.users[0], *b = &world.users[1];
    char recipe[64];

    set_up();
    struct stk_listener *plain = listen_as(&world.bob, "/ip4/127.0.0.1/udp/0/ptcp");
    begin_counting();
    snprintf(recipe, sizeof recipe, "/ip4/127.0.0.1/udp/%u/ptcp", port_of(plain));
    connect_by(a, recipe);
    connect_by(b, recipe);
    wait_open(a);
    wait_open(b);
    expect_sockets(1);
    converse(b);
    converse(a);
    stk_listener_close(plain);
    tear_down();
}

static void other_options_mean_another_port(void)
{
    static const struct {
        const char *udp, *seal, *ptcp;
    } others[] = {
        {",share=no", "", ""},           {",reuseport", "", ""},
        {",rcvbuf=64k", "", ""},         {",bind=127.0.0.1", "", ""},
        {"", ",keepalive=20s", ""},      {"", ",handshake-timeout=9s", ""},
        {"", ",associations=4", ""},     {"", ",cipher=chacha20-poly1305", ""},
        {"", "", ",qlog=%2Fnowhere%2F"},
    };

    set_up();
    connect_to(&world.users[0], world.at_bob);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        connect_with(&world.users[1], world.at_bob, others[i].udp, others[i].seal, others[i].ptcp);
        wait_open(&world.users[1]);
        wait_open(&world.users[0]);
        CU_ASSERT_NOT_EQUAL(local_port(&world.users[0]), local_port(&world.users[1]));
        stk_conn_abort(world.users[1].conn);
        wait_closed(&world.users[1]);
    }
    tear_down();
}

static void options_of_ptcp_are_each_connections_own(void)
{
    set_up();
    connect_to(&world.users[0], world.at_bob);
    connect_with(&world.users[1], world.at_bob, "", "", ",cc=cubic,mtu=1300,window=64k");
    wait_open(&world.users[0]);
    wait_open(&world.users[1]);
    expect_sockets(1);
    uint64_t mtu = 0;
    stk_conn_query(world.users[1].conn, STK_QUERY_MTU, &mtu, sizeof mtu);
    CU_ASSERT_EQUAL(mtu, 1300);
    stk_conn_query(world.users[0].conn, STK_QUERY_MTU, &mtu, sizeof mtu);
    CU_ASSERT_NOT_EQUAL(mtu, 1300);
    tear_down();
}

static void ports_that_share_nothing_share_nothing_with_one_another(void)
{
    set_up();
    for (int i = 0; i < 2; i++)
        connect_with(&world.users[i], world.at_bob, ",share=no", "", "");
    wait_open(&world.users[0]);
    wait_open(&world.users[1]);
    expect_sockets(2);
    tear_down();
}

/* Two stacks at each of two addresses, all of which open at once, become two connections. */
static void both_sides_may_open_several_at_once(void)
{
    const struct stk_key_pair *sides[2] = {&world.bob, &world.carol};
    char key[STK_KEY_TEXT_MAX], recipe[256];

    set_up();
    for (int i = 0; i < 4; i++) {
        const int side = i % 2;

        be(sides[side]);
        snprintf(recipe, sizeof recipe,
                 "/ip4/127.0.77.%d/udp/4001,bind=127.0.77.%d:4001/seal,peer=%s/ptcp", 2 - side,
                 1 + side, stk_key_format(sides[1 - side]->public_key, key));
        connect_by(&world.users[i], recipe);
        turn(); /* the identity is read in it */
    }
    for (int i = 0; i < 4; i++)
        wait_open(&world.users[i]);
    expect_sockets(2);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(stk_conn_write(world.users[i].conn, "hello", 5), 5);
    for (int i = 0; i < 4; i++)
        while (world.users[i].received < 5 && world.users[i].conn)
            turn();
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(world.users[i].received, 5);
    tear_down();
}

/* --- Who one is ---------------------------------------------------------------------------------
 */

static void another_identity_of_the_loop_means_another_port(void)
{
    set_up();
    connect_to(&world.users[0], world.at_bob);
    wait_open(&world.users[0]);
    converse(&world.users[0]);
    be(&world.carol);
    connect_to(&world.users[1], world.at_bob);
    wait_open(&world.users[1]);
    converse(&world.users[1]);
    expect_sockets(2);
    CU_ASSERT_EQUAL(memcmp(world.seen[0], world.alice.public_key, STK_KEY_BYTES), 0);
    CU_ASSERT_EQUAL(memcmp(world.seen[1], world.carol.public_key, STK_KEY_BYTES), 0);
    be(&world.alice);
    connect_to(&world.users[2], world.at_bob);
    wait_open(&world.users[2]);
    CU_ASSERT_EQUAL(local_port(&world.users[0]), local_port(&world.users[2]));
    tear_down();
}

static void a_passing_identity_is_shared_by_those_who_have_no_other(void)
{
    set_up();
    connect_to(&world.users[0], world.at_bob);
    wait_open(&world.users[0]);
    converse(&world.users[0]);
    be(NULL);
    for (int i = 1; i < 4; i++) {
        connect_with(&world.users[i], world.at_bob, i == 3 ? ",share=no" : "", "", "");
        wait_open(&world.users[i]);
        converse(&world.users[i]);
    }
    expect_sockets(3);
    CU_ASSERT_NOT_EQUAL(memcmp(world.seen[0], world.seen[1], STK_KEY_BYTES), 0);
    CU_ASSERT_EQUAL(memcmp(world.seen[1], world.seen[2], STK_KEY_BYTES), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(world.seen[2], world.seen[3], STK_KEY_BYTES), 0);
    tear_down();
}

static void a_file_with_another_identity_now_means_another_port(void)
{
    char directory[] = "/tmp/t_ptcp_port.XXXXXX", path[64], option[128], encoded[96];
    struct stk_key_pair pair;

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/id", directory);
    snprintf(option, sizeof option, ",identity=%s",
             stk_percent_encode(path, encoded, sizeof encoded));
    set_up();
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            unlink(path);
        CU_ASSERT_EQUAL_FATAL(stk_identity_load(path, true, &pair, NULL), 0);
        connect_with(&world.users[i], world.at_bob, "", option, "");
        wait_open(&world.users[i]);
        converse(&world.users[i]);
        CU_ASSERT_EQUAL(memcmp(world.seen[i], pair.public_key, STK_KEY_BYTES), 0);
    }
    expect_sockets(2);
    CU_ASSERT_EQUAL(local_port(&world.users[0]), local_port(&world.users[1]));
    unlink(path);
    rmdir(directory);
    tear_down();
}

static void a_wrong_key_is_called_wrong_beside_right_ones(void)
{
    char recipe[128];

    set_up();
    connect_to(&world.users[0], world.at_bob);
    wait_open(&world.users[0]);
    snprintf(recipe, sizeof recipe, "/ip4/127.0.0.1/udp/%u/seal,peer=nobody/ptcp",
             port_of(world.at_bob));
    connect_by(&world.users[1], recipe);
    wait_closed(&world.users[1]);
    CU_ASSERT_EQUAL(world.users[1].error, STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.users[1].text, "peer="));
    converse(&world.users[0]);
    tear_down();
}

/* --- What happens to one ------------------------------------------------------------------------
 */

static void one_that_is_refused_disturbs_no_other(void)
{
    struct user *good = &world.users[0], *refused = &world.users[1], *unsure = &world.users[2];
    char good_recipe[64], closed_recipe[64];

    set_up();
    struct stk_listener *plain = listen_as(&world.bob, "/ip4/127.0.0.1/udp/0/ptcp");
    struct stk_listener *gone = listen_as(&world.bob, "/ip4/127.0.0.1/udp/0/ptcp");
    begin_counting();
    snprintf(good_recipe, sizeof good_recipe, "/ip4/127.0.0.1/udp/%u/ptcp", port_of(plain));
    snprintf(closed_recipe, sizeof closed_recipe, "/ip4/127.0.0.1/udp/%u/ptcp", port_of(gone));
    stk_listener_close(gone);
    turn();
    turn();
    begin_counting();
    connect_by(good, good_recipe);
    wait_open(good);
    /* The next one's first packet meets the report that the one before it left in the socket. */
    connect_by(refused, closed_recipe);
    connect_by(unsure, good_recipe);
    wait_closed(refused);
    wait_open(unsure);
    expect_sockets(1);
    CU_ASSERT_EQUAL(refused->error, -ECONNREFUSED);
    converse(good);
    converse(unsure);
    stk_listener_close(plain);
    tear_down();
}

static void one_whose_peer_has_another_key_disturbs_no_other(void)
{
    struct user *good = &world.users[0], *wrong = &world.users[1];
    char key[STK_KEY_TEXT_MAX], recipe[256];

    set_up();
    snprintf(recipe, sizeof recipe,
             "/ip4/127.0.0.1/udp/%u/seal,peer=%s,handshake-timeout=300ms/ptcp",
             port_of(world.at_bob), stk_key_format(world.carol.public_key, key));
    connect_with(good, world.at_bob, "", ",handshake-timeout=300ms", "");
    connect_by(wrong, recipe);
    wait_open(good);
    wait_closed(wrong);
    expect_sockets(1);
    CU_ASSERT_EQUAL(wrong->error, -ETIMEDOUT);
    converse(good);
    tear_down();
}

static void an_association_that_fails_ends_its_own_connections_only(void)
{
    struct user *a = &world.users[0], *b = &world.users[1];

    set_up();
    connect_to(a, world.at_bob);
    connect_to(b, world.at_carol);
    wait_open(a);
    wait_open(b);
    converse(a);
    converse(b);
    seal_life_fail(
        seal_association_by_id(seal_port_under(association_of(a).port), association_of(a).id),
        &(struct stk_error){.code = -ECONNRESET, .text = "lost by the test"});
    wait_closed(a);
    CU_ASSERT_EQUAL(a->error, -ECONNRESET);
    CU_ASSERT_STRING_EQUAL(a->text, "lost by the test");
    converse(b);
    tear_down();
}

static void a_durable_one_that_lost_its_association_takes_no_other_ones(void)
{
    struct user *a = &world.users[0], *b = &world.users[1];

    set_up();
    for (int i = 0; i < 2; i++) {
        connect_with(&world.users[i], world.at_bob, "", "", ",durable=1h");
        wait_open(&world.users[i]);
        converse(&world.users[i]);
    }
    const struct stk_association of_a = association_of(a), of_b = association_of(b);
    seal_life_fail(seal_association_by_id(seal_port_under(of_a.port), of_a.id),
                   &(struct stk_error){.code = -ETIMEDOUT, .text = "lost by the test"});
    converse(a);
    converse(b);
    CU_ASSERT_NOT_EQUAL(association_of(a).id, of_a.id);
    CU_ASSERT_NOT_EQUAL(association_of(a).id, of_b.id);
    CU_ASSERT_EQUAL(association_of(b).id, of_b.id);
    tear_down();
}

/* --- How long, and how many ---------------------------------------------------------------------
 */

static void the_port_stays_until_the_last_of_its_users_goes(void)
{
    struct user *a = &world.users[0], *b = &world.users[1], *c = &world.users[2];

    set_up();
    connect_to(a, world.at_bob);
    connect_to(b, world.at_bob);
    wait_open(a);
    wait_open(b);
    const uint16_t port = local_port(a);
    stk_conn_close(a->conn); /* who opened it goes first */
    wait_closed(a);
    converse(b);
    connect_to(c, world.at_carol);
    wait_open(c);
    CU_ASSERT_EQUAL(local_port(c), port);
    stk_conn_close(b->conn);
    wait_closed(b);
    converse(c);
    expect_sockets(1);
    tear_down();
}

static void a_port_of_which_nothing_is_left_is_closed(void)
{
    struct user *a = &world.users[0], *b = &world.users[1];

    set_up();
    connect_to(a, world.at_bob);
    connect_to(b, world.at_bob);
    turn();
    expect_sockets(1);
    stk_conn_abort(a->conn); /* before anybody answered: nothing is owed */
    wait_closed(a);
    expect_sockets(1);
    if (b->conn && !b->opened)
        stk_conn_abort(b->conn);
    wait_closed(b);
    while (world.sockets > 0)
        turn();
    tear_down();
}

static struct user crowd[CROWD + 1];

static void more_than_a_crowd_takes_another_port(void)
{
    char recipe[64];

    set_up();
    struct stk_listener *plain = listen_as(&world.bob, "/ip4/127.0.0.1/udp/0/ptcp,backlog=1");
    begin_counting();
    snprintf(recipe, sizeof recipe, "/ip4/127.0.0.1/udp/%u/ptcp", port_of(plain));
    for (int i = 0; i < CROWD; i++)
        connect_by(&crowd[i], recipe);
    turn();
    turn();
    expect_sockets(1);
    connect_by(&crowd[CROWD], recipe);
    turn();
    turn();
    expect_sockets(2);
    for (int i = 0; i <= CROWD; i++)
        if (crowd[i].conn)
            stk_conn_abort(crowd[i].conn);
    stk_listener_close(plain);
    tear_down();
}

static void nobody(void *user, uint64_t association, const struct stk_seal_path *path,
                   enum stk_seal_path_event event)
{
    (void)user;
    (void)association;
    (void)path;
    (void)event;
}

static void a_port_that_its_owner_works_on_takes_nobody_in(void)
{
    set_up();
    connect_to(&world.users[0], world.at_bob);
    wait_open(&world.users[0]);
    CU_ASSERT_EQUAL(stk_seal_watch_paths(association_of(&world.users[0]).port, nobody, NULL), 0);
    connect_to(&world.users[1], world.at_bob);
    wait_open(&world.users[1]);
    expect_sockets(2);
    CU_ASSERT_NOT_EQUAL(local_port(&world.users[0]), local_port(&world.users[1]));
    tear_down();
}

static CU_TestInfo tests[] = {
    {"connections to two peers share a port", connections_to_two_peers_share_a_port},
    {"connections to one peer have an association each",
     connections_to_one_peer_have_an_association_each},
    {"plain connections share a port, too", plain_connections_share_a_port_too},
    {"other options mean another port", other_options_mean_another_port},
    {"options of ptcp are each connection's own", options_of_ptcp_are_each_connections_own},
    {"ports that share nothing share nothing with one another",
     ports_that_share_nothing_share_nothing_with_one_another},
    {"both sides may open several at once", both_sides_may_open_several_at_once},
    {"another identity of the loop means another port",
     another_identity_of_the_loop_means_another_port},
    {"a passing identity is shared by those who have no other",
     a_passing_identity_is_shared_by_those_who_have_no_other},
    {"a file with another identity now means another port",
     a_file_with_another_identity_now_means_another_port},
    {"a wrong key is called wrong beside right ones",
     a_wrong_key_is_called_wrong_beside_right_ones},
    {"one that is refused disturbs no other", one_that_is_refused_disturbs_no_other},
    {"one whose peer has another key disturbs no other",
     one_whose_peer_has_another_key_disturbs_no_other},
    {"an association that fails ends its own connections only",
     an_association_that_fails_ends_its_own_connections_only},
    {"a durable one that lost its association takes no other one's",
     a_durable_one_that_lost_its_association_takes_no_other_ones},
    {"the port stays until the last of its users goes",
     the_port_stays_until_the_last_of_its_users_goes},
    {"a port of which nothing is left is closed", a_port_of_which_nothing_is_left_is_closed},
    {"more than a crowd takes another port", more_than_a_crowd_takes_another_port},
    {"a port that its owner works on takes nobody in",
     a_port_that_its_owner_works_on_takes_nobody_in},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp port", tests)
