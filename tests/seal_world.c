#include "seal_world.h"

#include "backend.h"
#include "layer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world *building; /* whose port is being opened: a layer has no other way to know */

struct wire {
    struct stk_dgram_layer layer;
    struct world_node *node;
};

/* --- The clock ----------------------------------------------------------------------------- */

static int open_clock(void *state)
{
    (void)state;
    return 0;
}

static void close_clock(void *state) { (void)state; }

static int change(void *state, struct stk_watch *watch, unsigned before)
{
    (void)state, (void)watch, (void)before;
    return 0;
}

static int wait_clock(void *state, struct stk_loop *loop, int64_t timeout_us)
{
    struct world *world = state;

    (void)loop;
    if (timeout_us > 0)
        world->now_us += (uint64_t)timeout_us;
    return 0;
}

static uint64_t now_clock(void *state) { return ((struct world *)state)->now_us; }

static void random_clock(void *state, void *out, size_t len)
{
    stk_prng_bytes(&((struct world *)state)->prng, out, len);
}

static const struct stk_backend backend = {
    .name = "test",
    .open = open_clock,
    .close = close_clock,
    .change = change,
    .wait = wait_clock,
    .now_us = now_clock,
    .random = random_clock,
};

/* --- The wire ------------------------------------------------------------------------------ */

static void enqueue(struct world *world, const struct world_packet *packet)
{
    if (world->queued == WORLD_PACKETS)
        return;
    world->queue[world->queued++] = *packet;
    if (!stk_timer_armed(&world->arrival))
        stk_timer_at(&world->arrival, packet->due_us);
}

static void put(struct world *world, struct world_packet *packet)
{
    packet->due_us = stk_loop_now_us(world->loop) + WORLD_DELAY_US;
    if (world->logged < WORLD_PACKETS)
        world->log[world->logged++] = *packet;
    if (!world->filter || world->filter(world, packet))
        enqueue(world, packet);
}

static struct stk_addr source_of(const struct world_node *node, const struct stk_run *run)
{
    return run->local && stk_addr_equal(run->local, &node->further) ? node->further : node->addr;
}

static int wire_send(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    struct world_node *node = ((struct wire *)layer)->node;

    if (node->full)
        return 0;
    for (int i = 0; i < count; i++)
        for (unsigned k = 0; k < runs[i].count; k++) {
            struct world_packet packet = {.from = source_of(node, &runs[i]),
                                          .to = *runs[i].peer,
                                          .len = stk_run_size(&runs[i], k),
                                          .ecn = runs[i].ecn};
            memcpy(packet.data, stk_run_at(&runs[i], k), packet.len);
            put(node->world, &packet);
        }
    return count;
}

static int wire_init(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    struct wire *wire = (struct wire *)layer;

    (void)segment;
    wire->node = &building->nodes[building->node_count];
    wire->node->wire = layer;
    return 0;
}

static const struct stk_dgram_type wire_dgram = {
    .name = "wire",
    .size = sizeof(struct wire),
    .init = wire_init,
    .send = wire_send,
};

static const struct stk_layer_type wire_type = {
    .name = "wire",
    .summary = "a test's wire",
    .below = STK_NOTHING,
    .above = STK_DATAGRAMS,
    .dgram = &wire_dgram,
};

/* --- A layer that needs room, as a relay does ---------------------------------------------------
 */

enum { PAD_HEAD = 4, PAD_TAIL = 2 };

static int pad_send(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    for (int i = 0; i < count; i++) {
        struct stk_run *run = &runs[i];
        for (unsigned k = 0; k < run->count; k++) {
            memset(stk_run_at(run, k) - PAD_HEAD, 'h', PAD_HEAD);
            memset(stk_run_at(run, k) + stk_run_size(run, k), 't', PAD_TAIL);
        }
        run->data -= PAD_HEAD;
        run->size = (uint16_t)(run->size + PAD_HEAD + PAD_TAIL);
        run->last_size = (uint16_t)(run->last_size + PAD_HEAD + PAD_TAIL);
    }
    return stk_dgram_send_below(layer, runs, count);
}

