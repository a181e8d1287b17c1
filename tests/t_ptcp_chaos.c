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
#include "fault.h"
#include "harness.h"
#include "ptcp_books.h"
#include "ptcp_pair.h"
#include "tag.h"

enum {
    MS = 1000,
    SECOND = 1000 * MS,
    USERS = 48,
    LINKS = 4,
    LINKS_EVER = 4096,
    MOMENTS = 1500,
    CALM_US = 240 * SECOND,
    SEEDS = 6,
    DURABLE_US = 300 * SECOND,
};

/* One who has a connection, or is to get the other end of one. */
struct user {
    struct ptcp_conn *conn; /* NULL: not yet, or not any more */
    struct user *other;
    int side;
    unsigned serial; /* of the connection; 0: nobody */
    uint64_t id;     /* the opener's */
    uint64_t wish, written, read;
    bool lied_to, opener, invited, readable, greedy, finishes, finished, eof, failed, left, seeks;
};

struct link {
    bool ready[2], failed[2];
    uint64_t ready_us, fail_us; /* when the next side is told; UINT64_MAX: never */
};

static struct {
    struct pair pair;
    struct user users[2][USERS];
    struct link links[LINKS_EVER];
    uint64_t link[LINKS]; /* those in use; numbers begin with 1 */
    uint64_t last_link, seed;
    struct stk_ptcp_options listen;
    struct ptcp_endpoint_options port;
    uint32_t records[2];
    unsigned serial;
    bool sealed, faults, hostile, calm, durable;
    unsigned links_used;
} world;

static uint64_t first_seed = 1, seeds = SEEDS;
static uint64_t complete; /* users who have got all */

static uint64_t below(uint64_t bound) { return stk_prng_below(&world.pair.prng, bound); }
static bool chance(unsigned percent) { return below(100) < percent; }

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("\n    seed %llu, %llu us: %s\n", (unsigned long long)world.seed,               \
                   (unsigned long long)world.pair.now_us, #condition);                             \
            CU_FAIL_FATAL(#condition);                                                             \
        }                                                                                          \
    } while (0)

static void check_books(int side)
{
    const char *wrong = books_wrong(world.pair.end[side], world.records[side]);

    if (wrong)
        printf("\n    books of side %d: %s", side, wrong);
    CHECK(!wrong);
}

/* --- Associations ------------------------------------------------------------------------------
 */

static uint64_t new_link(void)
{
    CHECK(world.last_link + 1 < LINKS_EVER);
    const uint64_t id = ++world.last_link;

    world.links[id] =
        (struct link){.ready_us = world.pair.now_us + below(100 * MS), .fail_us = UINT64_MAX};
    return id;
}

static void tell_ready(uint64_t id, int side)
{
    world.links[id].ready[side] = true;
    ptcp_association_ready(world.pair.end[side], world.pair.now_us, id);
}

/* A peer says that it has closed only where it has no connection any more that could go on. */
static void tell_failed(uint64_t id, int side)
{
    const int code = !world.durable && chance(50) ? -ECONNRESET : -ETIMEDOUT;

    world.links[id].failed[side] = true;
    ptcp_association_failed(world.pair.end[side], world.pair.now_us, id, code,
                            "the association has failed");
}

static void serve_link(uint64_t id)
{
    struct link *link = &world.links[id];

    if (link->fail_us <= world.pair.now_us) {
        const int side = link->failed[0] ? 1 : link->failed[1] ? 0 : (int)below(2);

        tell_failed(id, side);
        link->ready_us = UINT64_MAX;
        link->fail_us =
            link->failed[!side] ? UINT64_MAX : world.pair.now_us + below(2 * (uint64_t)SECOND);
    } else if (link->ready_us <= world.pair.now_us && !link->failed[0] && !link->failed[1]) {
        const int side = link->ready[PAIR_A] ? PAIR_B : PAIR_A;

        tell_ready(id, side);
        link->ready_us = side == PAIR_A ? world.pair.now_us + below(40 * MS) : UINT64_MAX;
    }
}

static void serve_links(void)
{
    for (uint64_t id = 1; id <= world.last_link; id++)
        serve_link(id);
}

