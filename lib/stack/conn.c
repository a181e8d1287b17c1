#include "conn.h"

#include "recents.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Which states may follow which. */
static const unsigned allowed_next[CONN_STATES] = {
    [CONN_OPENING] = 1u << CONN_OPEN | 1u << CONN_CLOSING | 1u << CONN_ENDING,
    [CONN_OPEN] =
        1u << CONN_OPENING /* a layer was inserted */ | 1u << CONN_CLOSING | 1u << CONN_ENDING,
    [CONN_CLOSING] = 1u << CONN_ENDING,
    [CONN_ENDING] = 1u << CONN_CLOSED,
};

void conn_move(struct stk_conn *conn, enum conn_state next)
{
    assert(allowed_next[conn->state] & 1u << next);
    conn->state = (uint8_t)next;
}

/* --- All connections of a loop -----------------------------------------------------------------
 */

static const char registry_key;

/* The loop goes: what still lives ends now, and is told so while the loop runs its last tasks. */
static void registry_free(void *data)
{
    struct stk_node *registry = data;

    STK_LIST_EACH(node, registry)
    {
        struct stk_conn *conn = STK_CONTAINER(node, struct stk_conn, loop_node);

        stk_list_remove(node);
        stk_conn_abort(conn);
    }
    stk_free(registry);
}

static struct stk_node *registry_of(struct stk_loop *loop)
{
    struct stk_node *registry = stk_loop_data(loop, &registry_key);

    if (registry != NULL)
        return registry;
    registry = stk_alloc(sizeof *registry);
    if (registry == NULL)
        return NULL;
    stk_list_init(registry);
    if (stk_loop_set_data(loop, &registry_key, registry, registry_free) < 0) {
        stk_free(registry);
        return NULL;
    }
    return registry;
}

/* --- Birth ------------------------------------------------------------------------------------ */

static void layer_timer_fired(struct stk_timer *timer)
{
    struct stk_layer *layer = STK_CONTAINER(timer, struct layer_timer, timer)->layer;

    if (conn_is_live(layer->conn))
        layer->type->on_timer(layer);
}

static void add_timer(struct stk_layer *layer, struct stk_loop *loop)
{
    struct layer_timer *behind =
        (struct layer_timer *)((uint8_t *)layer + blueprint_timer_offset(layer->type));

    behind->layer = layer;
    stk_timer_init(&behind->timer, loop, layer_timer_fired);
    layer->timer = &behind->timer;
}

int conn_add_layer(struct stk_conn *conn, struct stk_layer *layer,
                   const struct stk_segment *segment, void *shared)
{
    layer->type = segment->type->stream;
    layer->segment = segment;
    layer->conn = conn;
    layer->shared = shared;
    layer->below = conn->top;
    if (layer->type->on_timer != NULL)
        add_timer(layer, conn_loop(conn));
    if (conn->top != NULL)
        conn->top->above = layer;
    else
        conn->bottom = layer;
    conn->top = layer;
    return layer->type->init != NULL ? layer->type->init(layer) : 0;
}

static int add_layers(struct stk_conn *conn)
{
    const struct blueprint *b = conn->blueprint;
    uint8_t *at = (uint8_t *)conn + ((sizeof *conn + 15) & ~(size_t)15);

    for (int i = b->first; i < b->recipe->count; i++) {
        const struct stk_segment *segment = &b->recipe->segments[i];
        const int status = conn_add_layer(conn, (struct stk_layer *)at, segment, b->shared[i]);

        if (status < 0)
            return status;
        at += blueprint_layer_size(segment->type->stream);
    }
    return 0;
}

/* What a connection that never began to live died of. */
static void tell_error(const struct stk_conn *conn, int status, struct stk_error *error)
{
    if (conn->error != NULL && error != NULL)
        *error = *conn->error;
    else
        stk_error_set(error, status, "conn", "%s", stk_strerror(status));
}

int conn_new(struct stk_loop *loop, struct blueprint *blueprint,
             const struct stk_protocol *protocol, void *user, struct stk_conn **out,
             struct stk_error *error)
{
    const size_t head = (sizeof(struct stk_conn) + 15) & ~(size_t)15;

    if (stk_loop_is_ending(loop))
        return stk_error_set(error, -ECANCELED, "conn", "the loop is being freed");
    struct stk_node *registry = registry_of(loop);
    struct stk_conn *conn = registry != NULL ? stk_alloc_zero(head + blueprint->layers_size) : NULL;