static void pad_input(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    for (int i = 0; i < count; i++) {
        runs[i].data += PAD_HEAD;
        runs[i].size = (uint16_t)(runs[i].size - PAD_HEAD - PAD_TAIL);
        runs[i].last_size = (uint16_t)(runs[i].last_size - PAD_HEAD - PAD_TAIL);
    }
    stk_dgram_input_above(layer, runs, count);
}

static const struct stk_dgram_type pad_dgram = {
    .name = "pad",
    .size = sizeof(struct stk_dgram_layer),
    .head = PAD_HEAD,
    .tail = PAD_TAIL,
    .send = pad_send,
    .input = pad_input,
};

static const struct stk_layer_type pad_type = {
    .name = "pad",
    .summary = "bytes before and behind each datagram",
    .below = STK_DATAGRAMS,
    .above = STK_DATAGRAMS,
    .dgram = &pad_dgram,
};

struct stk_run world_run_of(struct world_packet *packet)
{
    return (struct stk_run){.data = packet->data,
                            .stride = packet->len,
                            .size = packet->len,
                            .last_size = packet->len,
                            .count = 1,
                            .ecn = packet->ecn,
                            .peer = &packet->from,
                            .local = &packet->to};
}

static void deliver(struct world *world, struct world_packet *packet)
{
    for (int i = 0; i < world->node_count; i++) {
        struct world_node *node = &world->nodes[i];
        if (!node->port || !(stk_addr_equal(&node->addr, &packet->to) ||
                             stk_addr_equal(&node->further, &packet->to)))
            continue;
        struct stk_run run = world_run_of(packet);
        world->bytes_to[i] += packet->len;
        stk_dgram_input_above(node->wire, &run, 1);
    }
}

static void arrival_due(struct stk_timer *timer)
{
    struct world *world = STK_CONTAINER(timer, struct world, arrival);
    const uint64_t now_us = stk_loop_now_us(world->loop);
    uint64_t next_us = UINT64_MAX;
    int left = 0;
    const int count = world->queued;
    struct world_packet *due = malloc(sizeof(*due) * (size_t)(count + 1));
    int due_count = 0;

    for (int i = 0; i < count; i++) {
        if (world->queue[i].due_us <= now_us) {
            due[due_count++] = world->queue[i];
        } else {
            if (world->queue[i].due_us < next_us)
                next_us = world->queue[i].due_us;
            world->queue[left++] = world->queue[i];
        }
    }
    world->queued = left;
    if (left)
        stk_timer_at(&world->arrival, next_us);
    for (int i = 0; i < due_count; i++)
        deliver(world, &due[i]);
    free(due);
}

/* --- Who sits on the port ------------------------------------------------------------------ */

static void on_input(void *user, const struct stk_run *runs, int count)
{
    struct world_node *node = user;

    for (int i = 0; i < count; i++)
        for (unsigned k = 0; k < runs[i].count; k++) {
            node->inputs++;
            node->heard_late += node->failed && runs[i].association == node->failed_id;
            node->association = runs[i].association;
            node->len = stk_run_size(&runs[i], k);
            memcpy(node->data, stk_run_at(&runs[i], k), node->len);
            node->ecn = runs[i].ecn;
            node->from = *runs[i].peer;
            if (node->len == 2 && stk_load_be16(node->data) < sizeof(node->seen))
                node->seen[stk_load_be16(node->data)]++;
            if (node->retain && !node->retained) {
                node->retained = runs[i].association;
                stk_port_retain(node->port, node->retained);
            }
            if (node->echo)
                world_send(node, runs[i].association, node->data, node->len);
        }
}

static void on_writable(void *user) { ((struct world_node *)user)->writable++; }

static void on_association(void *user, uint64_t association, enum stk_association_event event,
                           const struct stk_error *error)
{
    struct world_node *node = user;

    node->association = association;
    node->told_inside += node->sending;
    if (event == STK_ASSOCIATION_READY)
        node->ready++;
    if (event == STK_ASSOCIATION_MOVED || event == STK_ASSOCIATION_READDRESSED)
        node->moved++;
    if (event == STK_ASSOCIATION_REBOUND)
        node->rebound++;
    if (event == STK_ASSOCIATION_FAILED) {
        node->failed++;
        node->failed_id = association;
        node->error = *error;
    }
}

static const struct stk_port_user user_type = {
    .input = on_input, .writable = on_writable, .association = on_association};

