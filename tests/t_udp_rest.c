/*
 * Goal: where much comes a udp port rests between reads, and nothing else ever waits for it.
 * Method: a back end with a clock of its own, and datagrams that are there at exact times.
 */
#include "backend.h"
#include "dgram.h"
#include "harness.h"
#include "recipe.h"
#include "udp.h"

#include <errno.h>
#include <string.h>

/* --- Datagrams of `size` bytes, one each `every_us`, until `end` have come ----------------------
 */

struct world {
    uint64_t now_us, first_us, every_us;
    uint64_t late_us;    /* how much longer waits for timers take */
    uint64_t longest_us; /* that a datagram waited */
    unsigned size, taken, end;
    unsigned calls, wakeups;
    int receive_error, watch_error; /* of calls to come */
    struct stk_watch *watch;        /* the port's */
    struct stk_sys real;
    bool opened;
};

static struct world world;
static struct stk_loop *loop;
static struct stk_port *port;
static unsigned received;
static int failure;

static uint64_t arrival_us(unsigned i) { return world.first_us + i * world.every_us; }
static bool is_there(unsigned i) { return i < world.end && arrival_us(i) <= world.now_us; }

static int receive(int fd, struct mmsghdr *messages, unsigned count, int flags,
                   struct timespec *timeout)
{
    const struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = 1};
    unsigned n = 0;

    (void)fd, (void)flags, (void)timeout;
    world.calls++;
    if (world.receive_error) {
        errno = world.receive_error;
        return -1;
    }
    for (; n < count && is_there(world.taken); n++, world.taken++) {
        const uint64_t waited_us = world.now_us - arrival_us(world.taken);
        if (waited_us > world.longest_us)
            world.longest_us = waited_us;
        memcpy(messages[n].msg_hdr.msg_name, &peer, sizeof peer);
        messages[n].msg_hdr.msg_namelen = sizeof peer;
        messages[n].msg_hdr.msg_controllen = 0;
        messages[n].msg_len = world.size;
    }
    errno = EAGAIN;
    return n ? (int)n : -1;
}

static int refuse(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    (void)fd, (void)messages, (void)count, (void)flags;
    errno = EAGAIN;
    return -1;
}

/* --- The back end ------------------------------------------------------------------------------
 */

static int open_state(void *state)
{
    (void)state;
    return 0;
}

static void close_state(void *state) { (void)state; }

static int change(void *state, struct stk_watch *watch, unsigned before)
{
    (void)state;
    if (!world.opened) /* the loop's own */
        return watch->events ? -ENOSYS : 0;
    if (watch->events && !before && world.watch_error)
        return world.watch_error;
    world.watch = watch;
    return 0;
}

/* Returns true once a datagram is there, false when the time is over. */
static bool wait_for_datagram(uint64_t until_us)
{
    if (!world.watch || !(world.watch->events & STK_READABLE) || world.taken >= world.end)
        return false;
    if (arrival_us(world.taken) > until_us)
        return false;
    if (arrival_us(world.taken) > world.now_us)
        world.now_us = arrival_us(world.taken);
    return true;
}

static int wait_ready(void *state, struct stk_loop *of, int64_t timeout_us)
{
    const bool forever = timeout_us < 0;
    const uint64_t until_us = forever ? UINT64_MAX : world.now_us + (uint64_t)timeout_us;

    (void)state;
    if (wait_for_datagram(until_us)) {
        world.wakeups++;
        stk_backend_ready(of, world.watch, STK_READABLE);
        return 0;
    }
    if (forever)
        return -EDEADLK; /* nothing will ever come */
    world.now_us = until_us + (timeout_us > 0 ? world.late_us : 0);
    return 0;
}

static uint64_t now_us(void *state)
{
    (void)state;
    return world.now_us;
}

static const struct stk_backend virtual_backend = {
    .name = "virtual",
    .open = open_state,
    .close = close_state,
    .change = change,
    .wait = wait_ready,
    .now_us = now_us,
};

/* --- The port ----------------------------------------------------------------------------------
 */

static void on_input(void *user, const struct stk_run *runs, int count)
{
    (void)user;
    for (int i = 0; i < count; i++)
        received += runs[i].count;
}

static void on_failed(void *user, const struct stk_error *error)
{
    (void)user;
    failure = error->code;
}

static void on_writable(void *user) { (void)user; }

static const struct stk_port_user port_user = {
    .input = on_input, .writable = on_writable, .failed = on_failed};