    if (conn == NULL)
        return stk_error_set(error, -ENOMEM, "conn", "out of memory");
    stk_list_append(registry, &conn->loop_node);
    conn->blueprint = blueprint_ref(blueprint);
    conn->protocol = protocol;
    conn->user = user;
    conn->listening = blueprint->listening;
    conn->open_timeout_ms = deadline_ms(STK_CONNECT_TIMEOUT_US);
    conn->close_timeout_ms = deadline_ms(STK_CLOSE_TIMEOUT_US);
    conn->write_low = STK_WRITE_LOW_DEFAULT;
    stk_list_init(&conn->listener_node);
    stk_task_init(&conn->task, loop, conn_turn);
    stk_fifo_init(&conn->unused, STK_UNUSED_MAX);
    stk_fifo_init(&conn->unwritten, STK_WRITE_HIGH_DEFAULT);

    const int status = deadline_in(conn, conn->open_timeout_ms) ? add_layers(conn) : -ENOMEM;
    if (status < 0) {
        tell_error(conn, status, error);
        conn_free(conn);
        return status;
    }
    *out = conn;
    return 0;
}

void conn_start(struct stk_conn *conn) { conn_schedule(conn); }

/* --- States --------------------------------------------------------------------------------------
 */

static const struct stk_error no_memory_for_an_error = {
    .code = -ENOMEM, .layer = "conn", .text = "out of memory"};

void conn_set_error(struct stk_conn *conn, int code, const char *layer, const char *text)
{
    struct stk_error *error;

    assert(code < 0);
    if (conn->error != NULL || !conn_is_live(conn))
        return;
    error = stk_alloc(sizeof *error);
    if (error != NULL)
        stk_error_set(error, code, layer, "%s", text);
    conn->error = error != NULL ? error : &no_memory_for_an_error;
}

void conn_became_ready(struct stk_conn *conn)
{
    if (conn->state == CONN_CLOSING) {
        conn->readable = true;
        conn_flush(conn);
        return;
    }
    assert(conn->state == CONN_OPENING);
    conn_move(conn, CONN_OPEN);
    deadline_stop(conn);
    conn->readable = true;
    if (conn->protocol->opened != NULL)
        conn->protocol->opened(conn);
    if (conn_is_live(conn))
        conn_flush(conn);
}

void conn_end(struct stk_conn *conn)
{
    if (!conn_is_live(conn))
        return;
    conn_move(conn, CONN_ENDING);
    deadline_stop(conn);
    conn_schedule(conn);
}

void conn_break(struct stk_conn *conn)
{
    if (!conn_is_live(conn))
        return;
    layer_abort(conn->top);
    conn_end(conn);
}

void conn_free(struct stk_conn *conn)
{
    for (struct stk_layer *layer = conn->top, *below; layer != NULL; layer = below) {
        below = layer->below;
        if (layer->timer != NULL)
            stk_timer_stop(layer->timer);
        if (layer->type->destroy != NULL)
            layer->type->destroy(layer);
        if (layer->own_block)
            stk_free(layer);
    }
    deadline_stop(conn);
    stk_task_stop(&conn->task);
    stk_list_remove(&conn->listener_node);
    stk_list_remove(&conn->loop_node);
    stk_fifo_free(&conn->unused);
    stk_fifo_free(&conn->unwritten);
    if (conn->insertion != NULL)
        stk_recipe_unref(conn->insertion->fragment);
    stk_free(conn->insertion);
    if (conn->error != &no_memory_for_an_error)
        stk_free((void *)(uintptr_t)conn->error);
    while (conn->inserted != NULL) {
        struct blueprint *next = conn->inserted->next;

        blueprint_unref(conn->inserted);
        conn->inserted = next;
    }
    blueprint_unref(conn->blueprint);
    stk_free(conn);
}

/* --- The public face
 * ------------------------------------------------------------------------------- */

int stk_connect_recipe(struct stk_loop *loop, struct stk_recipe *recipe,
                       const struct stk_protocol *protocol, void *user, struct stk_conn **out,
                       struct stk_error *error)
{
    struct blueprint *blueprint;
    struct stk_conn *conn;
    int status = blueprint_new(recipe, false, &blueprint, error);

    if (status < 0)
        return status;
    status = conn_new(loop, blueprint, protocol, user, &conn, error);
    blueprint_unref(blueprint);
    if (status < 0)
        return status;
    conn_start(conn);
    if (out != NULL)
        *out = conn;
    return 0;
}

int stk_connect(struct stk_loop *loop, const char *address, const struct stk_protocol *protocol,
                void *user, struct stk_conn **out, struct stk_error *error)
{
    struct stk_recipe *recipe;
    int status = recents_recipe(loop, address, &recipe, error);

    if (status < 0)
        return status;
    status = stk_connect_recipe(loop, recipe, protocol, user, out, error);
    stk_recipe_unref(recipe);
    return status;
}

