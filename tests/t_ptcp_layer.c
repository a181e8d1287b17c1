/*
 * Goal: PTCP is a stream layer like any other: it connects, carries bytes both ways, closes,
 * refuses, gives its port to siblings.
 * Method: real UDP sockets on loopback, one loop.
 */
#include "dgram.h"
#include "ptcp.h"
#include "stack.h"

#include "harness.h"

#include <string.h>

enum { TOTAL = 3000000 };

struct side {
    uint64_t written, read;
    bool opened, finished, closed, wrong;
    int error;
    char text[STK_ERROR_TEXT_MAX + STK_ERROR_LAYER_MAX + 2];
};

static struct {
    struct stk_loop *loop;
    struct side client, server, second;
    struct stk_listener *listener;
    struct stk_conn *accepted;
    int accepted_count;
    bool abort_at_open;
} world;

static uint8_t byte_at(uint64_t offset) { return (uint8_t)(offset * 7 + offset / 251); }

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void write_more(struct stk_conn *conn)
{
    struct side *side = side_of(conn);
    uint8_t block[8192];

    while (side->written < TOTAL) {
        size_t len =
            TOTAL - side->written < sizeof(block) ? (size_t)(TOTAL - side->written) : sizeof(block);
        for (size_t i = 0; i < len; i++)
            block[i] = byte_at(side->written + i);
        const long took = stk_conn_write(conn, block, len);
        if (took <= 0)
            return;
        side->written += (uint64_t)took;
    }
    stk_conn_finish(conn);
}

static void opened(struct stk_conn *conn)
{
    side_of(conn)->opened = true;
    if (world.abort_at_open && conn != world.accepted)
        stk_conn_abort(conn);
    else
        write_more(conn);
}

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct side *side = side_of(conn);

    for (size_t i = 0; i < len; i++)
        side->wrong |= data[i] != byte_at(side->read + i);
    side->read += len;
    return len;
}

static void finished(struct stk_conn *conn) { side_of(conn)->finished = true; }

static void end_if_all_is_closed(void)
{
    if (world.client.closed && (world.server.closed || world.accepted_count == 0))
        stk_loop_stop(world.loop);
}

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = side_of(conn);

    side->closed = true;
    if (error) {
        side->error = error->code;
        snprintf(side->text, sizeof(side->text), "%s: %s", error->layer, error->text);
    }
    end_if_all_is_closed();
}

static int accepted(struct stk_conn *conn)
{
    world.accepted = conn;
    world.accepted_count++;
    stk_conn_set_user(conn, &world.server);
    return 0;
}

static const struct stk_protocol protocol = {.accepted = accepted,
                                             .opened = opened,
                                             .received = received,
                                             .finished = finished,
                                             .writable = write_more,
                                             .closed = closed};

static void set_up(const char *address)
{
    struct stk_error error = {.code = 0};

    memset(&world, 0, sizeof(world));
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &world.loop), 0);
    if (!address)
        return;
    if (stk_listen(world.loop, address, &protocol, NULL, &world.listener, &error) < 0)
        printf("\n    %s: %s\n", error.layer, error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world.listener);
}

static void tear_down(void)
{
    if (world.listener)
        stk_listener_close(world.listener);
    stk_loop_free(world.loop);
}

static void listener_recipe(char *text, size_t size)
{
    struct stk_addr addr;

    CU_ASSERT_EQUAL_FATAL(stk_listener_addr(world.listener, &addr), 0);
    snprintf(text, size, "/ip4/127.0.0.1/udp/%u/ptcp", stk_addr_port(&addr));
}

static struct stk_conn *connect_to(const char *recipe)
{
    struct stk_error error = {.code = 0};
    struct stk_conn *conn = NULL;

