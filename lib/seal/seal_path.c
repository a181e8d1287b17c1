#include "seal_state.h"

#include <sodium.h>
#include <string.h>

struct seal_path *seal_path_active(struct seal_association *a)
{
    assert(a->active < SEAL_PATHS);
    return &a->paths[a->active];
}

struct seal_path *seal_path_find(struct seal_association *a, const struct stk_addr *peer)
{
    if (!peer)
        return NULL;
    for (int i = 0; i < SEAL_PATHS; i++)
        if (a->paths[i].used && stk_addr_equal(&a->paths[i].peer, peer))
            return &a->paths[i];
    return NULL;
}

static struct seal_path *place_for_new(struct seal_association *a)
{
    struct seal_path *oldest = NULL;

    for (unsigned i = 0; i < SEAL_PATHS; i++) {
        struct seal_path *path = &a->paths[i];
        if (!path->used)
            return path;
        if (i != a->active && (!oldest || path->newest < oldest->newest))
            oldest = path;
    }
    return oldest;
}

struct seal_path *seal_path_add(struct seal_association *a, const struct stk_addr *peer,
                                const struct stk_addr *local)
{
    struct seal_path *path = seal_path_find(a, peer);

    if (!path) {
        path = place_for_new(a);
        *path = (struct seal_path){.used = true, .peer = *peer};
    }
    if (local)
        path->local = *local;
    return path;
}

void seal_path_received(struct seal_path *path, size_t bytes)
{
    if (!path->validated)
        path->received_bytes += bytes;
}

bool seal_path_take(struct seal_path *path, size_t bytes)
{
    if (path->validated)
        return true;
    if (path->sent_bytes + bytes > SEAL_AMPLIFICATION * path->received_bytes)
        return false;
    path->sent_bytes += bytes;
    return true;
}

void seal_path_untake(struct seal_path *path, size_t bytes)
{
    if (!path->validated)
        path->sent_bytes -= bytes;
}

void seal_path_use(struct seal_association *a, struct seal_path *path)
{
    const unsigned index = (unsigned)(path - a->paths);

    if (index == a->active)
        return;
    a->active = index;
    a->port->stats.moved++;
    seal_flush_up(a->port);
    stk_dgram_association_above(&a->port->layer, a->id, STK_ASSOCIATION_MOVED, NULL);
}

static void challenge(struct seal_association *a, struct seal_path *path)
{
    path->challenges++;
    path->challenge_due_us = seal_now(a->port) + ((uint64_t)SEAL_RETRY_US << path->challenges) / 2;
    seal_send_control(a, path, SEAL_CHALLENGE, path->token, SEAL_TOKEN);
}

/*
 * The peer speaks from another address than the one in use. Whoever can copy a packet can do so
 * too, and faster than the peer itself: so the address must answer before anything moves there.
 */
static void begin_validation(struct seal_association *a, struct seal_path *path)
{
    stk_loop_random(stk_dgram_loop(&a->port->layer), path->token, SEAL_TOKEN);
    path->challenged = true;
    path->challenges = 0;
    challenge(a, path);
    seal_life_arm(a);
}

void seal_path_heard(struct seal_association *a, struct seal_path *path, bool newest)
{
    if (!newest)
        return;
    path->newest = ++a->newest;
    if (!path->challenged && (path != seal_path_active(a) || !path->validated))
        begin_validation(a, path);
}

static void validated(struct seal_association *a, struct seal_path *path)
{
    path->challenged = false;
    path->validated = true;
    if (path->newest > seal_path_active(a)->newest)
        seal_path_use(a, path);
}

void seal_path_echo(struct seal_association *a, const uint8_t token[SEAL_TOKEN])
{
    for (int i = 0; i < SEAL_PATHS; i++) {
        struct seal_path *path = &a->paths[i];
        if (path->used && path->challenged && !sodium_memcmp(path->token, token, SEAL_TOKEN)) {
            validated(a, path);
            return;
        }
    }
}

uint64_t seal_path_service(struct seal_association *a, uint64_t now_us)
{
    uint64_t due_us = UINT64_MAX;

    for (int i = 0; i < SEAL_PATHS; i++) {
        struct seal_path *path = &a->paths[i];
        if (!path->used || !path->challenged)
            continue;
        if (path->challenge_due_us <= now_us) {
            if (path->challenges >= SEAL_CHALLENGES_MAX) {
                path->challenged = false; /* the next packet from there begins anew */
                continue;
            }
            challenge(a, path);
        }
        if (path->challenge_due_us < due_us)
            due_us = path->challenge_due_us;
    }
    return due_us;
}