static void disturb_link(void)
{
    const unsigned i = (unsigned)below(world.links_used);
    const uint64_t id = world.link[i];
    const int side = (int)below(2);

    if (chance(90)) {
        if (world.links[id].ready[side] && !world.links[id].failed[side])
            ptcp_association_moved(world.pair.end[side], world.pair.now_us, id, chance(60));
        return;
    }
    world.links[id].fail_us = world.pair.now_us;
    world.link[i] = new_link();
}

/* --- Network -----------------------------------------------------------------------------------
 */

static void flush(int side, unsigned most)
{
    struct pair *pair = &world.pair;
    struct stk_run run;

    while (most-- > 0 &&
           ptcp_output(pair->end[side], pair->now_us, &run, pair->buffer, PTCP_OUTPUT_BYTES_MIN)) {
        stk_run_flatten(&run);
        pair->ecn = run.ecn;
        pair->leaves_on = run.association;
        for (unsigned i = 0; i < run.count; i++)
            pair_send(pair, side, stk_run_at(&run, i), stk_run_size(&run, i), run.probe);
    }
}

/* An ACK, a piece of the stream, or whatever else: within the rules or not. */
static void write_any_frame(struct stk_writer *writer)
{
    struct ptcp_ranges set;

    ptcp_ranges_init(&set, PTCP_ACK_RANGES_MAX);
    for (uint64_t n = 1 + below(20), at = below(300); n > 0; n--, at += 2 + below(20))
        ptcp_ranges_add(&set, at, at + 1 + below(10));
    switch (below(8)) {
    case 0:
    case 1:
        ptcp_ack_write(writer, &set, below(SECOND), chance(50) ? (uint64_t[3]){below(50)} : NULL);
        break;
    case 2:
        ptcp_stream_write(writer, below(300000), 0, chance(2), true);
        stk_write_bytes(writer, (const uint8_t *)"false", below(5));
        break;
    case 3:
        ptcp_value_write(writer, PTCP_FRAME_MAX_DATA, below(100000000));
        break;
    case 4:
        ptcp_value_write(writer, PTCP_FRAME_DATA_BLOCKED, below(1000000));
        break;
    case 5:
        ptcp_ack_frequency_write(writer, below(1000), below(1000), below(SECOND));
        break;
    case 6:
        ptcp_path_write(writer, PTCP_FRAME_PATH_CHALLENGE, below(1000));
        break;
    default:
        ptcp_value_write(writer, (enum ptcp_frame_type)below(256), below(1000000));
    }
    ptcp_ranges_free(&set);
}

/* In the name of a connection's peer, who knows all its secrets. */
static void lie_to(struct user *user)
{
    uint8_t packet[1024];
    struct stk_writer writer = stk_writer_of(packet, sizeof(packet) - PTCP_TAG_BYTES);
    const struct ptcp_conn *conn = user->conn;
    const uint8_t type = chance(90) ? PTCP_DATA : (uint8_t)(PTCP_SYN + below(6));

    if (!conn || conn->buried)
        return;
    const uint64_t id = type == PTCP_SYN ? 0 : ptcp_conn_id(conn);
    const uint64_t packet_number = ptcp_conn_expected(conn) + below(8);
    ptcp_header_write(&writer, &(struct ptcp_header){.type = type,
                                                     .destination = id,
                                                     .source = conn->peer_id,
                                                     .packet = packet_number});
    user->lied_to = user->other->lied_to = true;
    for (uint64_t n = 1 + below(3); n > 0; n--)
        write_any_frame(&writer);
    size_t size = (size_t)(writer.at - packet);
    if (!world.sealed)
        size =
            ptcp_tag_put(packet, size,
                         &(struct ptcp_whole){
                             .destination = id, .source = conn->peer_id, .packet = packet_number});
    pair_inject_on(&world.pair, ptcp_conn_association(conn), user->side, packet, size, STK_ECN_NOT);
}