    if (stk_connect(world.loop, recipe, &protocol, &world.client, &conn, &error) < 0)
        printf("\n    %s: %s\n", error.layer, error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
    return conn;
}

static void bytes_pass_both_ways_and_both_ends_close(void)
{
    char recipe[128];

    set_up("/ip4/127.0.0.1/udp/0/ptcp");
    listener_recipe(recipe, sizeof(recipe));
    connect_to(recipe);
    CU_ASSERT_EQUAL(stk_loop_run(world.loop), 0);
    CU_ASSERT_EQUAL(world.client.read, TOTAL);
    CU_ASSERT_EQUAL(world.server.read, TOTAL);
    CU_ASSERT_FALSE(world.client.wrong || world.server.wrong);
    CU_ASSERT_TRUE(world.client.finished && world.server.finished);
    CU_ASSERT_EQUAL(world.client.error, 0);
    CU_ASSERT_EQUAL(world.server.error, 0);
    tear_down();
}

/* --- Messages that are used as a whole -------------------------------------------------------- */

enum { MESSAGE = STK_UNUSED_MAX - 1000 };

static size_t whole_messages(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    if (len < MESSAGE)
        return 0;
    if (len >= 2 * (size_t)MESSAGE)
        stk_conn_again(conn);
    return received(conn, data, MESSAGE);
}

static const struct stk_protocol of_messages = {.accepted = accepted,
                                                .opened = opened,
                                                .received = whole_messages,
                                                .finished = finished,
                                                .closed = closed};

/* The pieces that come from below end where they like: bytes of the next message may be in one. */
static void messages_may_be_as_long_as_the_bound_on_unused_bytes(void)
{
    struct stk_error error = {.code = 0};
    char recipe[128];

    set_up(NULL);
    CU_ASSERT_EQUAL_FATAL(stk_listen(world.loop, "/ip4/127.0.0.1/udp/0/ptcp", &of_messages, NULL,
                                     &world.listener, &error),
                          0);
    world.server.written = TOTAL;
    listener_recipe(recipe, sizeof(recipe));
    connect_to(recipe);
    while (!world.server.finished && !world.server.closed)
        stk_loop_turn(world.loop, 1000000);
    CU_ASSERT_EQUAL(world.server.read, TOTAL / MESSAGE * MESSAGE);
    CU_ASSERT_FALSE(world.server.wrong);
    CU_ASSERT_EQUAL(world.server.error, 0);
    tear_down();
}

static void a_port_without_listener_refuses(void)
{
    set_up(NULL);
    connect_to("/ip4/127.0.0.1/udp/9/ptcp,connect-timeout=2s");
    stk_loop_run(world.loop);
    CU_ASSERT_TRUE(world.client.closed);
    CU_ASSERT_TRUE(world.client.error == -ECONNREFUSED || world.client.error == -ETIMEDOUT);
    tear_down();
}

static void an_abort_reaches_the_peer(void)
{
    char recipe[128];

    set_up("/ip4/127.0.0.1/udp/0/ptcp");
    world.abort_at_open = true;
    listener_recipe(recipe, sizeof(recipe));
    connect_to(recipe);
    stk_loop_run(world.loop);
    CU_ASSERT_EQUAL(world.client.error, -ECONNABORTED);
    CU_ASSERT_TRUE(world.accepted_count == 0 || world.server.error == -ECONNRESET);
    tear_down();
}

static void statistics_are_answered(void)
{
    char recipe[128];
    struct stk_stats stats = {0};
    struct stk_ptcp_stats ptcp = {0};
    struct stk_udp_stats udp = {0};
    struct stk_addr peer;

    set_up("/ip4/127.0.0.1/udp/0/ptcp");
    listener_recipe(recipe, sizeof(recipe));
    struct stk_conn *conn = connect_to(recipe);
    while (!world.client.opened && stk_loop_turn(world.loop, 1000000) > 0)
        ;
    CU_ASSERT_EQUAL(stk_conn_query(conn, STK_QUERY_STATS, &stats, sizeof(stats)), 0);
    CU_ASSERT_TRUE(stats.mtu >= 512 && stats.packets_sent > 0 && stats.min_rtt_us > 0);
    CU_ASSERT_STRING_EQUAL(stats.congestion_control, "bbr");
    CU_ASSERT_EQUAL(stk_conn_query(conn, STK_QUERY_PTCP_STATS, &ptcp, sizeof(ptcp)), 0);
    CU_ASSERT_EQUAL(ptcp.packets_sent, stats.packets_sent);
    CU_ASSERT_TRUE(ptcp.handshake_us > 0 && ptcp.path_changes == 0);
    CU_ASSERT_EQUAL(stk_conn_query(conn, STK_QUERY_PTCP_STATS, &ptcp, sizeof(ptcp) - 1), -ENOENT);
    CU_ASSERT_EQUAL(stk_conn_query(conn, STK_QUERY_UDP_STATS, &udp, sizeof(udp)), 0);
    CU_ASSERT_EQUAL(udp.datagrams_sent, ptcp.packets_sent);
    CU_ASSERT_EQUAL(stk_conn_query(conn, STK_QUERY_PEER_ADDR, &peer, sizeof(peer)), 0);
    CU_ASSERT_TRUE(stk_addr_is_loopback(&peer));
    tear_down();
}

static void siblings_share_the_port(void)
{
    char recipe[128];
    struct stk_error error = {.code = 0};
    struct stk_conn *second = NULL;

    set_up("/ip4/127.0.0.1/udp/0/ptcp");
    listener_recipe(recipe, sizeof(recipe));
    struct stk_conn *conn = connect_to(recipe);
    while (!world.client.opened && stk_loop_turn(world.loop, 1000000) > 0)
        ;
    CU_ASSERT_EQUAL_FATAL(stk_conn_open_sibling(conn, &protocol, &world.second, &second, &error),
                          0);
    while ((!world.second.opened || world.accepted_count < 2) &&
           stk_loop_turn(world.loop, 1000000) > 0)
        ;
    CU_ASSERT_TRUE(world.second.opened);
    CU_ASSERT_EQUAL(world.accepted_count, 2);
    CU_ASSERT_EQUAL(stk_conn_control(second, STK_CONTROL_PRIORITY, 7), 0);
    CU_ASSERT_EQUAL(stk_conn_control(second, STK_CONTROL_PRIORITY, 8), -EINVAL);
    CU_ASSERT_EQUAL(stk_conn_control(second, STK_CONTROL_USER, 0), -ENOENT);
    tear_down();
}

static void a_listener_takes_no_more_connections_than_it_may(void)
{
    char recipe[128];
    struct stk_error error = {.code = 0};
    struct stk_conn *second = NULL;

    set_up("/ip4/127.0.0.1/udp/0/ptcp,connections=1");
    listener_recipe(recipe, sizeof(recipe));
    struct stk_conn *conn = connect_to(recipe);
    while (!world.client.opened && stk_loop_turn(world.loop, 1000000) > 0)
        ;
    CU_ASSERT_EQUAL_FATAL(stk_conn_open_sibling(conn, &protocol, &world.second, &second, &error),
                          0);
    while (world.client.read < TOTAL && stk_loop_turn(world.loop, 1000000) > 0)
        ;
    CU_ASSERT_FALSE(world.second.opened);
    CU_ASSERT_EQUAL(world.accepted_count, 1);
    tear_down();
}

static void unknown_congestion_control_is_refused(void)
{
    struct stk_error error = {.code = 0};

    set_up(NULL);
    CU_ASSERT_TRUE(stk_connect(world.loop, "/ip4/127.0.0.1/udp/9/ptcp,cc=magic", &protocol,
                               &world.client, NULL, &error) < 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "cubic"));
    tear_down();
}