static void begin(const char *address)
{
    struct stk_recipe *recipe;
    struct stk_error error;

    world = (struct world){.now_us = 1000000, .real = stk_sys};
    received = 0;
    failure = 0;
    CU_ASSERT_EQUAL_FATAL(stk_loop_new_on(&virtual_backend, &world, &loop), 0);
    world.opened = true;
    CU_ASSERT_EQUAL_FATAL(stk_recipe_parse(address, &recipe, &error), 0);
    CU_ASSERT_EQUAL_FATAL(stk_port_open(loop, recipe, true, &port, &error), 0);
    stk_recipe_unref(recipe);
    stk_port_set_user(port, &port_user, NULL);
    stk_sys.recvmmsg = receive;
}

static void end(void)
{
    stk_sys = world.real;
    stk_port_unref(port);
    stk_loop_turn(loop, 0);
    stk_loop_free(loop);
}

/* From now on; what was counted before is forgotten. */
static void let_come(unsigned datagrams, unsigned size, uint64_t every_us)
{
    world.first_us = world.now_us;
    world.every_us = every_us;
    world.size = size;
    world.taken = received = 0;
    world.end = datagrams;
    world.calls = world.wakeups = 0;
    world.longest_us = 0;
}

/* At least so many have come. */
static void turn_until(unsigned datagrams)
{
    for (int i = 0; i < 1000000 && received < datagrams && !failure; i++)
        if (stk_loop_turn(loop, -1) < 0)
            break;
    CU_ASSERT_TRUE(received >= datagrams);
    CU_ASSERT_EQUAL(received, world.taken);
}

/* How long a rest may be at this rate. */
static uint64_t rest_us(uint64_t bytes_per_us)
{
    struct stk_udp_stats stats;

    CU_ASSERT_EQUAL(stk_port_query(port, STK_QUERY_UDP_STATS, 0, &stats, sizeof stats), 0);
    const uint64_t us = stats.receive_buffer_bytes / 8 / bytes_per_us;
    return us < STACK_UDP_REST_US ? us : STACK_UDP_REST_US;
}

enum {
    FAST = 1400, /* bytes; one such datagram each 2 µs */
    MANY = 10000,
};

static void begin_fast(void)
{
    begin("/ip4/127.0.0.1/udp/0,rcvbuf=128k");
    let_come(MANY, FAST, 2);
}

/* --- Cases -------------------------------------------------------------------------------------
 */

static void what_comes_slowly_is_read_as_it_comes(void)
{
    begin("/ip4/127.0.0.1/udp/0");
    let_come(MANY, 998, 2);
    turn_until(MANY);
    CU_ASSERT_EQUAL(world.wakeups, MANY);
    CU_ASSERT_EQUAL(world.longest_us, 0);
    end();
}

static void what_comes_fast_is_read_in_portions_after_rests(void)
{
    begin_fast();
    const uint64_t us = rest_us(FAST / 2);
    turn_until(MANY);
    CU_ASSERT_TRUE(us >= STACK_UDP_REST_MIN_US);
    CU_ASSERT_TRUE(world.longest_us >= us - 3 && world.longest_us <= us);
    CU_ASSERT_TRUE(world.wakeups <= 2 * STACK_UDP_GAUGE_US); /* until it was known to be fast */
    CU_ASSERT_TRUE(world.calls <= 2 * STACK_UDP_GAUGE_US + 2 * (MANY * 2 / us) + 2);
    end();
}

static void a_rest_brings_no_more_than_the_buffer_holds(void)
{
    static const unsigned sizes[] = {500, 1000, 2000, 8000, 60000};

    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin("/ip4/127.0.0.1/udp/0,rcvbuf=128k");
        let_come(MANY, sizes[i], 1);
        const uint64_t us = rest_us(sizes[i]);
        turn_until(MANY);
        if (us < STACK_UDP_REST_MIN_US) {
            CU_ASSERT_EQUAL(world.longest_us, 0);
        } else {
            CU_ASSERT_TRUE(world.longest_us > 0 && world.longest_us <= us);
        }
        end();
    }
}

static void when_it_ends_the_socket_is_watched_again(void)
{
    begin_fast();
    turn_until(MANY);
    CU_ASSERT_TRUE(stk_loop_turn(loop, STACK_UDP_REST_US) >= 0);
    CU_ASSERT_EQUAL(world.watch->events, STK_READABLE);

    world.now_us += 1000;
    let_come(1, 64, 1);
    world.first_us += 5;
    turn_until(1);
    CU_ASSERT_EQUAL(world.longest_us, 0);
    CU_ASSERT_EQUAL(world.wakeups, 1);
    /* And nothing is left that would wake the loop. */
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), -EDEADLK);
    end();
}