static bool goes_with(const struct stk_run *run, int to, const struct pair_datagram *next)
{
    return next && next->due_us <= world.pair.now_us && next->to == to &&
           next->association == run->association && next->ecn == run->ecn &&
           next->size <= run->size && run->last_size == run->size && run->count < STK_RUN_COUNT_MAX;
}

/* As a run, where several datagrams of a size come together. */
static void deliver_some(void)
{
    static uint8_t room[STK_RUN_COUNT_MAX * 1500];
    struct pair *pair = &world.pair;
    struct pair_datagram *datagram = pair->flying;
    const int to = datagram->to;
    struct stk_run run = {.data = room,
                          .stride = 1500,
                          .size = datagram->size,
                          .last_size = datagram->size,
                          .ecn = datagram->ecn,
                          .association = datagram->association,
                          .peer = &pair->addr[!to],
                          .local = &pair->addr[to]};
    const struct link *link = &world.links[run.association];

    run.early = world.sealed && !link->ready[to];
    do {
        pair->flying = datagram->next;
        memcpy(stk_run_at(&run, run.count++), datagram->bytes, datagram->size);
        run.last_size = datagram->size;
        free(datagram);
        datagram = pair->flying;
    } while (goes_with(&run, to, datagram));
    if (!world.sealed || !link->failed[to])
        ptcp_input(pair->end[to], pair->now_us, &run, 1);
}

static void disturb_network(void)
{
    struct pair_net *net = &world.pair.net;

    net->loss_permille = chance(30) ? (unsigned)below(200) : 0;
    net->duplicate_permille = chance(30) ? (unsigned)below(200) : 0;
    net->jitter_us = chance(30) ? below(30 * MS) : 0;
    net->delay_us = below(50 * MS) + 100;
    net->rate_bytes_per_s = chance(50) ? 100000 + below(20000000) : 0;
    net->queue_us = 20 * MS + below(200 * MS);
    net->mtu = chance(20) ? 600 + (uint32_t)below(900) : 1472;
    net->marks = chance(50);
    if (chance(10)) {
        net->dark_from_us = world.pair.now_us;
        net->dark_until_us = world.pair.now_us + below(5 * (uint64_t)SECOND);
    }
}

static void calm_down(void)
{
    struct pair_net *net = &world.pair.net;

    world.calm = true;
    *net = (struct pair_net){
        .delay_us = 5 * MS, .rate_bytes_per_s = 10000000, .queue_us = 100 * MS, .mtu = 1472};
    fault_heap_fail(0, FAULT_ONCE);
}

/* --- Users --------------------------------------------------------------------------------------
 */

static unsigned salt_of(const struct user *writer) { return 2 * writer->serial + writer->opener; }

static void leave(struct user *user)
{
    ptcp_conn_release(user->conn, world.pair.now_us);
    user->conn = NULL;
    user->left = true;
}

static void fail(struct user *user, int code)
{
    const char *text = "";

    if (user->failed)
        return;
    user->failed = true;
    if (user->conn)
        ptcp_conn_error(user->conn, &text);
    if (user->lied_to)
        return;
    CHECK(code != -EPROTO && !strstr(text, "protocol"));
    CHECK(world.faults || (code != -ENOMEM && !strstr(text, "memory")));
    CHECK(world.faults || !strstr(text, "user time-out"));
}

static void write_some(struct user *user)
{
    uint8_t block[20000];

    while (user->invited && user->written < user->wish && !user->finished) {
        const uint64_t left = user->wish - user->written;
        size_t len = 1 + below(chance(20) ? 10 : sizeof(block));

        len = len < left ? len : left;
        for (size_t i = 0; i < len; i++)
            block[i] = pair_byte(user->written + i, salt_of(user));
        const long took =
            ptcp_conn_send(user->conn, world.pair.now_us, &(struct iovec){block, len}, 1);
        if (took < 0 && took != STK_AGAIN)
            fail(user, (int)took);
        user->written += took > 0 ? (uint64_t)took : 0;
        user->invited = took == (long)len;
    }
    if (user->finishes && user->written == user->wish && !user->finished && !user->failed) {
        const int code = ptcp_conn_finish(user->conn, world.pair.now_us);

        if (code < 0)
            fail(user, code);
        user->finished = true;
    }
}

