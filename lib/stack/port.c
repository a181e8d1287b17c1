#include "dgram.h"

#include "layer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct stk_port {
    struct stk_loop *loop;
    struct stk_recipe *recipe;
    struct stk_dgram_layer *bottom, *top;
    const struct stk_port_user *user_type; /* NULL: nobody listens, input is dropped */
    void *user;
    const struct stk_error *error; /* NULL: none; else of its own, or static */
    struct stk_task task;          /* tells the user of an error, or frees */
    unsigned references;
    uint16_t head, tail;
    bool sealed, listening;
    bool failed_told;
};

static const struct stk_error no_memory_for_an_error = {
    .code = -ENOMEM, .layer = "port", .text = "out of memory"};

static void timer_due(struct stk_timer *timer)
{
    struct stk_dgram_layer *layer = STK_CONTAINER(timer, struct stk_dgram_layer, timer);

    layer->type->on_timer(layer);
}

static void port_free(struct stk_port *port)
{
    for (struct stk_dgram_layer *layer = port->top, *below; layer != NULL; layer = below) {
        below = layer->below;
        stk_timer_stop(&layer->timer);
        if (layer->type->destroy != NULL)
            layer->type->destroy(layer);
    }
    stk_task_stop(&port->task);
    stk_recipe_unref(port->recipe);
    if (port->error != &no_memory_for_an_error)
        stk_free((void *)(uintptr_t)port->error);
    stk_free(port);
}

static void settle(struct stk_task *task)
{
    struct stk_port *port = STK_CONTAINER(task, struct stk_port, task);

    if (port->references == 0) {
        port_free(port);
        return;
    }
    if (port->error == NULL || port->failed_told || port->user_type == NULL)
        return;
    port->failed_told = true;
    if (port->user_type->failed != NULL)
        port->user_type->failed(port->user, port->error);
}

/* --- Building
 * ------------------------------------------------------------------------------------- */

static size_t layer_size(const struct stk_dgram_type *type)
{
    return (type->size + 15) & ~(size_t)15;
}

static size_t layers_size(const struct stk_recipe *recipe)
{
    size_t size = 0;

    for (int i = 0; i < recipe->count; i++)
        if (recipe->segments[i].type->above == STK_DATAGRAMS)
            size += layer_size(recipe->segments[i].type->dgram);
    return size;
}

static int add_layer(struct stk_port *port, struct stk_dgram_layer *layer,
                     const struct stk_segment *segment)
{
    layer->type = segment->type->dgram;
    layer->port = port;
    layer->below = port->top;
    stk_timer_init(&layer->timer, port->loop, timer_due);
    if (port->top != NULL)
        port->top->above = layer;
    else
        port->bottom = layer;
    port->top = layer;
    port->head = (uint16_t)(port->head + layer->type->head);
    port->tail = (uint16_t)(port->tail + layer->type->tail);
    port->sealed |= layer->type->associate != NULL;
    return layer->type->init != NULL ? layer->type->init(layer, segment) : 0;
}

static int build(struct stk_port *port, uint8_t *at)
{
    for (int i = 0; i < port->recipe->count; i++) {
        const struct stk_segment *segment = &port->recipe->segments[i];
        int status;

        if (segment->type->above != STK_DATAGRAMS)
            continue;
        if ((status = add_layer(port, (struct stk_dgram_layer *)at, segment)) < 0)
            return status;
        at += layer_size(segment->type->dgram);
    }
    assert(port->bottom != NULL);
    return port->bottom->type->open != NULL ? port->bottom->type->open(port->bottom) : 0;
}

int stk_port_open(struct stk_loop *loop, const struct stk_recipe *recipe, bool listening,
                  struct stk_port **out, struct stk_error *error)
{
    const size_t head = (sizeof(struct stk_port) + 15) & ~(size_t)15;
    struct stk_port *port = stk_alloc_zero(head + layers_size(recipe));

    if (port == NULL)
        return stk_error_set(error, -ENOMEM, "port", "out of memory");
    port->loop = loop;
    port->recipe = stk_recipe_ref((struct stk_recipe *)(uintptr_t)recipe);
    port->listening = listening;
    port->references = 1;
    stk_task_init(&port->task, loop, settle);

