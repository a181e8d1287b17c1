/* Associations that begin on this side, and which stacks may have theirs on one port. */
#include "seal_state.h"

#include "recipe.h"

#include <sodium.h>
#include <string.h>

static void join(struct seal_association *a)
{
    a->tell_ready = a->state == SEAL_READY;
    if (a->tell_ready)
        seal_life_soon(a);
    if (a->state == SEAL_ANSWERING)
        seal_attempt_yield(a);               /* what is answered may be a recording */
    seal_path_validate(seal_path_active(a)); /* where it leads was chosen now, at the latest */
    seal_life_retain(a);
}

static int begin(struct seal_port *port, const struct seal_wish *wish,
                 const uint8_t remote_static[SEAL_NOISE_KEY], struct seal_association **out)
{
    struct seal_association *a;
    uint64_t tag;

    stk_loop_random(stk_dgram_loop(&port->layer), &tag, sizeof(tag));
    const int code = seal_association_new(port, remote_static, tag, &a);
    if (code)
        return code;
    memcpy(a->peer_key, wish->key, STK_KEY_BYTES);
    a->initiator = true;
    a->retained = 1;
    struct seal_path *path = seal_path_begin(a, wish->way, wish->peer, wish->local);
    path->pinned = wish->local != NULL;
    seal_path_validate(path); /* we chose it: nobody made us send there */
    seal_life_soon(a);
    *out = a;
    return 0;
}

static struct seal_association *still_there(struct seal_association *a,
                                            const struct seal_wish *wish,
                                            const uint8_t remote_static[SEAL_NOISE_KEY])
{
    return a && seal_association_leads_to(a, remote_static, wish->way, wish->peer) ? a : NULL;
}

int seal_associate(struct seal_port *port, const struct seal_wish *wish, uint64_t *id)
{
    uint8_t remote_static[SEAL_NOISE_KEY];
    struct seal_association *a = NULL;
    int code = 0;

    if (!wish->peer || crypto_sign_ed25519_pk_to_curve25519(remote_static, wish->key))
        return STK_EPEER;
    if (wish->own)
        a = still_there(seal_association_by_id(port, wish->had), wish, remote_static);
    else
        a = seal_association_by_peer(port, remote_static, wish->way, wish->peer);
    if (a)
        join(a);
    else
        code = begin(port, wish, remote_static, &a);
    if (code == 0)
        *id = a->id;
    return code;
}

/* --- Sharing the port ----------------------------------------------------------------------------
 */

static bool is_identity(const struct seal_port *port, const struct stk_key_pair *pair)
{
    return sodium_memcmp(port->identity.seed, pair->seed, sizeof(pair->seed)) == 0;
}

/* Would the segment choose the identity that the port has? A file is read again: it may differ. */
static bool has_identity(const struct seal_port *port, const char *path)
{
    const struct stk_key_pair *shared = seal_loop_identity(port);
    struct stk_key_pair own;

    if (!path)
        return shared ? !port->passing && is_identity(port, shared) : port->passing;
    if (port->passing || stk_identity_load(path, false, &own, NULL))
        return false;
    const bool same = is_identity(port, &own);
    stk_key_pair_wipe(&own);
    return same;
}

/* Who peers are to see, and what they are offered, must be the same; whom to expect need not. */
bool seal_serves(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    const struct seal_port *port = seal_port_of(layer);
    const char *peer = stk_segment_text(segment, "peer", NULL);
    uint8_t key[STK_KEY_BYTES];
    bool customised = port->watcher != NULL; /* by an owner who believes it to be its own */

    for (unsigned i = 0; i < STK_SEAL_TRANSPORTS_MAX; i++)
        customised |= port->transports[i] != NULL;
    return !customised && port->live < port->slot_limit / 2 &&
           stk_segment_agrees(segment, port->segment, "peer") &&
           has_identity(port, stk_segment_text(segment, "identity", NULL)) && peer &&
           stk_key_parse(key, peer, NULL) == 0;
}
