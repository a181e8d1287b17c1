/*
 * A layer of one's own in recipes: own_layer
 *
 * Registers "rot" (rot.c), then sends a line twice over memory: to a listener without the layer,
 * which sees what passes on the wire, and to one with it.
 */
#include "rot.h"
#include "stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void opened(struct stk_conn *conn)
{
    const char *line = stk_conn_user(conn);

    stk_conn_write(conn, line, strlen(line));
    stk_conn_close(conn);
}

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    char stack[64];
    uint64_t bytes = 0;

    stk_conn_query(conn, QUERY_ROT_BYTES, &bytes, sizeof bytes);
    printf("%-18s sees \"%.*s\" (rot saw %" PRIu64 " bytes)\n",
           stk_conn_describe(conn, stack, sizeof stack), (int)len, (const char *)data, bytes);
    return len;
}

static void complain(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn;
    if (error != NULL)
        fprintf(stderr, "%s: %s\n", error->layer, error->text);
}

static int send_line(struct stk_loop *loop, const char *listen, const char *connect, char *line)
{
    static const struct stk_protocol source = {.opened = opened, .closed = complain};
    static const struct stk_protocol sink = {.received = received, .closed = complain};
    struct stk_listener *listener;
    struct stk_conn *conn;
    struct stk_error error;

    if (stk_listen(loop, listen, &sink, NULL, &listener, &error) < 0)
        return fprintf(stderr, "%s: %s\n", error.layer, error.text), -1;
    if (stk_connect(loop, connect, &source, line, &conn, &error) < 0)
        fprintf(stderr, "%s: %s\n", error.layer, error.text);
    const int status = stk_loop_run(loop);
    stk_listener_close(listener);
    return status;
}

int main(void)
{
    char line[] = "Hello, layer";
    struct stk_loop *loop;

    if (stk_layer_type_add(&rot_layer) < 0 || stk_loop_new(NULL, &loop) < 0)
        return 1;
    const bool sent = send_line(loop, "/memory/a", "/memory/a/rot", line) == 0 &&
                      send_line(loop, "/memory/b/rot,by=5", "/memory/b/rot,by=5", line) == 0;
    stk_loop_free(loop);
    return sent ? 0 : 1;
}
