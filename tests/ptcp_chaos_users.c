/* Users: they do only what events tell them to, and see whether each byte is right. */
#include "ptcp_chaos.h"

static unsigned salt_of(const struct chaos_user *writer)
{
    return 2 * writer->serial + writer->opener;
}

void chaos_leave(struct chaos_user *user)
{
    ptcp_conn_release(user->conn, world.pair.now_us);
    user->conn = NULL;
    user->left = true;
}

static void fail(struct chaos_user *user, int code)
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

static void write_some(struct chaos_user *user)
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

static void read_some(struct chaos_user *user)
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

static void told(struct chaos_user *user, unsigned events)
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

static void seek(struct chaos_user *user)
{
    const struct ptcp_durable *durable = user->conn->durable;

    user->seeks = false;
    if (!user->conn->buried && durable->seek == PTCP_SEEK_ASK)
        ptcp_durable_carry(user->conn, world.pair.now_us, chance(20) ? 0 : chaos_new_link());
}

static void act(struct chaos_user *user)
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

void chaos_act_all(void)
{
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < CHAOS_USERS; i++)
            act(&world.users[side][i]);
}

static void greet(int side)
{
    struct ptcp_conn *conn;

    while ((conn = ptcp_accept(world.pair.end[side]))) {
        struct chaos_user *user = NULL;

        for (int i = 0; i < CHAOS_USERS; i++)
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

void chaos_tell(int side)
{
    struct ptcp_conn *conn;

    greet(side);
    while ((conn = ptcp_next_event(world.pair.end[side]))) {
        const unsigned events = ptcp_conn_take_events(conn);

        told(conn->user, events);
    }
}

void chaos_open_one(void)
{
    const int side = world.sealed ? (int)below(2) : PAIR_A, i = (int)below(CHAOS_USERS);
    struct chaos_user *user = &world.users[side][i], *other = &world.users[!side][i];
    const uint64_t id = world.sealed ? world.link[below(world.links_used)] : 0;
    struct stk_ptcp_options options = {.priority_given = 1,
                                       .priority = (uint8_t)below(3),
                                       .durable_us =
                                           world.durable && chance(60) ? CHAOS_DURABLE_US : 0};
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
    *user = (struct chaos_user){.side = side, .opener = true, .greedy = chance(60), .other = other};
    *other = (struct chaos_user){.side = !side, .greedy = chance(60), .other = user};
    if (ptcp_open(world.pair.end[side], world.pair.now_us, &open, &user->conn) < 0)
        return;
    user->serial = other->serial = ++world.serial;
    user->id = ptcp_conn_id(user->conn);
    user->conn->user = user;
    user->invited = chance(30); /* before it is told to */
    user->wish = below(chance(20) ? 2000000 : 50000);
    other->wish = below(chance(20) ? 2000000 : 50000);
}

static bool may_forget(const struct chaos_user *user)
{
    return user->left || (!user->conn && user->other->left);
}

/* Both have left: others may have the place. */
static void forget(struct chaos_user *user)
{
    if (user->serial && may_forget(user) && may_forget(user->other)) {
        user->serial = user->other->serial = 0;
        user->left = user->other->left = false;
    }
}

void chaos_disturb_user(void)
{
    struct chaos_user *user = &world.users[below(2)][below(CHAOS_USERS)];
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
        chaos_leave(user);
}
