#include "seal_state.h"

#include <string.h>

struct seal_port *seal_port_under(struct stk_port *port)
{
    struct seal_port *seal = NULL;

    return stk_port_query(port, SEAL_QUERY_PORT, 0, &seal, sizeof(seal)) == 0 ? seal : NULL;
}

static int association_of(struct stk_port *port, uint64_t id, struct seal_association **out)
{
    struct seal_port *seal = seal_port_under(port);
    struct seal_association *a = seal ? seal_association_by_id(seal, id) : NULL;

    if (!seal)
        return -ENOTSUP;
    if (!a || a->freed || a->state == SEAL_DEAD)
        return -ENOENT;
    *out = a;
    return 0;
}

static int with_path(struct stk_port *port, uint64_t association, uint32_t id,
                     int (*act)(struct seal_association *a, struct seal_path *path))
{
    struct seal_association *a;
    const int code = association_of(port, association, &a);
    struct seal_path *path = code ? NULL : seal_path_by_id(a, id);

    if (code)
        return code;
    return path ? act(a, path) : -ENOENT;
}

static bool has_transport(const struct seal_port *port, uint8_t number)
{
    return number == 0 ||
           (number <= STK_SEAL_TRANSPORTS_MAX && port->transports[number - 1] != NULL);
}

/* --- Offering ------------------------------------------------------------------------------------
 */

int stk_seal_associate(struct stk_port *port, const uint8_t key[STK_KEY_BYTES],
                       const struct stk_seal_offer *offer, uint64_t *association)
{
    struct seal_port *seal = seal_port_under(port);

    if (!seal)
        return -ENOTSUP;
    if (!has_transport(seal, offer->transport))
        return -EINVAL;
    const struct seal_wish wish = {
        .key = key, .peer = offer->peer, .local = offer->local, .way = offer->transport};
    return seal_associate(seal, &wish, association);
}

int stk_seal_offer_path(struct stk_port *port, uint64_t association,
                        const struct stk_seal_offer *offer, uint32_t *path)
{
    struct seal_association *a;
    struct seal_path *found;
    int code = association_of(port, association, &a);

    if (code)
        return code;
    if (!has_transport(a->port, offer->transport) || !offer->peer || offer->peer->len == 0)
        return -EINVAL;
    if (a->state != SEAL_READY)
        return -ENOTCONN;
    code = seal_path_offer(a, offer->transport, offer->peer, offer->local, &found);
    if (code)
        return code;
    seal_path_probe(a, found);
    *path = found->id;
    return 0;
}

static int probe(struct seal_association *a, struct seal_path *path)
{
    if (a->state != SEAL_READY)
        return -ENOTCONN;
    seal_path_probe(a, path);
    return 0;
}

static int use(struct seal_association *a, struct seal_path *path)
{
    if (!seal_path_is_valid(path) || path->dropped)
        return -ENOTCONN;
    a->wanted = path;
    seal_life_soon(a);
    return 0;
}

static int drop(struct seal_association *a, struct seal_path *path)
{
    if (path == a->active || path == a->wanted)
        return -EBUSY;
    path->dropped = true;
    path->offered = false;
    a->dropping = true;
    seal_life_soon(a);
    return 0;
}

int stk_seal_probe_path(struct stk_port *port, uint64_t association, uint32_t id)
{
    return with_path(port, association, id, probe);
}

int stk_seal_use_path(struct stk_port *port, uint64_t association, uint32_t id)
{
    return with_path(port, association, id, use);
}

int stk_seal_drop_path(struct stk_port *port, uint64_t association, uint32_t id)
{
    return with_path(port, association, id, drop);
}

static void remove_dropped(struct seal_association *a)
{
    for (struct seal_path *path = seal_path_first(a), *next; path; path = next) {
        next = path->next;
        if (path->dropped && path != a->active)
            seal_path_remove(a, path);
        else
            path->dropped = false;
    }
}

/* The peer hears of the switch by a packet that is not only about the path. */
void seal_offer_settle(struct seal_association *a)
{
    struct seal_path *wanted = a->wanted;

    if (wanted && a->state == SEAL_READY && wanted != a->active) {
        seal_path_use(a, wanted);
        seal_send_control(a, wanted, SEAL_KEEPALIVE);
    }
    a->wanted = NULL;
    if (a->dropping)
        remove_dropped(a);
    a->dropping = false;
}

/* --- Telling -------------------------------------------------------------------------------------
 */

static void describe(const struct seal_association *a, const struct seal_path *path,
                     struct stk_seal_path *out)
{
    *out = (struct stk_seal_path){
        .id = path->id,
        .transport = path->way,
        .offered = path->offered,
        .validated = path->state == SEAL_PATH_VALID || path->state == SEAL_PATH_CHECKING,
        .in_use = path == a->active,
        .peer = path->peer,
        .local = path->local,
        .rtt_us = path->rtt_us,
        .heard_us = path->heard_us,
    };
}

int stk_seal_paths(struct stk_port *port, uint64_t association, struct stk_seal_path *paths,
                   int max)
{
    struct seal_association *a;
    const int code = association_of(port, association, &a);
    int count = 0;

    if (code)
        return code;
    for (const struct seal_path *path = seal_path_first(a); path; path = path->next) {
        if (path->dropped || (seal_path_is_gone(path) && path != a->active))
            continue;
        if (count < max)
            describe(a, path, &paths[count]);
        count++;
    }
    return count;
}

void seal_watch_tell(struct seal_association *a, const struct seal_path *path,
                     enum stk_seal_path_event event)
{
    struct stk_seal_path described;

    if (!a->port->watcher || path->dropped || a->freed)
        return;
    describe(a, path, &described);
    seal_flush_up(a->port);
    a->port->watcher(a->port->watching, a->id, &described, event);
}

int stk_seal_watch_paths(struct stk_port *port, stk_seal_path_fn *fn, void *user)
{
    struct seal_port *seal = seal_port_under(port);

    if (!seal)
        return -ENOTSUP;
    seal->watcher = fn;
    seal->watching = user;
    return 0;
}
