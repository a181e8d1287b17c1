#include "conn.h"

#include <assert.h>

struct stk_listener {
    struct stk_loop *loop;
    struct blueprint *blueprint;
    const struct stk_protocol *protocol;
    void *user;
    void (*failed)(struct stk_listener *, const struct stk_error *);
    struct stk_node connections;
    struct stk_task task; /* reports a failure, or frees */
    struct stk_error error;
    bool closed;
    max_align_t state[]; /* the transport's */
};

static const struct stk_segment *bottom_of(const struct stk_listener *l)
{
    return &l->blueprint->recipe->segments[l->blueprint->first];
}

static void settle(struct stk_task *task)
{
    struct stk_listener *l = STK_CONTAINER(task, struct stk_listener, task);

    if (!l->closed) {
        if (l->failed != NULL)
            l->failed(l, &l->error);
        return;
    }
    blueprint_unref(l->blueprint);
    stk_free(l);
}

int stk_listen_recipe(struct stk_loop *loop, struct stk_recipe *recipe,
                      const struct stk_protocol *protocol, void *user, struct stk_listener **out,
                      struct stk_error *error)
{
    struct blueprint *blueprint;
    struct stk_error ignored;

    if (error == NULL)
        error = &ignored;
    if (stk_loop_is_ending(loop))
        return stk_error_set(error, -ECANCELED, "listen", "the loop is being freed");
    int status = blueprint_new(recipe, true, &blueprint, error);
    if (status < 0)
        return status;

    const struct stk_stream_type *type = recipe->segments[blueprint->first].type->stream;
    struct stk_listener *l = stk_alloc_zero(sizeof *l + type->listener_size);
    if (l == NULL) {
        blueprint_unref(blueprint);
        return stk_error_set(error, -ENOMEM, "listen", "out of memory");
    }
    l->loop = loop;
    l->blueprint = blueprint;
    l->protocol = protocol;
    l->user = user;
    stk_list_init(&l->connections);
    stk_task_init(&l->task, loop, settle);
    if ((status = type->listen(l, l->state, error)) < 0) {
        blueprint_unref(blueprint);
        stk_free(l);
        return status;
    }
    if (out != NULL)
        *out = l;
    return 0;
}

int stk_listen(struct stk_loop *loop, const char *address, const struct stk_protocol *protocol,
               void *user, struct stk_listener **out, struct stk_error *error)
{
    struct stk_recipe *recipe;
    int status = stk_recipe_parse(address, &recipe, error);

    if (status < 0)
        return status;
    status = stk_listen_recipe(loop, recipe, protocol, user, out, error);
    stk_recipe_unref(recipe);
    return status;
}

void stk_listener_close(struct stk_listener *l)
{
    if (l->closed)
        return;
    l->closed = true;
    bottom_of(l)->type->stream->unlisten(l, l->state);
    STK_LIST_EACH(node, &l->connections)
    {
        STK_CONTAINER(node, struct stk_conn, listener_node)->listener = NULL;
        stk_list_remove(node);
    }
    stk_task_queue(&l->task);
}

int stk_listener_addr(struct stk_listener *l, struct stk_addr *addr)
{
    const struct stk_stream_type *type = bottom_of(l)->type->stream;

    return type->listen_addr != NULL && !l->closed ? type->listen_addr(l, l->state, addr)
                                                   : -ENOTSUP;
}

void *stk_listener_user(const struct stk_listener *l) { return l->user; }

void stk_listener_on_failed(struct stk_listener *l,
                            void (*failed)(struct stk_listener *, const struct stk_error *))
{
    l->failed = failed;
}

void stk_listener_fail(struct stk_listener *l, const struct stk_error *error)
{
    if (l->error.code != 0)
        return;
    l->error = *error;
    stk_task_queue(&l->task);
}

struct stk_loop *stk_listener_loop(const struct stk_listener *l) { return l->loop; }
const struct stk_segment *stk_listener_segment(const struct stk_listener *l)
{
    return bottom_of(l);
}
const struct stk_recipe *stk_listener_recipe(const struct stk_listener *l)
{
    return l->blueprint->recipe;
}

/* --- Accepting
 * ------------------------------------------------------------------------------------- */

static int build(struct stk_listener *l, void *accepted, struct stk_conn **out)
{
    struct stk_conn *conn;
    int status = conn_new(l->loop, l->blueprint, l->protocol, l->user, &conn, NULL);

    if (status < 0)
        return status;
    status = conn->bottom->type->accept(conn->bottom, accepted);
    if (status < 0) {
        conn_free(conn);
        return status;
    }
    *out = conn;
    return 0;
}

int stk_listener_accept(struct stk_listener *l, void *accepted, struct stk_conn **out)
{
    struct stk_conn *conn;
    const int status = build(l, accepted, &conn);

    if (status < 0)
        return status;
    conn->listener = l;
    stk_list_append(&l->connections, &conn->listener_node);
    if (conn->protocol->accepted != NULL && conn->protocol->accepted(conn) != 0)
        stk_conn_abort(conn);
    conn_start(conn);
    if (out != NULL)
        *out = conn;
    return 0;
}