static void waiting_for_room_to_send_goes_on_in_a_rest(void)
{
    uint8_t byte[1] = {0};
    struct stk_addr peer;
    struct stk_run run = {
        .data = byte, .size = 1, .last_size = 1, .stride = 1, .count = 1, .peer = &peer};

    begin_fast();
    CU_ASSERT_EQUAL(stk_addr_parse_ip(&peer, "127.0.0.1", 9), 0);
    turn_until(MANY / 2);
    CU_ASSERT_EQUAL(world.watch->events, 0);
    stk_sys.sendmmsg = refuse;
    CU_ASSERT_EQUAL(stk_port_send(port, &run, 1), 0);
    CU_ASSERT_EQUAL(world.watch->events, STK_WRITABLE);
    turn_until(MANY);
    CU_ASSERT_TRUE(stk_loop_turn(loop, STACK_UDP_REST_US) >= 0);
    CU_ASSERT_EQUAL(world.watch->events, STK_READABLE | STK_WRITABLE);
    end();
}

static void after_a_rest_that_ended_late_there_is_none_for_a_hundred_times_as_long(void)
{
    begin_fast();
    let_come(20 * MANY, FAST, 2);
    turn_until(MANY);
    world.late_us = 1000;
    stk_loop_turn(loop, -1);
    world.late_us = 0;
    while (is_there(world.taken))
        stk_loop_turn(loop, -1);
    const unsigned before = world.wakeups;
    const uint64_t since_us = world.now_us;
    world.longest_us = 0;
    while (world.longest_us == 0 && world.now_us - since_us < 200000)
        stk_loop_turn(loop, -1);
    CU_ASSERT_TRUE(world.now_us - since_us >= 99000 && world.now_us - since_us <= 101000);
    CU_ASSERT_TRUE(world.wakeups - before > 49000); /* one for each datagram */
    end();
}

static void without_memory_for_the_watch_the_timer_goes_on_reading(void)
{
    begin_fast();
    turn_until(MANY);
    world.watch_error = -ENOMEM;
    CU_ASSERT_TRUE(stk_loop_turn(loop, STACK_UDP_REST_US) >= 0);
    CU_ASSERT_EQUAL(world.watch->events, 0);
    let_come(1, 64, 1);
    turn_until(1);
    CU_ASSERT_EQUAL(world.wakeups, 0);
    world.watch_error = 0;
    CU_ASSERT_TRUE(stk_loop_turn(loop, 2 * STACK_UDP_REST_LATE_US) >= 0);
    CU_ASSERT_EQUAL(world.watch->events, STK_READABLE);
    end();
}

static void errors_in_a_rest_end_it_or_the_port(void)
{
    begin_fast();
    turn_until(MANY / 2);
    CU_ASSERT_EQUAL(world.watch->events, 0);
    world.receive_error = ENOMEM;
    CU_ASSERT_TRUE(stk_loop_turn(loop, STACK_UDP_REST_US) >= 0);
    CU_ASSERT_EQUAL(world.watch->events, STK_READABLE);
    world.receive_error = 0;
    turn_until(MANY / 2 + 100);
    CU_ASSERT_EQUAL(world.watch->events, 0);

    world.receive_error = EBADF;
    for (int i = 0; i < 3 && !failure; i++)
        stk_loop_turn(loop, STACK_UDP_REST_US);
    CU_ASSERT_EQUAL(failure, -EBADF);
    CU_ASSERT_EQUAL(world.watch->events, 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), -EDEADLK);
    end();
}

static CU_TestInfo tests[] = {
    {"what comes slowly is read as it comes", what_comes_slowly_is_read_as_it_comes},
    {"what comes fast is read in portions, after rests",
     what_comes_fast_is_read_in_portions_after_rests},
    {"a rest brings no more than the buffer holds", a_rest_brings_no_more_than_the_buffer_holds},
    {"when it ends the socket is watched again", when_it_ends_the_socket_is_watched_again},
    {"waiting for room to send goes on in a rest", waiting_for_room_to_send_goes_on_in_a_rest},
    {"after a rest that ended late there is none for a hundred times as long",
     after_a_rest_that_ended_late_there_is_none_for_a_hundred_times_as_long},
    {"without memory for the watch the timer goes on reading",
     without_memory_for_the_watch_the_timer_goes_on_reading},
    {"errors in a rest end it or the port", errors_in_a_rest_end_it_or_the_port},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("udp_rest", tests)