/* --- A loop that goes ------------------------------------------------------------------------- */

enum { MANY = 60 }; /* more than go out in one turn */

static struct {
    int opened, reset;
} crowd;

static void crowd_opened(struct stk_conn *conn)
{
    (void)conn;
    crowd.opened++;
}

static void crowd_closed(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn;
    crowd.reset += error && error->code == -ECONNRESET;
}

static const struct stk_protocol crowd_protocol = {.opened = crowd_opened, .closed = crowd_closed};

static void a_loop_that_goes_tells_all_peers_of_its_connections(void)
{
    struct stk_error error = {.code = 0};
    struct stk_loop *other;
    char recipe[128];

    crowd.opened = crowd.reset = 0;
    set_up(NULL);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &other), 0);
    CU_ASSERT_EQUAL_FATAL(stk_listen(world.loop, "/ip4/127.0.0.1/udp/0/ptcp", &crowd_protocol, NULL,
                                     &world.listener, &error),
                          0);
    listener_recipe(recipe, sizeof(recipe));
    for (int i = 0; i < MANY; i++)
        CU_ASSERT_EQUAL(stk_connect(other, recipe, &crowd_protocol, NULL, NULL, &error), 0);
    while (crowd.opened < 2 * MANY) {
        stk_loop_turn(other, 1000);
        stk_loop_turn(world.loop, 1000);
    }
    stk_loop_free(other);
    crowd.reset = 0; /* what has come is in the socket's buffer now */
    for (int i = 0; i < MANY && crowd.reset < MANY; i++)
        stk_loop_turn(world.loop, 1000);
    CU_ASSERT_EQUAL(crowd.reset, MANY);
    tear_down();
}

static CU_TestInfo tests[] = {
    {"bytes pass both ways and both ends close", bytes_pass_both_ways_and_both_ends_close},
    {"messages may be as long as the bound on unused bytes",
     messages_may_be_as_long_as_the_bound_on_unused_bytes},
    {"a port without listener refuses", a_port_without_listener_refuses},
    {"an abort reaches the peer", an_abort_reaches_the_peer},
    {"statistics are answered", statistics_are_answered},
    {"siblings share the port", siblings_share_the_port},
    {"a listener takes no more connections than it may",
     a_listener_takes_no_more_connections_than_it_may},
    {"unknown congestion control is refused", unknown_congestion_control_is_refused},
    {"a loop that goes tells all peers of its connections",
     a_loop_that_goes_tells_all_peers_of_its_connections},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp layer", tests)