static void read_some(struct user *user)
{
    while (user->readable && !user->eof) {
        struct iovec slice;
        const int count = ptcp_conn_peek(user->conn, &slice, 1);

        user->eof = count == 0;
        user->readable = count > 0;
        if (count < 0 && count != STK_AGAIN)
            fail(user, count);
        if (count <= 0)
            return;
        size_t len = user->greedy || world.calm ? slice.iov_len : 1 + below(slice.iov_len);
        for (size_t i = 0; i < len; i++)
            CHECK(user->lied_to || ((uint8_t *)slice.iov_base)[i] ==
                                       pair_byte(user->read + i, salt_of(user->other)));
        user->read += len;
        ptcp_conn_consume(user->conn, world.pair.now_us, len);
        if (!user->greedy && !world.calm)
            return;
    }
}

static void told(struct user *user, unsigned events)
{
    const char *text;

    user->invited |= (events & (PTCP_READY | PTCP_TX)) != 0;
    user->readable |= (events & (PTCP_RX | PTCP_RX_EOF)) != 0;
    user->seeks |= (events & PTCP_SEEK) != 0;
    if (events & PTCP_ERROR) {
        user->readable = true;
        fail(user, ptcp_conn_error(user->conn, &text));
    }
}

static void seek(struct user *user)
{
    const struct ptcp_durable *durable = user->conn->durable;

    user->seeks = false;
    if (!user->conn->buried && durable->seek == PTCP_SEEK_ASK)
        ptcp_durable_carry(user->conn, world.pair.now_us, chance(20) ? 0 : new_link());
}

static void act(struct user *user)
{
    if (!user->conn)
        return;
    if (user->seeks && chance(50))
        seek(user);
    if (user->greedy || world.calm || chance(30))
        read_some(user);
    if (world.calm || chance(50))
        write_some(user);
}

static void act_all(void)
{
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < USERS; i++)
            act(&world.users[side][i]);
}

static void greet(int side)
{
    struct ptcp_conn *conn;

    while ((conn = ptcp_accept(world.pair.end[side]))) {
        struct user *user = NULL;

        for (int i = 0; i < USERS; i++)
            if (world.users[!side][i].opener && world.users[!side][i].id == conn->peer_id &&
                world.users[!side][i].serial)
                user = world.users[!side][i].other;
        if (!user || user->conn || user->left) { /* its opener is forgotten */
            ptcp_conn_release(conn, world.pair.now_us);
            continue;
        }
        user->conn = conn;
        conn->user = user;
    }
}

static void tell(int side)
{
    struct ptcp_conn *conn;

    greet(side);
    while ((conn = ptcp_next_event(world.pair.end[side]))) {
        const unsigned events = ptcp_conn_take_events(conn);

        told(conn->user, events);
    }
}

static void open_one(void)
{
    const int side = world.sealed ? (int)below(2) : PAIR_A, i = (int)below(USERS);
    struct user *user = &world.users[side][i], *other = &world.users[!side][i];
    const uint64_t id = world.sealed ? world.link[below(world.links_used)] : 0;
    struct stk_ptcp_options options = {.priority_given = 1,
                                       .priority = (uint8_t)below(3),
                                       .durable_us = world.durable && chance(60) ? DURABLE_US : 0};
    static const char *const controls[] = {"bbr", "cubic", "reno"};
    const struct ptcp_open open = {.peer = &world.pair.addr[!side],
                                   .association = id,
                                   .ready = world.links[id].ready[side],
                                   .options = &options};

    if (user->serial || other->serial || (id && world.links[id].failed[side]))
        return;
    options.congestion = controls[below(3)];
    if (chance(30))
        options.receive_window_max = 16384 + (uint32_t)below(100000);
    if (chance(30))
        options.send_buffer_max = 16384 + (uint32_t)below(100000);
    *user = (struct user){.side = side, .opener = true, .greedy = chance(60), .other = other};
    *other = (struct user){.side = !side, .greedy = chance(60), .other = user};
    if (ptcp_open(world.pair.end[side], world.pair.now_us, &open, &user->conn) < 0)
        return;
    user->serial = other->serial = ++world.serial;
    user->id = ptcp_conn_id(user->conn);
    user->conn->user = user;
    user->invited = chance(30); /* before it is told to */
    user->wish = below(chance(20) ? 2000000 : 50000);
    other->wish = below(chance(20) ? 2000000 : 50000);
}

