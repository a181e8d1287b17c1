/*
 * Goal: datagrams that may wait take no room from the others, and all come where the kernel does
 * not play along. Method: a layer that lets some wait, on a port with a small receive buffer that
 * is filled before the loop runs.
 */
#include "dgram.h"
#include "harness.h"
#include "layer.h"
#include "recipe.h"

#include <netinet/in.h>
#include <string.h>

enum { WAITING = 0xc1, OTHER = 0x42, MANY = 300, BYTES = 400, DEADLINE_US = 2000000 };

static struct stk_loop *loop;
static struct stk_port *port;
static struct stk_timer deadline;
static unsigned waiting, others, wanted_waiting, wanted_others, unreachable;

static int part(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    (void)segment;
    stk_dgram_part_below(layer, WAITING);
    return 0;
}

static const struct stk_dgram_type dgram = {
    .name = "parting", .size = sizeof(struct stk_dgram_layer), .init = part};

static const struct stk_layer_type layer_type = {.name = "parting",
                                                 .summary = "a test's layer",
                                                 .below = STK_DATAGRAMS,
                                                 .above = STK_DATAGRAMS,
                                                 .dgram = &dgram};

static void on_input(void *user, const struct stk_run *runs, int count)
{
    (void)user;
    for (int r = 0; r < count; r++)
        for (unsigned i = 0; i < runs[r].count; i++) {
            waiting += *stk_run_at(&runs[r], i) == WAITING;
            others += *stk_run_at(&runs[r], i) == OTHER;
        }
    if (waiting >= wanted_waiting && others >= wanted_others)
        stk_loop_stop(loop);
}

static void on_unreachable(void *user, const struct stk_addr *peer, int code)
{
    (void)user, (void)peer;
    unreachable += code == -ECONNREFUSED;
}

static const struct stk_port_user user_type = {.input = on_input, .unreachable = on_unreachable};

static void too_late(struct stk_timer *timer)
{
    (void)timer;
    stk_loop_stop(loop);
}

static int open_port(const char *text, struct stk_port **out)
{
    struct stk_error error = {0};
    struct stk_recipe *recipe;

    CU_ASSERT_EQUAL_FATAL(stk_recipe_parse(text, &recipe, &error), 0);
    const int code = stk_port_open(loop, recipe, true, out, &error);
    stk_recipe_unref(recipe);
    return code;
}

static void begin(const char *recipe)
{
    if (!stk_layer_type_find("parting"))
        stk_layer_type_add(&layer_type);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    CU_ASSERT_EQUAL_FATAL(open_port(recipe, &port), 0);
    stk_port_set_user(port, &user_type, NULL);
    stk_timer_init(&deadline, loop, too_late);
    waiting = others = wanted_waiting = wanted_others = unreachable = 0;
}

static void end(void)
{
    stk_port_unref(port);
    stk_timer_stop(&deadline);
    stk_loop_free(loop);
}

static uint16_t port_number(void)
{
    struct stk_addr local;

    CU_ASSERT_EQUAL(stk_port_local(port, &local), 0);
    return stk_addr_port(&local);
}

static void send_many(unsigned count, uint8_t first)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(port_number()),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const uint8_t bytes[BYTES] = {first};

    for (unsigned i = 0; i < count; i++)
        CU_ASSERT_EQUAL(sendto(fd, bytes, sizeof bytes, 0, (const struct sockaddr *)&to, sizeof to),
                        BYTES);
    close(fd);
}

/* Until so many have come, or for as long as patience lasts. */
static void run_for(unsigned want_waiting, unsigned want_others)
{
    wanted_waiting = want_waiting;
    wanted_others = want_others;
    stk_timer_in(&deadline, DEADLINE_US);
    stk_loop_run(loop);
}

/* MANY of them fill the buffer before the one that matters comes. */
static void flood_and_send_one(const char *recipe)
{
    begin(recipe);
    send_many(MANY, WAITING);
    send_many(1, OTHER);
    send_many(MANY, WAITING);
}

static void what_may_wait_takes_no_room_from_the_others(void)
{
    flood_and_send_one("/ip4/127.0.0.1/udp/0,rcvbuf=8192/parting");
    run_for(1, 1);
    CU_ASSERT_EQUAL(others, 1);
    CU_ASSERT_TRUE(waiting > 0);
    end();
}

