#include "seal_state.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAFE_SIZE = 512,   /* an initiation so long passes every path (RFC 1122's 576 bytes of IP) */
    LIGHTEN_AFTER = 2, /* tries with a longer one, then the datagram stays behind */
    UNKNOWN_STATUS = 255,
};

/* --- Initiating ------------------------------------------------------------------------------ */

void seal_attempt_free(struct seal_association *a)
{
    if (!a->attempt)
        return;
    sodium_memzero(a->attempt, sizeof(*a->attempt));
    stk_free(a->attempt);
    a->attempt = NULL;
    a->port->attempts--;
}

static struct seal_attempt *new_attempt(struct seal_association *a)
{
    a->attempt = stk_alloc_zero(sizeof(*a->attempt));
    if (!a->attempt)
        return NULL;
    a->port->attempts++;
    a->attempt->begun_us = seal_now(a->port);
    a->attempt->wait_us = SEAL_RETRY_US;
    return a->attempt;
}

void seal_attempt_yield(struct seal_association *a)
{
    struct seal_attempt *t = a->attempt ? a->attempt : new_attempt(a);

    if (!t || t->yielded) /* more recordings do not put it off further */
        return;
    t->yielded = true;
    t->due_us = seal_now(a->port) + SEAL_YIELD_US;
    seal_life_arm(a);
}

static void fill_first(struct seal_association *a, struct seal_first *first, bool with_datagram)
{
    const uint64_t now_us = seal_now(a->port);

    a->sent_timestamp = now_us > a->sent_timestamp ? now_us : a->sent_timestamp + 1;
    *first = (struct seal_first){.timestamp = a->sent_timestamp,
                                 .tag = a->tag,
                                 .sender_drew = a->initiator,
                                 .ciphers = (uint8_t)a->port->offer};
    memcpy(first->key, a->port->identity.public_key, STK_KEY_BYTES);
    if (with_datagram && a->held) {
        first->datagram = a->held->data + SEAL_HEADER;
        first->datagram_len = a->held->len;
    }
}

/* 0, or -1 where the peer's key is not one that a key exchange can be made with. */
static int make_initiation(struct seal_association *a, bool with_datagram)
{
    const size_t least = SEAL_INITIATION_MIN - SEAL_INITIATION_OVERHEAD + SEAL_FIRST_FIELDS;
    uint8_t payload[SEAL_FIRST_FIELDS + SEAL_FIRST_DATAGRAM_MAX];
    uint8_t ephemeral[SEAL_NOISE_KEY], agreed[64];
    struct seal_attempt *t = a->attempt;
    struct seal_mac_keys macs;
    struct seal_first first;

    t->made = false;
    fill_first(a, &first, with_datagram);
    const size_t len = seal_first_write(&first, payload, least);
    t->local_index = seal_index_new(a);
    seal_handshake_header(t->packet, SEAL_INITIATION, t->local_index);
    const size_t agreed_len = seal_prologue(agreed, t->packet);
    stk_loop_random(stk_dgram_loop(&a->port->layer), ephemeral, sizeof(ephemeral));
    seal_noise_init(&t->noise, &a->port->local_static, a->remote_static, ephemeral, agreed,
                    agreed_len);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    const int code =
        seal_noise_write_first(&t->noise, payload, len, t->packet + SEAL_HANDSHAKE_HEADER);
    sodium_memzero(payload, sizeof(payload));
    if (code)
        return code;

    t->len = (uint16_t)(SEAL_HANDSHAKE_HEADER + SEAL_NOISE_FIRST_OVERHEAD + len + 2 * SEAL_MAC);
    t->tag = a->tag;
    t->carries = first.datagram_len > 0;
    t->made = true;
    t->made_us = seal_now(a->port);
    seal_mac_keys_of(&macs, a->remote_static);
    seal_mac1_write(&macs, t->packet, t->packet + t->len - 2 * SEAL_MAC);
    return 0;
}

static void write_mac2(struct seal_association *a)
{
    struct seal_attempt *t = a->attempt;
    uint8_t *mac2 = t->packet + t->len - SEAL_MAC;

    if (t->has_cookie && seal_now(a->port) - t->cookie_born_us < SEAL_COOKIE_LIFE_US)
        seal_mac2_write(t->cookie, mac2 - SEAL_MAC, mac2);
    else
        memset(mac2, 0, SEAL_MAC);
}

