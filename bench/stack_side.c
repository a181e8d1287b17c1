/* A sink and a source on any stack, through the library's public interface. */
#include "side.h"
#include "stack.h"

#include <stdio.h>

/* --- What both sides do ------------------------------------------------------------------------
 */

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = side_of(conn);

    if (error)
        fprintf(stderr, "bench: %s: %s: %s\n", side->name, error->layer, error->text);
    else
        meter_finish(&side->meter);
    stk_loop_stop(stk_conn_loop(conn));
}

int stack_loop(const struct stk_key_pair *key, struct stk_loop **loop)
{
    return stk_loop_new(NULL, loop) < 0 || stk_seal_set_identity(*loop, key) < 0 ? -1 : 0;
}

int stack_refused(const struct side *side, const struct stk_error *error)
{
    fprintf(stderr, "bench: %s: %s\n", side->name, error->text);
    return 1;
}

static int run(struct side *side, struct stk_loop *loop)
{
    stk_loop_run(loop);
    return side->meter.measure->complete ? 0 : 1;
}

/* --- Sink ---------------------------------------------------------------------------------------
 */

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    (void)data;
    meter_count(&side_of(conn)->meter, len);
    return len;
}

static const struct stk_protocol sink = {.received = received, .closed = closed};

int stack_receive(struct side *side)
{
    char recipe[RECIPE_BYTES];
    struct stk_error error;
    struct stk_addr addr;
    struct stk_loop *loop;
    struct stk_listener *listener;

    if (stack_loop(&side->stage->receiver_key, &loop) < 0)
        return side_failed(side, "no loop");
    if (stk_listen(loop, recipe_listen(side, recipe), &sink, side, &listener, &error) < 0)
        return stack_refused(side, &error);
    side_tell_port(side, stk_listener_addr(listener, &addr) < 0 ? 0 : stk_addr_port(&addr));
    return run(side, loop);
}

/* --- Source -------------------------------------------------------------------------------------
 */

static void pump(struct stk_conn *conn)
{
    struct side *side = side_of(conn);
    long wrote;

    do {
        wrote = stk_conn_write(conn, side->stage->bytes, CHUNK_BYTES);
        if (wrote > 0 && meter_count(&side->meter, (size_t)wrote)) {
            stk_conn_finish(conn);
            return;
        }
    } while (wrote == CHUNK_BYTES);
}

static const struct stk_protocol source = {.opened = pump, .writable = pump, .closed = closed};

int stack_send(struct side *side)
{
    char recipe[RECIPE_BYTES];
    struct stk_error error;
    struct stk_loop *loop;
    struct stk_conn *conn;

    if (stack_loop(&side->stage->sender_key, &loop) < 0)
        return side_failed(side, "no loop");
    if (stk_connect(loop, recipe_connect(side, recipe), &source, side, &conn, &error) < 0)
        return stack_refused(side, &error);
    return run(side, loop);
}