static void without_a_layer_that_says_so_it_does(void)
{
    struct stk_udp_stats stats;

    flood_and_send_one("/ip4/127.0.0.1/udp/0,rcvbuf=8192");
    CU_ASSERT_EQUAL(stk_port_query(port, STK_QUERY_UDP_STATS, 0, &stats, sizeof stats), 0);
    CU_ASSERT_TRUE(stats.overflowed > MANY);
    run_for(2 * MANY - stats.overflowed + 1, 0);
    CU_ASSERT_EQUAL(others, 0);
    end();
}

static void all_that_fits_comes(void)
{
    static const char *const recipes[] = {"/ip4/127.0.0.1/udp/0/parting", "/ip6/::/udp/0/parting",
                                          "/ip4/127.0.0.1/udp/0,reuseport/parting"};

    for (unsigned i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
        begin(recipes[i]);
        send_many(50, WAITING);
        send_many(50, OTHER);
        run_for(50, 50);
        CU_ASSERT_EQUAL(waiting, 50);
        CU_ASSERT_EQUAL(others, 50);
        end();
    }
}

/* A port of this machine where nobody listens any more. */
static struct stk_addr closed_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof sa;
    struct stk_addr addr;

    CU_ASSERT_EQUAL(bind(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
    CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd);
    stk_addr_from_sockaddr(&addr, (const struct sockaddr *)&sa, sizeof sa);
    return addr;
}

/* The kernel picks the socket that hears of it by a hash of both addresses. */
static void who_is_gone_is_heard_of_at_either_socket(void)
{
    enum { GONE = 24, TURNS_MAX = 200 };
    uint8_t byte = OTHER;
    int turns = 0;

    begin("/ip4/127.0.0.1/udp/0/parting");
    for (unsigned i = 0; i < GONE; i++) {
        const struct stk_addr peer = closed_port();
        struct stk_run run = {
            .data = &byte, .stride = 1, .size = 1, .last_size = 1, .count = 1, .peer = &peer};

        CU_ASSERT_EQUAL(stk_port_send(port, &run, 1), 1);
        CU_ASSERT_TRUE(stk_loop_turn(loop, DEADLINE_US) > 0);
    }
    while (turns < TURNS_MAX && stk_loop_turn(loop, 0) > 0)
        turns++;
    CU_ASSERT_TRUE(turns < TURNS_MAX);
    CU_ASSERT_EQUAL(unreachable, GONE);
    end();
}

static void nobody_else_gets_the_address(void)
{
    struct stk_port *second = NULL;
    char same[100];

    begin("/ip4/127.0.0.1/udp/0/parting");
    snprintf(same, sizeof same, "/ip4/127.0.0.1/udp/%u/parting", port_number());
    CU_ASSERT_EQUAL(open_port(same, &second), -EADDRINUSE);
    end();
}

static struct stk_sys real;
static int calls_until_failure;

static int failing_socket(int domain, int type, int protocol)
{
    errno = EMFILE;
    return --calls_until_failure == 0 ? -1 : real.socket(domain, type, protocol);
}

static int failing_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    errno = EADDRINUSE;
    return --calls_until_failure == 0 ? -1 : real.bind(fd, addr, len);
}

static void without_a_second_socket_everything_comes_by_the_first(void)
{
    for (int which = 0; which < 2; which++) {
        real = stk_sys;
        calls_until_failure = 2;
        if (which == 0)
            stk_sys.socket = failing_socket;
        else
            stk_sys.bind = failing_bind;
        begin("/ip4/127.0.0.1/udp/0/parting");
        stk_sys = real;
        CU_ASSERT_EQUAL(calls_until_failure, 0);
        send_many(20, WAITING);
        send_many(20, OTHER);
        run_for(20, 20);
        CU_ASSERT_EQUAL(waiting, 20);
        CU_ASSERT_EQUAL(others, 20);
        end();
    }
}

static CU_TestInfo tests[] = {
    {"what may wait takes no room from the others", what_may_wait_takes_no_room_from_the_others},
    {"without a layer that says so, it does", without_a_layer_that_says_so_it_does},
    {"all that fits comes", all_that_fits_comes},
    {"who is gone is heard of at either socket", who_is_gone_is_heard_of_at_either_socket},
    {"nobody else gets the address", nobody_else_gets_the_address},
    {"without a second socket, everything comes by the first",
     without_a_second_socket_everything_comes_by_the_first},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("udp, apart", tests)