    const int status = build(port, (uint8_t *)port + head);
    if (status < 0) {
        if (port->error != NULL && error != NULL)
            *error = *port->error;
        else
            stk_error_set(error, status, port->top->type->name, "%s", stk_strerror(status));
        port_free(port);
        return status;
    }
    *out = port;
    return 0;
}

struct stk_port *stk_port_ref(struct stk_port *port)
{
    port->references++;
    return port;
}

void stk_port_unref(struct stk_port *port)
{
    assert(port->references > 0);
    if (--port->references > 0)
        return;
    port->user_type = NULL;
    stk_task_queue(&port->task);
}

void stk_port_set_user(struct stk_port *port, const struct stk_port_user *type, void *user)
{
    port->user_type = type;
    port->user = user;
    if (port->error != NULL)
        stk_task_queue(&port->task);
}

void *stk_port_user(const struct stk_port *port)
{
    return port->user_type != NULL ? port->user : NULL;
}
struct stk_loop *stk_port_loop(const struct stk_port *port) { return port->loop; }
uint16_t stk_port_head(const struct stk_port *port) { return port->head; }
uint16_t stk_port_tail(const struct stk_port *port) { return port->tail; }
bool stk_port_is_sealed(const struct stk_port *port) { return port->sealed; }

uint16_t stk_port_max_size(const struct stk_port *port)
{
    return (uint16_t)(STK_DGRAM_MAX - port->head - port->tail);
}

/* --- Sharing -----------------------------------------------------------------------------------
 */

/* The next segment of datagrams below this one; NULL: there is none. */
static const struct stk_segment *datagrams_below(const struct stk_recipe *recipe,
                                                 const struct stk_segment *segment)
{
    while (segment > recipe->segments)
        if ((--segment)->type->above == STK_DATAGRAMS)
            return segment;
    return NULL;
}

bool stk_port_serves(const struct stk_port *port, const struct stk_recipe *recipe)
{
    const struct stk_segment *segment = recipe->segments + recipe->count;

    if (port->listening || port->error != NULL)
        return false;
    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below) {
        segment = datagrams_below(recipe, segment);
        if (segment == NULL || segment->type->dgram != layer->type || layer->type->serves == NULL ||
            !layer->type->serves(layer, segment))
            return false;
    }
    return datagrams_below(recipe, segment) == NULL;
}

/* --- Down
 * -----------------------------------------------------------------------------------------------
 */

static int send_from(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    while (layer->type->send == NULL)
        layer = layer->below;
    for (int i = 0; i < count && !layer->type->gathers; i++)
        stk_run_flatten(&runs[i]);
    return layer->type->send(layer, runs, count);
}

int stk_port_send(struct stk_port *port, struct stk_run *runs, int count)
{
    return send_from(port->top, runs, count);
}

int stk_dgram_send_below(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    return send_from(layer->below, runs, count);
}

void stk_dgram_part_below(struct stk_dgram_layer *layer, uint8_t first)
{
    struct stk_dgram_layer *const bottom = layer->port->bottom;

    if (bottom->type->part != NULL)
        bottom->type->part(bottom, first);
}

int stk_port_associate(struct stk_port *port, const struct stk_addr *peer, uint64_t *association)
{
    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below)
        if (layer->type->associate != NULL)
            return layer->type->associate(layer, NULL, peer, association);
    return -ENOTSUP;
}

int stk_port_associate_for(struct stk_port *port, const struct stk_recipe *recipe,
                           const struct stk_addr *peer, uint64_t *association)
{
    const struct stk_segment *segment = recipe->segments + recipe->count;

    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below) {
        segment = datagrams_below(recipe, segment);
        assert(segment != NULL && segment->type->dgram == layer->type);
        if (layer->type->associate != NULL)
            return layer->type->associate(layer, segment, peer, association);
    }
    return -ENOTSUP;
}

void stk_port_retain(struct stk_port *port, uint64_t association)
{
    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below)
        if (layer->type->retain != NULL)
            layer->type->retain(layer, association);
}

void stk_port_release(struct stk_port *port, uint64_t association)
{
    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below)
        if (layer->type->release != NULL)
            layer->type->release(layer, association);
}