/* --- The world ----------------------------------------------------------------------------- */

struct stk_addr world_addr(int host, uint16_t port)
{
    struct stk_addr addr;
    char ip[32];

    snprintf(ip, sizeof(ip), "10.0.0.%d", host);
    stk_addr_parse_ip(&addr, ip, port);
    return addr;
}

static void end_due(struct stk_timer *timer)
{
    STK_CONTAINER(timer, struct world, end)->over = true;
}

bool world_init(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->now_us = 1000000;
    stk_prng_seed(&world->prng, seed);
    if (!stk_layer_type_find("wire"))
        stk_layer_type_add(&wire_type);
    if (!stk_layer_type_find("pad"))
        stk_layer_type_add(&pad_type);
    if (!stk_layer_type_find("seal"))
        stk_layer_type_add(&stk_layer_seal);
    if (stk_loop_new_on(&backend, world, &world->loop))
        return false;
    world->queue = malloc(sizeof(*world->queue) * WORLD_PACKETS);
    world->log = malloc(sizeof(*world->log) * WORLD_PACKETS);
    stk_timer_init(&world->arrival, world->loop, arrival_due);
    stk_timer_init(&world->end, world->loop, end_due);
    return true;
}

void world_free(struct world *world)
{
    for (int i = 0; i < world->node_count; i++)
        world_close(&world->nodes[i]);
    world_run(world, 1000);
    stk_timer_stop(&world->arrival);
    stk_timer_stop(&world->end);
    stk_loop_free(world->loop);
    free(world->queue);
    free(world->log);
}

int world_open(struct world *world, const char *options, bool listening, struct world_node **out,
               struct stk_error *error)
{
    char text[1024];

    snprintf(text, sizeof(text), "/wire/seal%s", options);
    return world_open_recipe(world, text, listening, out, error);
}

int world_open_recipe(struct world *world, const char *text, bool listening,
                      struct world_node **out, struct stk_error *error)
{
    struct world_node *node = &world->nodes[world->node_count];
    struct stk_recipe *recipe;

    node->world = world;
    node->addr = world_addr(world->node_count + 1, 4000);
    int code = stk_recipe_parse(text, &recipe, error);
    if (code)
        return code;
    building = world;
    code = stk_port_open(world->loop, recipe, listening, &node->port, error);
    stk_recipe_unref(recipe);
    if (code)
        return code;
    stk_port_set_user(node->port, &user_type, node);
    world->node_count++;
    *out = node;
    return 0;
}

void world_close(struct world_node *node)
{
    if (node->port)
        stk_port_unref(node->port);
    node->port = NULL;
}

void world_run(struct world *world, uint64_t us)
{
    world->over = false;
    stk_timer_at(&world->end, stk_loop_now_us(world->loop) + us);
    while (!world->over)
        if (stk_loop_turn(world->loop, -1) < 0)
            return;
}

int world_send(struct world_node *node, uint64_t association, const void *data, size_t len)
{
    uint8_t room[64 + WORLD_PACKET_MAX + 64];
    struct stk_run run = {.data = room + 64,
                          .stride = (uint32_t)len,
                          .size = (uint16_t)len,
                          .last_size = (uint16_t)len,
                          .count = 1,
                          .association = association};

    memcpy(run.data, data, len);
    const bool nested = node->sending;
    node->sending = true;
    const int taken = stk_port_send(node->port, &run, 1);
    node->sending = nested;
    return taken;
}

int world_send_number(struct world_node *node, uint64_t association, unsigned number)
{
    uint8_t data[2];

    stk_store_be16(data, (uint16_t)number);
    return world_send(node, association, data, sizeof(data));
}

void world_inject(struct world *world, const struct stk_addr *from, const struct stk_addr *to,
                  const void *data, size_t len)
{
    struct world_packet packet = {.from = *from, .to = *to, .len = (uint16_t)len};

    memcpy(packet.data, data, len);
    packet.due_us = stk_loop_now_us(world->loop) + WORLD_DELAY_US;
    enqueue(world, &packet);
}

struct seal_port *world_seal(struct world_node *node)
{
    return (struct seal_port *)node->wire->above;
}

struct seal_association *world_association(struct world_node *node, uint64_t id)
{
    return seal_association_by_id(world_seal(node), id);
}
