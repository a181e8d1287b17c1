#include "seal_state.h"

#include <sodium.h>
#include <string.h>

#define BIT(state) (1u << (state))

/* From each state, where it may go. */
static const unsigned moves[SEAL_STATES] = {
    [SEAL_NEW] = BIT(SEAL_INITIATING) | BIT(SEAL_ANSWERING) | BIT(SEAL_DEAD),
    [SEAL_INITIATING] = BIT(SEAL_ANSWERING) | BIT(SEAL_READY) | BIT(SEAL_DEAD),
    [SEAL_ANSWERING] = BIT(SEAL_READY) | BIT(SEAL_DEAD),
    [SEAL_READY] = BIT(SEAL_CLOSING) | BIT(SEAL_DEAD),
    [SEAL_CLOSING] = BIT(SEAL_DEAD),
    [SEAL_DEAD] = 0,
};

#define OPENING (BIT(SEAL_NEW) | BIT(SEAL_INITIATING))
#define ALIVE   (OPENING | BIT(SEAL_ANSWERING) | BIT(SEAL_READY))

static bool is_opening(const struct seal_association *a) { return OPENING & BIT(a->state); }

void seal_association_enter(struct seal_association *a, enum seal_state state)
{
    assert(moves[a->state] & BIT(state));
    a->port->opening -= is_opening(a);
    a->state = state;
    a->port->opening += is_opening(a);
}

uint64_t seal_tag_hash(const struct seal_port *port, const uint8_t remote_static[SEAL_NOISE_KEY],
                       uint64_t tag)
{
    uint8_t key[crypto_shorthash_KEYBYTES] = {0}, in[SEAL_NOISE_KEY + 8], out[8];

    static_assert(sizeof(out) == crypto_shorthash_BYTES, "SipHash gives 64 bits");
    memcpy(key, &port->hash_seed, sizeof(port->hash_seed));
    memcpy(in, remote_static, SEAL_NOISE_KEY);
    stk_store_be64(in + SEAL_NOISE_KEY, tag);
    crypto_shorthash(out, in, sizeof(in), key);
    return stk_load_be64(out) | 1;
}

/* --- Slots --------------------------------------------------------------------------------------
 */

static struct stk_node *bucket_of(const struct seal_port *port,
                                  const uint8_t remote_static[SEAL_NOISE_KEY], uint64_t tag)
{
    return &port->buckets[seal_tag_hash(port, remote_static, tag) / 2 % port->slot_count];
}

/* Every association that can be found by its tag moves to where it belongs now. */
static void use_buckets(struct seal_port *port, struct stk_node *buckets)
{
    struct stk_node *old = port->buckets;

    for (uint32_t i = 0; i < port->slot_count; i++)
        stk_list_init(&buckets[i]);
    port->buckets = buckets;
    for (uint32_t i = 0; i < port->slot_count; i++) {
        struct seal_association *a = port->slots[i];
        if (a && !stk_list_empty(&a->bucket))
            seal_association_tag(a, a->tag);
    }
    stk_free(old);
}

static int grow(struct seal_port *port)
{
    uint32_t count = port->slot_count ? 2 * port->slot_count : 2;

    if (count > port->slot_limit)
        count = port->slot_limit;
    if (count <= port->slot_count)
        return STK_ELIMIT;
    struct stk_node *buckets = stk_alloc((size_t)count * sizeof(*buckets));
    if (!buckets)
        return -ENOMEM;
    struct seal_association **slots =
        stk_realloc(port->slots, (size_t)count * sizeof(struct seal_association *));
    if (!slots) {
        stk_free(buckets);
        return -ENOMEM;
    }
    memset(slots + port->slot_count, 0, (count - port->slot_count) * sizeof(*slots));
    port->slots = slots;
    port->slot_hint = port->slot_count;
    port->slot_count = count;
    use_buckets(port, buckets);
    return 0;
}

/* A free slot; the search goes round, so that indices are not soon used again. */
static int find_slot(struct seal_port *port, uint32_t *slot)
{
    if (port->live == port->slot_count) {
        const int code = grow(port);
        if (code)
            return code;
    }
    for (uint32_t i = 0; i < port->slot_count; i++) {
        const uint32_t at = (port->slot_hint + i) % port->slot_count;
        if (!port->slots[at]) {
            port->slot_hint = at + 1;
            *slot = at;
            return 0;
        }
    }
    return STK_ELIMIT;
}