static void schedule(struct seal_association *a)
{
    struct seal_attempt *t = a->attempt;
    uint32_t random;

    /* A quarter of jitter: sides that started together do not stay together. */
    stk_loop_random(stk_dgram_loop(&a->port->layer), &random, sizeof(random));
    t->due_us = seal_now(a->port) + t->wait_us + random % (t->wait_us / 4);
    t->wait_us = 2 * t->wait_us < SEAL_RETRY_MAX_US ? 2 * t->wait_us : SEAL_RETRY_MAX_US;
}

/*
 * The same bytes are sent again, so that a response that is slower than our timer still counts. But
 * a peer that got them and then lost us forgets us and takes them for a replay: they must not grow
 * older than its patience.
 */
static int send_initiation(struct seal_association *a)
{
    struct seal_attempt *t = a->attempt;
    const bool too_long = t->made && t->len > SAFE_SIZE && t->tries >= LIGHTEN_AFTER;
    const bool too_old = t->made && seal_now(a->port) - t->made_us >= SEAL_CONFIRM_US / 2;
    const bool renamed = t->made && t->tag != a->tag;

    t->light |= too_long;
    if ((!t->made || too_long || too_old || renamed) && make_initiation(a, !t->light))
        return -1;
    write_mac2(a);
    t->tries++;
    schedule(a);
    a->port->stats.initiations_sent++;
    seal_send_packet(a, seal_path_active(a), t->packet, t->len);
    return 0;
}

static void fail_start(struct seal_association *a, int code)
{
    struct stk_error error = {0};

    seal_attempt_free(a);
    if (a->state == SEAL_READY)
        return; /* the session that is left goes on; the next send tries again */
    if (code == -ENOMEM)
        stk_error_set(&error, code, "seal", "no memory for a handshake");
    else
        stk_error_set(&error, STK_EPEER, "seal", "the peer's key is a weak one: nobody uses it");
    seal_life_fail(a, &error);
}

void seal_attempt_start(struct seal_association *a)
{
    if (a->attempt || a->state == SEAL_CLOSING || a->state == SEAL_DEAD)
        return;
    if (!new_attempt(a)) {
        fail_start(a, -ENOMEM);
        return;
    }
    if (a->state == SEAL_NEW)
        seal_association_enter(a, SEAL_INITIATING);
    if (send_initiation(a)) {
        fail_start(a, STK_EPEER);
        return;
    }
    seal_life_arm(a);
}

static void give_up(struct seal_association *a)
{
    char address[STK_ADDR_TEXT_MAX], key[STK_KEY_TEXT_MAX];
    struct stk_error error = {0};
    const uint64_t seconds = a->port->timeout_us / SEAL_SECOND_US;

    stk_addr_format(&seal_path_active(a)->peer, address);
    stk_key_format(a->peer_key, key);
    if (a->unreachable)
        stk_error_set(
            &error, -ETIMEDOUT, "seal",
            "no answer from %s in %d s, and the network says \"%s\": is the address right, "
            "and does the peer run?",
            address, (int)seconds, strerror(abs(a->unreachable)));
    else
        stk_error_set(&error, -ETIMEDOUT, "seal",
                      "no answer from %s in %d s: does the peer run, does UDP get through, and is "
                      "its key %s?",
                      address, (int)seconds, key);
    seal_life_fail(a, &error);
}

uint64_t seal_attempt_service(struct seal_association *a, uint64_t now_us)
{
    struct seal_attempt *t = a->attempt;
    const bool first = a->state != SEAL_READY;

    if (!t)
        return UINT64_MAX;
    const uint64_t end_us = t->begun_us + (first ? a->port->timeout_us : SEAL_REKEY_GIVE_UP_US);
    if (now_us >= end_us) {
        if (first)
            give_up(a);
        else
            seal_attempt_free(a);
        return UINT64_MAX;
    }
    if (t->due_us <= now_us && send_initiation(a)) {
        fail_start(a, STK_EPEER);
        return UINT64_MAX;
    }
    return t->due_us < end_us ? t->due_us : end_us;
}

/* --- The answer to ours ---------------------------------------------------------------------- */

static void refused(struct seal_association *a, unsigned status)
{
    char key[STK_KEY_TEXT_MAX];
    struct stk_error error = {0};

    stk_key_format(a->port->identity.public_key, key);
    if (status == SEAL_REFUSED)
        stk_error_set(&error, STK_EPEER, "seal",
                      "the peer refused this key: %s; it has to be on the peer's list of allowed "
                      "keys",
                      key);
    else if (status == SEAL_BUSY)
        stk_error_set(&error, STK_ELIMIT, "seal",
                      "the peer has as many associations as it takes: try again later");
    else if (status == SEAL_NO_CIPHER)
        stk_error_set(&error, -EPROTO, "seal",
                      "the peer uses none of the ciphers that this side offers: is cipher= needed, "
                      "here or there?");
    else
        stk_error_set(&error, -EPROTO, "seal", "the peer answered in a way not known here (%u)",
                      status);
    seal_life_fail(a, &error);
}

