#include "latency.h"
#include "stack.h"

#include <errno.h>
#include <string.h>

/* --- Who answers --------------------------------------------------------------------------------
 * Its first connection stays open to the end.
 */

struct answerer {
    struct stk_conn *main;
    bool ended_well;
};

static int accepted(struct stk_conn *conn)
{
    struct answerer *answerer = stk_conn_user(conn);

    if (!answerer->main)
        answerer->main = conn;
    return 0;
}

static size_t answer(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    const long taken = stk_conn_write(conn, data, len);

    return taken > 0 ? (size_t)taken : 0;
}

static void answerer_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct answerer *answerer = stk_conn_user(conn);

    if (conn != answerer->main)
        return;
    answerer->ended_well = !error;
    stk_loop_stop(stk_conn_loop(conn));
}

static const struct stk_protocol answering = {
    .accepted = accepted,
    .received = answer,
    .finished = stk_conn_finish,
    .closed = answerer_closed,
};

int latency_stack_answer(struct side *side)
{
    char recipe[RECIPE_BYTES];
    struct answerer answerer = {0};
    struct stk_listener *listener;
    struct stk_error error;
    struct stk_addr addr;
    struct stk_loop *loop;

    if (stack_loop(&side->stage->receiver_key, &loop) < 0)
        return side_failed(side, "no loop");
    if (stk_listen(loop, recipe_listen(side, recipe), &answering, &answerer, &listener, &error) < 0)
        return stack_refused(side, &error);
    side_tell_port(side, stk_listener_addr(listener, &addr) < 0 ? 0 : stk_addr_port(&addr));
    stk_loop_run(loop);
    return answerer.ended_well ? 0 : 1;
}

/* --- Who asks -----------------------------------------------------------------------------------
 * One request is under way at a time: first on the connection that stays open, then on connections
 * of new peers, then on further ones beside the open one.
 */

struct asker {
    struct side *side;
    struct latency *latency;
    struct stk_loop *loop;
    struct stk_conn *main;
    struct stk_key_pair keys[CONNECTS]; /* a new peer each */
    char recipe[RECIPE_BYTES];
    size_t have; /* bytes of the answer */
    int warm;    /* requests that don't count yet */
    uint64_t at_ns, end_ns;
    bool done, failed;
};

static const struct stk_protocol asking, connecting;

static void fail(struct asker *asker, const struct stk_error *error)
{
    if (!asker->failed)
        stack_refused(asker->side, error);
    asker->failed = true;
    stk_loop_stop(asker->loop);
}

static void ask(struct asker *asker, struct stk_conn *conn)
{
    asker->have = 0;
    stk_conn_write(conn, asker->side->stage->bytes, MESSAGE_BYTES);
}

/* True when the answer is whole. */
static bool take(struct asker *asker, const uint8_t *data, size_t len)
{
    if (len > MESSAGE_BYTES - asker->have ||
        memcmp(data, asker->side->stage->bytes + asker->have, len) != 0) {
        fail(asker, &(struct stk_error){.text = "the answer is another one"});
        return false;
    }
    asker->have += len;
    return asker->have == MESSAGE_BYTES;
}

static void open_new_peer(struct asker *asker)
{
    struct stk_error error;
    struct stk_conn *conn;

    stk_seal_set_identity(asker->loop, &asker->keys[asker->latency->first.count]);
    asker->at_ns = clock_now_ns();
    if (stk_connect(asker->loop, asker->recipe, &connecting, asker, &conn, &error) < 0)
        fail(asker, &error);
    else
        ask(asker, conn);
}

static void finish(struct asker *asker)
{
    asker->done = true;
    stk_conn_close(asker->main);
}

static void open_further(struct asker *asker)
{
    struct stk_error error;
    struct stk_conn *conn;

    asker->at_ns = clock_now_ns();
    const int result = stk_conn_open_sibling(asker->main, &connecting, asker, &conn, &error);
    if (result == -ENOTSUP)
        finish(asker);
    else if (result < 0)
        fail(asker, &error);
    else
        ask(asker, conn);
}

static void open_next(struct asker *asker)
{
    if (asker->latency->first.count < CONNECTS)
        open_new_peer(asker);
    else if (asker->latency->further.count < CONNECTS)
        open_further(asker);
    else
        finish(asker);
}

/* The open connection. */

static void main_opened(struct stk_conn *conn) { ask(stk_conn_user(conn), conn); }

static size_t main_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct asker *asker = stk_conn_user(conn);

    if (!take(asker, data, len))
        return len;
    if (asker->warm > 0) {
        asker->warm--;
        asker->end_ns = clock_now_ns() + asker->latency->window_ns;
    } else if (!lapses_add(&asker->latency->request, asker->at_ns) ||
               asker->at_ns >= asker->end_ns) {
        open_next(asker);
        return len;
    }
    asker->at_ns = clock_now_ns();
    ask(asker, conn);
    return len;
}

static void main_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct asker *asker = stk_conn_user(conn);

    if (error)
        fail(asker, error);
    stk_loop_stop(asker->loop);
}

static const struct stk_protocol asking = {
    .opened = main_opened, .received = main_received, .closed = main_closed};

/* A connection for one request. */

static size_t other_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct asker *asker = stk_conn_user(conn);
    struct latency *latency = asker->latency;

    if (!take(asker, data, len))
        return len;
    lapses_add(latency->first.count < CONNECTS ? &latency->first : &latency->further, asker->at_ns);
    stk_conn_close(conn);
    return len;
}

static void other_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct asker *asker = stk_conn_user(conn);

    if (error)
        fail(asker, error);
    else
        open_next(asker);
}

static const struct stk_protocol connecting = {.received = other_received, .closed = other_closed};

int latency_stack_ask(struct side *side)
{
    struct asker asker;
    struct stk_error error;

    asker = (struct asker){.side = side, .latency = side->shared, .warm = WARM_REQUESTS};
    for (int i = 0; i < CONNECTS; i++)
        stk_key_pair_new(&asker.keys[i]);
    recipe_connect(side, asker.recipe);
    if (stack_loop(&side->stage->sender_key, &asker.loop) < 0)
        return side_failed(side, "no loop");
    if (stk_connect(asker.loop, asker.recipe, &asking, &asker, &asker.main, &error) < 0)
        return stack_refused(side, &error);
    stk_loop_run(asker.loop);
    return asker.done && !asker.failed ? 0 : 1;
}