int stk_conn_open_sibling(struct stk_conn *conn, const struct stk_protocol *protocol, void *user,
                          struct stk_conn **out, struct stk_error *error)
{
    const bool server_side = conn->listening && conn->bottom->above != NULL;

    struct stk_conn *sibling;

    /* The layers above the bottom of an accepted connection are prepared for the other role. */
    if (!conn_is_live(conn) || conn->bottom->type->sibling == NULL || server_side)
        return stk_error_set(error, -ENOTSUP, conn->bottom->segment->type->name,
                             "a further connection can't be opened beside this one");
    int status = conn_new(conn_loop(conn), conn->blueprint, protocol, user, &sibling, error);
    if (status < 0)
        return status;
    sibling->listening = false;
    status = conn->bottom->type->sibling(sibling->bottom, conn->bottom);
    if (status < 0) {
        tell_error(sibling, status, error);
        conn_free(sibling);
        return status;
    }
    conn_start(sibling);
    if (out != NULL)
        *out = sibling;
    return 0;
}

void stk_conn_abort(struct stk_conn *conn)
{
    stk_conn_fail(conn, -ECONNABORTED, "conn", "this side aborted the connection");
}

void stk_conn_fail(struct stk_conn *conn, int code, const char *layer, const char *format, ...)
{
    char text[STK_ERROR_TEXT_MAX];
    va_list arguments;

    if (!conn_is_live(conn))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    conn_set_error(conn, code, layer, text);
    conn_break(conn);
}

void *stk_conn_user(const struct stk_conn *conn) { return conn->user; }
void stk_conn_set_user(struct stk_conn *conn, void *user) { conn->user = user; }

void stk_conn_set_protocol(struct stk_conn *conn, const struct stk_protocol *protocol, void *user)
{
    conn->protocol = protocol;
    conn->user = user;
    conn->again = true;
    conn_schedule(conn);
}

struct stk_loop *stk_conn_loop(const struct stk_conn *conn) { return conn_loop(conn); }
struct stk_listener *stk_conn_listener(const struct stk_conn *conn) { return conn->listener; }
bool stk_conn_is_open(const struct stk_conn *conn) { return conn->state == CONN_OPEN; }

void stk_conn_set_connect_timeout(struct stk_conn *conn, uint64_t timeout_us)
{
    conn->open_timeout_ms = deadline_ms(timeout_us);
    if (conn->state == CONN_OPENING)
        deadline_in(conn, conn->open_timeout_ms);
}

int stk_conn_query(struct stk_conn *conn, int key, void *out, size_t len)
{
    return layer_query(conn->top, key, out, len);
}

int stk_conn_control(struct stk_conn *conn, int key, uint64_t value)
{
    for (struct stk_layer *layer = conn->top; layer != NULL; layer = layer->below) {
        const int status =
            layer->type->control != NULL ? layer->type->control(layer, key, value) : -ENOENT;

        if (status != -ENOENT)
            return status;
    }
    return -ENOENT;
}

const struct stk_error *stk_conn_error(const struct stk_conn *conn) { return conn->error; }

/* Where the layers above the transport begin in a recipe "/ip4/ADDRESS/tcp/PORT…". */
static const char *behind_transport(const struct stk_recipe *recipe)
{
    const char *at = stk_recipe_text(recipe);

    for (int slash = 0; slash < 3; slash++)
        at = strchr(at + 1, '/');
    return at + strcspn(at + 1, "/,") + 1;
}

const char *stk_conn_describe(struct stk_conn *conn, char *text, size_t size)
{
    const struct stk_recipe *recipe = conn->blueprint->recipe;
    const char *rest = stk_recipe_text(recipe);
    struct stk_addr peer;
    char ip[STK_ADDR_TEXT_MAX];
    size_t len = 0;

    /* Names become the address that was reached. */
    if (recipe->segments[0].type->above == STK_HOST && recipe->segments[1].value != NULL &&
        stk_conn_query(conn, STK_QUERY_PEER_ADDR, &peer, sizeof peer) == 0 &&
        peer.any.sa_family != AF_UNIX) {
        rest = behind_transport(recipe);
        len = (size_t)snprintf(text, size, "%s/%s/%u", stk_addr_format_ip(&peer, ip),
                               recipe->segments[1].type->name, stk_addr_port(&peer));
    }
    if (len < size)
        len += (size_t)snprintf(text + len, size - len, "%s", rest);
    for (const struct blueprint *b = conn->inserted; b != NULL && len < size; b = b->next)
        len += (size_t)snprintf(text + len, size - len, "%s", stk_recipe_text(b->recipe));
    return text;
}