int seal_association_new(struct seal_port *port, const uint8_t remote_static[SEAL_NOISE_KEY],
                         uint64_t tag, struct seal_association **out)
{
    uint32_t slot;
    const int code = find_slot(port, &slot);

    if (code)
        return code;
    struct seal_association *a = stk_alloc_zero(sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->port = port;
    a->slot = slot;
    a->id = ++port->generation << SEAL_INDEX_SLOT_BITS | slot;
    a->made_us = a->used_us = a->sent_us = seal_now(port);
    memcpy(a->remote_static, remote_static, SEAL_NOISE_KEY);
    stk_list_init(&a->bucket);
    seal_association_tag(a, tag);
    port->slots[slot] = a;
    port->live++;
    port->opening++;
    seal_life_start(a);
    *out = a;
    return 0;
}

void seal_association_tag(struct seal_association *a, uint64_t tag)
{
    stk_list_remove(&a->bucket);
    a->tag = tag;
    stk_list_append(bucket_of(a->port, a->remote_static, tag), &a->bucket);
}

/* What the peer has initiated must not be played to us again when the association is forgotten. */
static void remember_timestamp(struct seal_association *a)
{
    struct seal_port *port = a->port;

    if (!a->received_timestamp)
        return;
    if (!port->stamps)
        port->stamps = stk_alloc_zero(sizeof(*port->stamps));
    if (port->stamps)
        seal_stamps_note(port->stamps, seal_tag_hash(port, a->remote_static, a->tag),
                         a->received_timestamp);
}

void seal_association_leave(struct seal_association *a)
{
    remember_timestamp(a);
    stk_list_remove(&a->bucket);
}

void seal_association_free(struct seal_association *a)
{
    struct seal_port *port = a->port;

    seal_association_leave(a);
    stk_timer_stop(&a->timer);
    stk_task_stop(&a->task);
    seal_attempt_free(a);
    seal_answer_free(a);
    seal_path_free_all(a);
    for (int i = 0; i < SEAL_SESSIONS; i++)
        seal_session_drop(a, a->sessions[i]);
    seal_held_free(a);
    assert(port->slots[a->slot] == a && port->live > 0);
    port->slots[a->slot] = NULL;
    port->live--;
    port->opening -= is_opening(a);
    sodium_memzero(a, sizeof(*a));
    stk_free(a);
}

/* --- Looking up ----------------------------------------------------------------------------------
 */

struct seal_association *seal_association_by_id(struct seal_port *port, uint64_t id)
{
    const uint32_t slot = id & (SEAL_ASSOCIATIONS_MAX - 1);
    struct seal_association *a = slot < port->slot_count ? port->slots[slot] : NULL;

    return a && a->id == id ? a : NULL;
}

struct seal_association *seal_association_by_index(struct seal_port *port, uint32_t index)
{
    const uint32_t slot = index >> SEAL_INDEX_KEY_BITS & (SEAL_ASSOCIATIONS_MAX - 1);

    return slot < port->slot_count ? port->slots[slot] : NULL;
}

struct seal_association *seal_association_by_tag(struct seal_port *port,
                                                 const uint8_t remote_static[SEAL_NOISE_KEY],
                                                 uint64_t tag)
{
    if (!port->slot_count)
        return NULL;
    STK_LIST_EACH(node, bucket_of(port, remote_static, tag))
    {
        struct seal_association *a = STK_CONTAINER(node, struct seal_association, bucket);
        if (a->tag == tag && !memcmp(a->remote_static, remote_static, SEAL_NOISE_KEY))
            return a;
    }
    return NULL;
}

static bool leads_to(const struct seal_association *a, unsigned states,
                     const uint8_t remote_static[SEAL_NOISE_KEY], uint8_t way,
                     const struct stk_addr *peer)
{
    const struct seal_path *path = seal_path_active(a);

    return !a->freed && (states & BIT(a->state)) &&
           !memcmp(a->remote_static, remote_static, SEAL_NOISE_KEY) && path->way == way &&
           stk_addr_equal(&path->peer, peer);
}

static struct seal_association *find_by_peer(struct seal_port *port, unsigned states,
                                             const uint8_t remote_static[SEAL_NOISE_KEY],
                                             uint8_t way, const struct stk_addr *peer)
{
    for (uint32_t i = 0; i < port->slot_count; i++) {
        struct seal_association *a = port->slots[i];
        if (a && leads_to(a, states, remote_static, way, peer))
            return a;
    }
    return NULL;
}

bool seal_association_leads_to(const struct seal_association *a,
                               const uint8_t remote_static[SEAL_NOISE_KEY], uint8_t way,
                               const struct stk_addr *peer)
{
    return leads_to(a, ALIVE, remote_static, way, peer);
}

struct seal_association *seal_association_by_peer(struct seal_port *port,
                                                  const uint8_t remote_static[SEAL_NOISE_KEY],
                                                  uint8_t way, const struct stk_addr *peer)
{
    return find_by_peer(port, ALIVE, remote_static, way, peer);
}

struct seal_association *seal_association_opening(struct seal_port *port,
                                                  const uint8_t remote_static[SEAL_NOISE_KEY],
                                                  uint8_t way, const struct stk_addr *peer)
{
    return port->opening ? find_by_peer(port, OPENING, remote_static, way, peer) : NULL;
}
