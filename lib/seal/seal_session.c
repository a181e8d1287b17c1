#include "seal_state.h"

#include <sodium.h>

static unsigned key_slot(uint32_t index) { return index & (SEAL_SESSIONS - 1); }

static bool is_taken(const struct seal_association *a, unsigned slot)
{
    return a->sessions[slot] ||
           (a->attempt && a->attempt->made && key_slot(a->attempt->local_index) == slot);
}

uint32_t seal_index_new(struct seal_association *a)
{
    uint32_t random;
    unsigned slot = 0;

    while (slot < SEAL_SESSIONS && is_taken(a, slot))
        slot++;
    /* previous, current and next leave one; an attempt that is replaced has given up its own. */
    if (slot == SEAL_SESSIONS) {
        slot = key_slot(a->previous->local_index);
        seal_session_drop(a, a->previous);
    }
    stk_loop_random(stk_dgram_loop(&a->port->layer), &random, sizeof(random));
    return random << (SEAL_INDEX_KEY_BITS + SEAL_INDEX_SLOT_BITS) | a->slot << SEAL_INDEX_KEY_BITS |
           slot;
}

int seal_session_new(struct seal_association *a, struct seal_noise *noise,
                     const struct seal_aead *aead, uint32_t local_index, uint32_t remote_index,
                     struct seal_session **out)
{
    uint8_t from_initiator[SEAL_CIPHER_KEY], from_responder[SEAL_CIPHER_KEY];
    struct seal_session *s = stk_alloc_zero(sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->initiator = noise->initiator;
    s->local_index = local_index;
    s->remote_index = remote_index;
    s->born_us = seal_now(a->port);
    seal_noise_split(noise, from_initiator, from_responder);
    seal_key_set(&s->send, aead, s->initiator ? from_initiator : from_responder);
    seal_key_set(&s->receive, aead, s->initiator ? from_responder : from_initiator);
    s->receive.replay = &s->replay;
    sodium_memzero(from_initiator, sizeof(from_initiator));
    sodium_memzero(from_responder, sizeof(from_responder));
    assert(!a->sessions[key_slot(local_index)]);
    a->sessions[key_slot(local_index)] = s;
    *out = s;
    return 0;
}

void *seal_session_key(struct seal_association *a, struct seal_key *key, uint64_t now_us)
{
    struct seal_port *port = a->port;
    void *state = seal_key_use(&port->keys, key, now_us);

    if (!stk_timer_armed(&port->layer.timer))
        stk_dgram_set_timer(&port->layer, now_us + SEAL_KEY_IDLE_US);
    return state;
}

void seal_session_drop(struct seal_association *a, struct seal_session *session)
{
    if (!session)
        return;
    assert(a->sessions[key_slot(session->local_index)] == session);
    a->sessions[key_slot(session->local_index)] = NULL;
    if (a->current == session)
        a->current = NULL;
    if (a->previous == session)
        a->previous = NULL;
    if (a->next == session)
        a->next = NULL;
    seal_key_wipe(&a->port->keys, &session->send);
    seal_key_wipe(&a->port->keys, &session->receive);
    sodium_memzero(session, sizeof(*session));
    stk_free(session);
}

void seal_session_expire(struct seal_association *a, uint64_t now_us)
{
    for (int i = 0; i < SEAL_SESSIONS; i++)
        if (a->sessions[i] && now_us - a->sessions[i]->born_us >= SEAL_REJECT_AFTER_US)
            seal_session_drop(a, a->sessions[i]);
}

struct seal_session *seal_session_by_index(struct seal_association *a, uint32_t index)
{
    struct seal_session *s = a->sessions[key_slot(index)];

    return s && s->local_index == index ? s : NULL;
}

static bool is_usable(const struct seal_session *s, uint64_t now_us)
{
    return s && now_us - s->born_us < SEAL_REJECT_AFTER_US &&
           s->counter < SEAL_REJECT_AFTER_PACKETS - STK_RUN_COUNT_MAX;
}

struct seal_session *seal_session_to_send(struct seal_association *a, uint64_t now_us)
{
    if (is_usable(a->current, now_us))
        return a->current;
    return is_usable(a->next, now_us) ? a->next : NULL;
}

/* The first packet in the next one makes it the current one, so nothing has come in it yet. */
uint64_t seal_session_sent_later(const struct seal_association *a, const struct seal_session *s)
{
    return s == a->previous && a->current ? a->current->replay.next : 0;
}

/*
 * The old keys stay for what is in flight. A session that was never confirmed counts as old where
 * there is no other: the peer may have it, and use it until it hears of this one.
 */
void seal_session_switch(struct seal_association *a, struct seal_session *session)
{
    struct seal_session *unconfirmed = a->next;

    a->next = NULL;
    seal_session_drop(a, a->previous);
    a->previous = a->current;
    a->current = session;
    if (!a->previous)
        a->previous = unconfirmed;
    else
        seal_session_drop(a, unconfirmed);
}

void seal_session_confirm(struct seal_association *a)
{
    assert(a->next);
    seal_session_drop(a, a->previous);
    a->previous = a->current;
    a->current = a->next;
    a->next = NULL;
}