/* The peer has answered what was sent before we gave way to a recording. */
static void return_to_tag(struct seal_association *a, uint64_t tag)
{
    seal_association_leave(a);
    a->received_timestamp = 0;
    a->initiator = true;
    seal_association_tag(a, tag);
}

static void take_session(struct seal_association *a, const struct stk_run *run, size_t len,
                         const struct seal_second *second)
{
    const struct seal_aead *aead =
        seal_aead_choose(second->cipher & a->port->offer, a->port->provider);
    struct seal_session *session;
    const bool carried = a->attempt->carries;

    if (!aead || aead->bit != second->cipher) {
        refused(a, UNKNOWN_STATUS);
        return;
    }
    if (seal_session_new(a, &a->attempt->noise, aead, a->attempt->local_index, second->index,
                         &session)) {
        fail_start(a, -ENOMEM);
        return;
    }
    if (a->attempt->tag != a->tag)
        return_to_tag(a, a->attempt->tag);
    /* What the peer initiated before it answered is void: a datagram in that is older than others.
     */
    if (second->timestamp > a->received_timestamp)
        a->received_timestamp = second->timestamp;
    seal_attempt_free(a);
    seal_answer_free(a); /* its session ends here, so it must not be repeated */
    seal_session_switch(a, session);
    a->port->stats.handshakes++;
    a->used_us = seal_now(a->port);
    a->confirm = true;
    if (carried)
        seal_held_free(a);
    struct seal_path *path = seal_path_of(a, run);
    if (path) {
        seal_path_received(path, len);
        seal_path_heard(a, path, run->local, true, false);
    }
    seal_send_held(a);
    if (a->state == SEAL_INITIATING || a->state == SEAL_ANSWERING)
        seal_life_ready(a);
    if (second->datagram_len)
        seal_hand_up(a, run, second->datagram, second->datagram_len);
    seal_life_soon(a);
    seal_life_arm(a);
}

void seal_take_response(struct seal_port *port, const struct stk_run *run, uint8_t *packet,
                        size_t len)
{
    const uint32_t index = stk_load_be32(packet + 4);
    struct seal_association *a = seal_association_by_index(port, index);
    const size_t sealed_len = len - SEAL_HANDSHAKE_HEADER - SEAL_MAC;
    uint8_t *payload = packet + SEAL_HANDSHAKE_HEADER + SEAL_NOISE_KEY;
    struct seal_second second;

    if (!a || a->freed || !a->attempt || !a->attempt->made || a->attempt->local_index != index ||
        !seal_mac1_verify(&port->macs, packet, packet + len - SEAL_MAC) ||
        seal_noise_read_second(&a->attempt->noise, packet + SEAL_HANDSHAKE_HEADER, sealed_len,
                               payload)) {
        port->stats.forged++;
        return;
    }
    if (seal_second_parse(&second, payload, sealed_len - SEAL_NOISE_SECOND_OVERHEAD))
        refused(a, UNKNOWN_STATUS);
    else if (second.status != SEAL_ACCEPTED)
        refused(a, second.status);
    else
        take_session(a, run, len, &second);
}

void seal_take_cookie(struct seal_port *port, const uint8_t *packet)
{
    const uint32_t index = stk_load_be32(packet + 4);
    struct seal_association *a = seal_association_by_index(port, index);
    struct seal_attempt *t = a ? a->attempt : NULL;
    uint8_t cookie[SEAL_COOKIE_BYTES]; /* a forged reply must not touch the one that there is */
    struct seal_mac_keys macs;

    if (!t || !t->made || t->local_index != index) {
        port->stats.forged++;
        return;
    }
    seal_mac_keys_of(&macs, a->remote_static);
    if (seal_cookie_open(&macs, t->packet + t->len - 2 * SEAL_MAC, packet, cookie)) {
        port->stats.forged++;
        return;
    }
    memcpy(t->cookie, cookie, sizeof(cookie));
    sodium_memzero(cookie, sizeof(cookie));
    port->stats.cookies_received++;
    t->cookie_born_us = seal_now(port);
    if (t->has_cookie)
        return; /* the timer sends again: a cookie a packet would be a loop */
    t->has_cookie = true;
    if (send_initiation(a))
        fail_start(a, STK_EPEER);
    else
        seal_life_arm(a);
}