static bool may_forget(const struct user *user)
{
    return user->left || (!user->conn && user->other->left);
}

/* Both have left: others may have the place. */
static void forget(struct user *user)
{
    if (user->serial && may_forget(user) && may_forget(user->other)) {
        user->serial = user->other->serial = 0;
        user->left = user->other->left = false;
    }
}

static void disturb_user(void)
{
    struct user *user = &world.users[below(2)][below(USERS)];
    const unsigned what = (unsigned)below(100);

    forget(user);
    if (!user->conn)
        return;
    if (what < 40 && !user->finishes)
        user->wish += below(chance(10) ? 3000000 : 30000);
    else if (what < 60)
        user->finishes = true;
    else if (what < 65)
        ptcp_conn_set_priority(user->conn, (uint8_t)below(PTCP_PRIORITIES));
    else if (what < 68)
        ptcp_conn_abort(user->conn, world.pair.now_us, PTCP_RESET_USER + below(9));
    else if (what < 74 || ((user->failed || (user->eof && user->finished)) && what < 95))
        leave(user);
}

/* --- The run -----------------------------------------------------------------------------------
 */

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
        tell(side);
    }
    serve_links();
    while (pair->flying && pair->flying->due_us <= pair->now_us) {
        deliver_some();
        tell(PAIR_A);
        tell(PAIR_B);
    }
    act_all();
    for (int side = 0; side < 2; side++) {
        flush(side, !world.calm && chance(10) ? (unsigned)below(4) : UINT32_MAX);
        tell(side);
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
        lie_to(&world.users[below(2)][below(USERS)]);
    if (chance(50))
        open_one();
    for (uint64_t n = below(16); n > 0; n--)
        disturb_user();
    if (chance(3))
        disturb_network();
    if (world.sealed && chance(3))
        disturb_link();
    if (world.faults && chance(5))
        fault_heap_fail(1 + (long)below(100), FAULT_ONCE);
}

static void check_outcome(const struct user *user)
{
    const struct user *other = user->other;

    if (!user->serial || !user->conn || user->failed || user->lied_to || other->failed ||
        other->left)
        return;
    if (!other->conn) { /* never got to its user, and failed with its association */
        CHECK(!world.calm || user->failed || !user->opener);
        return;
    }
    CHECK(user->eof && user->read == other->written);
    CHECK(user->finished && user->written == user->wish);
    complete++;
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
    world.links_used = chance(50) ? 1 : LINKS;
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
    world.listen = (struct stk_ptcp_options){.durable_us = world.durable ? DURABLE_US : 0};
    for (int side = 0; side < 2; side++) {
        world.records[side] = world.pair.end[side]->records_left;
        ptcp_listen(world.pair.end[side], &world.listen, 1000);
    }
    for (int i = 0; world.sealed && i < (int)world.links_used; i++)
        world.link[i] = new_link();
    disturb_network();
}

static void settle(void)
{
    calm_down();
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < USERS; i++)
            world.users[side][i].finishes = true;
    go_on(world.pair.now_us + CALM_US);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < USERS; i++)
            check_outcome(&world.users[side][i]);
}

static void end(void)
{
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < USERS; i++)
            if (world.users[side][i].conn)
                leave(&world.users[side][i]);
    go_on(world.pair.now_us + 120 * (uint64_t)SECOND);
    for (int side = 0; side < 2; side++) {
        check_books(side);
        CHECK(ptcp_connections(world.pair.end[side]) == 0);
        CHECK(ptcp_time_waits(world.pair.end[side]) == 0);
        CHECK(world.pair.end[side]->waiting == 0);
        CHECK(world.pair.end[side]->paths.count == 0);
    }
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
            check_books(PAIR_A);
            check_books(PAIR_B);
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
