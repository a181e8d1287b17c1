/* A sink and a source on any stack, through the library's public interface. */
#include "side.h"
#include "stack.h"

#include <stdio.h>
#include <string.h>

/* --- Recipes ----------------------------------------------------------------------------------
 * In a case's recipe @PORT, @KEY, @CERT and @UNIX stand for the receiver's port and key, the
 * certificate's file and the socket's path.
 */

enum { RECIPE_BYTES = 512 };

static void percent_encode(char *out, size_t size, const char *text)
{
    size_t at = 0;

    for (; *text && at + 4 < size; text++)
        at += (size_t)snprintf(out + at, size - at, *text == '/' ? "%%2F" : "%c", *text);
    out[at] = '\0';
}

static void value_of(const struct side *side, const char *name, char *out, size_t size)
{
    if (strncmp(name, "@PORT", 5) == 0)
        snprintf(out, size, "%u", side->port);
    else if (strncmp(name, "@UNIX", 5) == 0)
        percent_encode(out, size, side->stage->unix_path);
    else if (strncmp(name, "@CERT", 5) == 0)
        percent_encode(out, size, side->stage->certificate);
    else
        stk_key_format(side->stage->receiver_key.public_key, out);
}

static const char *fill_in(const struct side *side, const char *recipe, char out[RECIPE_BYTES])
{
    size_t at = 0;

    while (*recipe && at + 1 < RECIPE_BYTES) {
        char value[256];

        if (*recipe != '@') {
            out[at++] = *recipe++;
            continue;
        }
        value_of(side, recipe, value, sizeof value);
        at += (size_t)snprintf(out + at, RECIPE_BYTES - at, "%s", value);
        recipe += strncmp(recipe, "@KEY", 4) == 0 ? 4 : 5;
    }
    out[at < RECIPE_BYTES ? at : RECIPE_BYTES - 1] = '\0';
    return out;
}

/* --- What both sides do ------------------------------------------------------------------------
 */

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = side_of(conn);

    if (error)
        fprintf(stderr, "bench: %s: %s: %s\n", side->bench_case->name, error->layer, error->text);
    else
        meter_finish(&side->meter);
    stk_loop_stop(stk_conn_loop(conn));
}

static int new_loop(const struct stk_key_pair *key, struct stk_loop **loop)
{
    return stk_loop_new(NULL, loop) < 0 || stk_seal_set_identity(*loop, key) < 0 ? -1 : 0;
}

static int refused(const struct side *side, const struct stk_error *error)
{
    fprintf(stderr, "bench: %s: %s\n", side->bench_case->name, error->text);
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

    if (new_loop(&side->stage->receiver_key, &loop) < 0)
        return side_failed(side, "no loop");
    if (stk_listen(loop, fill_in(side, side->bench_case->listen, recipe), &sink, side, &listener,
                   &error) < 0)
        return refused(side, &error);
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

    if (new_loop(&side->stage->sender_key, &loop) < 0)
        return side_failed(side, "no loop");
    if (stk_connect(loop, fill_in(side, side->bench_case->connect, recipe), &source, side, &conn,
                    &error) < 0)
        return refused(side, &error);
    return run(side, loop);
}