void stk_port_doubt(struct stk_port *port, uint64_t association)
{
    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below)
        if (layer->type->doubt != NULL)
            layer->type->doubt(layer, association);
}

void stk_port_renew(struct stk_port *port, uint64_t association)
{
    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below)
        if (layer->type->renew != NULL)
            layer->type->renew(layer, association);
}

int stk_port_query(struct stk_port *port, int key, uint64_t association, void *out, size_t len)
{
    for (struct stk_dgram_layer *layer = port->top; layer != NULL; layer = layer->below) {
        const int status = layer->type->query != NULL
                               ? layer->type->query(layer, key, association, out, len)
                               : -ENOENT;

        if (status != -ENOENT)
            return status;
    }
    return -ENOENT;
}

int stk_port_local(const struct stk_port *port, struct stk_addr *local)
{
    struct stk_dgram_layer *bottom = port->bottom;

    return bottom->type->query != NULL
               ? bottom->type->query(bottom, STK_QUERY_LOCAL_ADDR, 0, local, sizeof *local)
               : -ENOENT;
}

/* --- Up
 * ---------------------------------------------------------------------------------------------- */

void stk_dgram_input_above(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    const struct stk_port *port = layer->port;

    for (layer = layer->above; layer != NULL; layer = layer->above)
        if (layer->type->input != NULL) {
            layer->type->input(layer, runs, count);
            return;
        }
    if (port->user_type != NULL)
        port->user_type->input(port->user, runs, count);
}

void stk_dgram_writable_above(struct stk_dgram_layer *layer)
{
    const struct stk_port *port = layer->port;

    for (layer = layer->above; layer != NULL; layer = layer->above)
        if (layer->type->writable != NULL) {
            layer->type->writable(layer);
            return;
        }
    if (port->user_type != NULL && port->user_type->writable != NULL)
        port->user_type->writable(port->user);
}

void stk_dgram_unreachable_above(struct stk_dgram_layer *layer, const struct stk_addr *peer,
                                 int code)
{
    const struct stk_port *port = layer->port;

    for (layer = layer->above; layer != NULL; layer = layer->above)
        if (layer->type->unreachable != NULL) {
            layer->type->unreachable(layer, peer, code);
            return;
        }
    if (port->user_type != NULL && port->user_type->unreachable != NULL)
        port->user_type->unreachable(port->user, peer, code);
}

void stk_dgram_too_big_above(struct stk_dgram_layer *layer, uint64_t association,
                             const struct stk_addr *peer, uint32_t size)
{
    const struct stk_port *port = layer->port;

    for (layer = layer->above; layer != NULL; layer = layer->above)
        if (layer->type->too_big != NULL) {
            layer->type->too_big(layer, peer, size);
            return;
        }
    if (port->user_type != NULL && port->user_type->too_big != NULL)
        port->user_type->too_big(port->user, association, peer, size);
}

void stk_dgram_association_above(struct stk_dgram_layer *layer, uint64_t association,
                                 enum stk_association_event event, const struct stk_error *error)
{
    const struct stk_port *port = layer->port;

    if (port->user_type != NULL && port->user_type->association != NULL)
        port->user_type->association(port->user, association, event, error);
}

static void set_error(struct stk_port *port, int code, const char *layer, const char *text)
{
    struct stk_error *error = stk_alloc(sizeof *error);

    if (error != NULL)
        stk_error_set(error, code, layer, "%s", text);
    port->error = error != NULL ? error : &no_memory_for_an_error;
}

int stk_dgram_fail(struct stk_dgram_layer *layer, int code, const char *format, ...)
{
    struct stk_port *port = layer->port;
    char text[STK_ERROR_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (port->error == NULL)
        set_error(port, code, layer->type->name, text);
    stk_task_queue(&port->task);
    return code;
}

void stk_dgram_set_timer(struct stk_dgram_layer *layer, uint64_t due_us)
{
    assert(layer->type->on_timer != NULL);
    if (due_us == 0)
        stk_timer_stop(&layer->timer);
    else
        stk_timer_at(&layer->timer, due_us);
}

struct stk_loop *stk_dgram_loop(const struct stk_dgram_layer *layer) { return layer->port->loop; }

bool stk_dgram_is_listening(const struct stk_dgram_layer *layer) { return layer->port->listening; }
