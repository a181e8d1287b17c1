#include "seal_state.h"

#include <sodium.h>
#include <string.h>

enum {
    SAFE_SIZE = 512,  /* an initiation so long passes every path (RFC 1122's 576 bytes of IP) */
    MARGIN = 64,      /* room before and behind a packet for layers below */
    LIGHTEN_AFTER = 2 /* tries with a longer one, then the datagram stays behind */
};

static struct stk_loop *loop_of(const struct seal_association *a)
{
    return stk_dgram_loop(&a->port->layer);
}

/* The header is part of what both sides must agree on: nobody else can change the index in it. */
static size_t prologue(uint8_t out[64], const uint8_t header[SEAL_HANDSHAKE_HEADER])
{
    const size_t len = sizeof(SEAL_PROLOGUE) - 1;

    memcpy(out, SEAL_PROLOGUE, len);
    memcpy(out + len, header, SEAL_HANDSHAKE_HEADER);
    return len + SEAL_HANDSHAKE_HEADER;
}

static void send_copy(struct seal_port *port, const struct stk_addr *peer,
                      const struct stk_addr *local, const uint8_t *packet, size_t len)
{
    uint8_t room[MARGIN + SEAL_INITIATION_MAX + MARGIN];
    struct stk_run run = {.data = room + MARGIN,
                          .stride = (uint32_t)len,
                          .size = (uint16_t)len,
                          .last_size = (uint16_t)len,
                          .count = 1,
                          .peer = peer,
                          .local = local};

    static_assert(SEAL_RESPONSE_MAX <= SEAL_INITIATION_MAX, "the room is for both");
    assert(len <= SEAL_INITIATION_MAX);
    memcpy(run.data, packet, len);
    stk_dgram_send_below(&port->layer, &run, 1);
}

void seal_send_packet(struct seal_association *a, struct seal_path *path, uint8_t *packet,
                      size_t len)
{
    if (!seal_path_take(path, len))
        return;
    send_copy(a->port, &path->peer, path->local.len && !a->initiator ? &path->local : NULL, packet,
              len);
    a->sent_us = seal_now(a->port);
}

/* --- Initiating ------------------------------------------------------------------------------ */

void seal_attempt_free(struct seal_association *a)
{
    if (!a->attempt)
        return;
    sodium_memzero(a->attempt, sizeof(*a->attempt));
    stk_free(a->attempt);
    a->attempt = NULL;
}

static void fill_first(struct seal_association *a, struct seal_first *first, bool with_datagram)
{
    const uint64_t now_us = seal_now(a->port);

    a->sent_timestamp = now_us > a->sent_timestamp ? now_us : a->sent_timestamp + 1;
    *first = (struct seal_first){
        .timestamp = a->sent_timestamp, .tag = a->tag, .ciphers = (uint16_t)a->port->offer};
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
    struct seal_first first;

    t->made = false;
    fill_first(a, &first, with_datagram);
    const size_t len = seal_first_write(&first, payload, least);
    t->local_index = seal_index_new(a);
    seal_handshake_header(t->packet, SEAL_INITIATION, t->local_index);
    const size_t agreed_len = prologue(agreed, t->packet);
    seal_noise_init(&t->noise, true, &a->port->local_static, a->remote_static, agreed, agreed_len);
    stk_loop_random(loop_of(a), ephemeral, sizeof(ephemeral));
    const int code = seal_noise_write_first(&t->noise, ephemeral, payload, len,
                                            t->packet + SEAL_HANDSHAKE_HEADER);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    sodium_memzero(payload, sizeof(payload));
    if (code)
        return code;

    t->len = (uint16_t)(SEAL_HANDSHAKE_HEADER + SEAL_NOISE_FIRST_OVERHEAD + len + 2 * SEAL_MAC);
    t->carries = first.datagram_len > 0;
    t->made = true;
    seal_mac1_write(&a->peer_macs, t->packet, t->packet + t->len - 2 * SEAL_MAC);
    return 0;
}

static void write_mac2(struct seal_association *a)
{
    struct seal_attempt *t = a->attempt;
    uint8_t *mac2 = t->packet + t->len - SEAL_MAC;

    if (t->has_cookie && seal_now(a->port) - t->cookie_born_us < SEAL_COOKIE_LIFE_US)
        seal_mac2_write(t->cookie, t->packet, mac2);
    else
        memset(mac2, 0, SEAL_MAC);
}

static void schedule(struct seal_association *a)
{
    struct seal_attempt *t = a->attempt;
    uint32_t random;

    /* A quarter of jitter: sides that started together do not stay together. */
    stk_loop_random(loop_of(a), &random, sizeof(random));
    t->due_us = seal_now(a->port) + t->wait_us + random % (t->wait_us / 4);
    t->wait_us = 2 * t->wait_us < SEAL_RETRY_MAX_US ? 2 * t->wait_us : SEAL_RETRY_MAX_US;
}

/* The same bytes are sent again, so that a response that is slower than our timer still counts. */
static int send_initiation(struct seal_association *a)
{
    struct seal_attempt *t = a->attempt;
    const bool too_long = t->made && t->len > SAFE_SIZE && t->tries >= LIGHTEN_AFTER;

    if ((!t->made || too_long) && make_initiation(a, !too_long))
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
    a->attempt = stk_alloc_zero(sizeof(*a->attempt));
    if (!a->attempt) {
        fail_start(a, -ENOMEM);
        return;
    }
    a->attempt->begun_us = seal_now(a->port);
    a->attempt->wait_us = SEAL_RETRY_US;
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
        stk_error_set(&error, -ETIMEDOUT, "seal",
                      "no answer from %s in %d s, and the host says that nothing listens there: is "
                      "the address right, and does the peer run?",
                      address, (int)seconds);
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
    const bool first = a->state == SEAL_INITIATING;

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

/* --- Answering ------------------------------------------------------------------------------- */

void seal_answer_free(struct seal_association *a)
{
    if (!a->answer)
        return;
    sodium_memzero(a->answer, sizeof(*a->answer));
    stk_free(a->answer);
    a->answer = NULL;
}

/* Writes a whole response and leaves the noise ready to be split. 0 or -1. */
static int make_response(struct seal_port *port, struct seal_noise *noise,
                         const struct seal_mac_keys *peer_macs, uint32_t receiver,
                         const struct seal_second *second, uint8_t *packet, size_t *packet_len)
{
    uint8_t payload[SEAL_SECOND_FIELDS + SEAL_FIRST_DATAGRAM_MAX], ephemeral[SEAL_NOISE_KEY];
    const size_t len = seal_second_write(second, payload);

    seal_handshake_header(packet, SEAL_RESPONSE, receiver);
    stk_loop_random(stk_dgram_loop(&port->layer), ephemeral, sizeof(ephemeral));
    const int code =
        seal_noise_write_second(noise, ephemeral, payload, len, packet + SEAL_HANDSHAKE_HEADER);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    sodium_memzero(payload, sizeof(payload));
    if (code)
        return code;
    const size_t before_mac = SEAL_HANDSHAKE_HEADER + SEAL_NOISE_SECOND_OVERHEAD + len;
    seal_mac1_write(peer_macs, packet, packet + before_mac);
    *packet_len = before_mac + SEAL_MAC;
    return 0;
}

/* Tells a peer why not; nothing of it is kept. */
static void turn_away(struct seal_port *port, const struct stk_run *run, struct seal_noise *noise,
                      uint32_t receiver, enum seal_status status)
{
    const struct seal_second second = {.status = (uint8_t)status};
    uint8_t packet[SEAL_RESPONSE_MAX];
    struct seal_mac_keys macs;
    size_t len;

    seal_mac_keys_of(&macs, noise->remote_static);
    if (!make_response(port, noise, &macs, receiver, &second, packet, &len))
        send_copy(port, run->peer, run->local, packet, len);
}

static void fail_answer(struct seal_association *a)
{
    struct stk_error error = {0};

    seal_answer_free(a);
    if (a->state != SEAL_ANSWERING)
        return;
    stk_error_set(&error, -ENOMEM, "seal", "no memory for a session");
    seal_life_fail(a, &error);
}

static bool fits_answer(const struct seal_association *a, size_t len)
{
    const size_t allowed = (size_t)SEAL_AMPLIFICATION * a->answer->initiation_len;

    return len <= SEAL_FIRST_DATAGRAM_MAX && SEAL_RESPONSE_OVERHEAD + len <= allowed;
}

bool seal_answer_send(struct seal_association *a, const uint8_t *datagram, size_t len)
{
    struct seal_answer *answer = a->answer;
    struct seal_second second = {.status = SEAL_ACCEPTED, .cipher = (uint8_t)answer->aead->bit};
    const bool takes = len > 0 && fits_answer(a, len);
    struct seal_session *session;
    size_t packet_len;

    assert(!answer->sent);
    if (takes) {
        second.datagram = datagram;
        second.datagram_len = (uint16_t)len;
    }
    seal_session_drop(a, a->next);
    second.index = seal_index_new(a);
    if (make_response(a->port, &answer->noise, &a->peer_macs, answer->remote_index, &second,
                      answer->packet, &packet_len) ||
        seal_session_new(a, &answer->noise, answer->aead, second.index, answer->remote_index,
                         &session)) {
        fail_answer(a);
        return false;
    }
    a->next = session;
    seal_noise_wipe(&answer->noise);
    answer->len = (uint16_t)packet_len;
    answer->sent = true;
    struct seal_path *path = seal_path_find(a, &answer->peer);
    if (path)
        seal_send_packet(a, path, answer->packet, packet_len);
    seal_life_arm(a);
    return takes;
}

static bool refuse_load(struct seal_port *port, const struct stk_run *run, const uint8_t *packet,
                        size_t len)
{
    struct stk_loop *loop = stk_dgram_loop(&port->layer);
    uint8_t random[32], reply[SEAL_COOKIE_SIZE];
    const uint64_t now_us = seal_now(port);

    if (seal_cookie_jar_due(&port->jar, now_us)) {
        stk_loop_random(loop, random, sizeof(random));
        seal_cookie_jar_turn(&port->jar, now_us, random);
    }
    if (!seal_cookie_verify(&port->jar, run->peer, packet, len)) {
        stk_loop_random(loop, random, SEAL_COOKIE_NONCE);
        seal_cookie_reply(&port->jar, &port->macs, run->peer, packet, len, random, reply);
        send_copy(port, run->peer, run->local, reply, sizeof(reply));
        port->stats.cookies_sent++;
        return true;
    }
    if (!port->limiter) {
        port->limiter = stk_alloc_zero(sizeof(*port->limiter));
        if (!port->limiter)
            return true;
        port->limiter->seed = port->hash_seed;
    }
    if (seal_limiter_take(port->limiter, run->peer, now_us))
        return false;
    port->stats.limited++;
    return true;
}

static bool is_allowed(const struct seal_port *port, const uint8_t remote_static[SEAL_NOISE_KEY])
{
    if (!port->allowed)
        return true;
    for (unsigned i = 0; i < port->allowed_count; i++)
        if (!sodium_memcmp(port->allowed[i], remote_static, SEAL_NOISE_KEY))
            return true;
    return false;
}

/* Where both sides initiate at once, the lower key's initiation is the one that counts. */
static bool we_win(const struct seal_association *a)
{
    return memcmp(a->port->local_static.public_key, a->remote_static, SEAL_NOISE_KEY) < 0;
}

/* Gives up our own initiation for the peer's; the association takes the peer's tag. */
static void adopt_tag(struct seal_association *a, uint64_t tag)
{
    struct seal_port *port = a->port;

    stk_list_remove(&a->bucket);
    a->tag = tag;
    stk_list_append(&port->buckets[seal_tag_hash(port, a->remote_static, tag) / 2 % SEAL_BUCKETS],
                    &a->bucket);
}

/* What an initiation says and where it came from. */
struct opened {
    const struct stk_run *run;
    const uint8_t *packet;
    size_t len;
    struct seal_noise noise;
    struct seal_first first;
    bool address_proven; /* by a cookie */
    uint8_t payload[SEAL_INITIATION_MAX];
};

static uint32_t sender_index(const struct opened *in) { return stk_load_be32(in->packet + 4); }

static int open_initiation(struct seal_port *port, struct opened *in)
{
    const size_t sealed_len = in->len - SEAL_HANDSHAKE_HEADER - 2 * SEAL_MAC;
    uint8_t agreed[64], as_static[SEAL_NOISE_KEY];
    const size_t agreed_len = prologue(agreed, in->packet);

    seal_noise_init(&in->noise, false, &port->local_static, NULL, agreed, agreed_len);
    if (seal_noise_read_first(&in->noise, in->packet + SEAL_HANDSHAKE_HEADER, sealed_len,
                              in->payload))
        return -1;
    if (seal_first_parse(&in->first, in->payload, sealed_len - SEAL_NOISE_FIRST_OVERHEAD))
        return -1;
    if (crypto_sign_ed25519_pk_to_curve25519(as_static, in->first.key) ||
        memcmp(as_static, in->noise.remote_static, SEAL_NOISE_KEY))
        return -1;
    return seal_aead_choose(in->first.ciphers & port->offer) ? 0 : -1;
}

/*
 * Answered by the same packet, wherever the repeated one comes from: somebody may have copied it
 * and been faster than the peer itself. But then hearing of the keys proves no single address.
 */
static void repeat_answer(struct seal_association *a, const struct opened *in)
{
    if (!a->answer->sent)
        return;
    struct seal_path *path = seal_path_add(a, in->run->peer, in->run->local);
    a->answer->ambiguous |= !stk_addr_equal(&a->answer->peer, in->run->peer);
    seal_path_received(path, in->len);
    seal_send_packet(a, path, a->answer->packet, a->answer->len);
}

/* The association that this initiation is for; NULL if it must not be answered, or has been. */
static struct seal_association *known_association(struct seal_association *a,
                                                  const struct opened *in)
{
    if (a->freed || a->state == SEAL_CLOSING || a->state == SEAL_DEAD)
        return NULL;
    if (a->answer && !memcmp(a->answer->ephemeral, in->noise.remote_ephemeral, SEAL_NOISE_KEY)) {
        repeat_answer(a, in);
        return NULL;
    }
    if (in->first.timestamp <= a->received_timestamp) {
        a->port->stats.replayed++;
        return NULL;
    }
    if (a->attempt && we_win(a))
        return NULL;
    return a;
}

static struct seal_association *simultaneous_association(struct seal_association *a,
                                                         const struct opened *in)
{
    if (a->state == SEAL_INITIATING && we_win(a))
        return NULL;
    adopt_tag(a, in->first.tag);
    return a;
}

static struct seal_association *new_association(struct seal_port *port, struct opened *in)
{
    const uint8_t *peer = in->noise.remote_static;
    struct seal_association *a = NULL;

    if (port->stamps &&
        !seal_stamps_is_fresh(port->stamps, seal_tag_hash(port, peer, in->first.tag),
                              in->first.timestamp)) {
        port->stats.replayed++;
        return NULL;
    }
    if (!is_allowed(port, peer)) {
        port->stats.refused++;
        turn_away(port, in->run, &in->noise, sender_index(in), SEAL_REFUSED);
        return NULL;
    }
    const int code = seal_association_new(port, peer, in->first.tag, &a);
    if (code == STK_ELIMIT) {
        port->stats.limited++;
        turn_away(port, in->run, &in->noise, sender_index(in), SEAL_BUSY);
    }
    if (code)
        return NULL;
    memcpy(a->peer_key, in->first.key, STK_KEY_BYTES);
    a->active = (unsigned)(seal_path_add(a, in->run->peer, in->run->local) - a->paths);
    return a;
}

static struct seal_association *association_for(struct seal_port *port, struct opened *in)
{
    const uint8_t *peer = in->noise.remote_static;
    struct seal_association *a = seal_association_by_tag(port, peer, in->first.tag);

    if (a)
        return known_association(a, in);
    a = seal_association_by_peer(port, peer, in->run->peer);
    if (a && (a->state == SEAL_NEW || a->state == SEAL_INITIATING))
        return simultaneous_association(a, in);
    return stk_dgram_is_listening(&port->layer) ? new_association(port, in) : NULL;
}

static void hand_up(struct seal_association *a, const struct stk_run *from, const uint8_t *datagram,
                    size_t len)
{
    struct stk_run run = *from;

    run.data = (uint8_t *)(uintptr_t)datagram;
    run.stride = (uint32_t)len;
    run.size = run.last_size = (uint16_t)len;
    run.count = 1;
    run.association = a->id;
    seal_push_up(a->port, &run);
    seal_flush_up(a->port);
}

/* Keeps what the answer needs. The answer waits for a datagram of ours only where one came. */
static void begin_answer(struct seal_association *a, struct opened *in)
{
    seal_answer_free(a);
    a->answer = stk_alloc_zero(sizeof(*a->answer));
    if (!a->answer) {
        fail_answer(a);
        return;
    }
    a->answer->noise = in->noise;
    memcpy(a->answer->ephemeral, in->noise.remote_ephemeral, SEAL_NOISE_KEY);
    a->answer->peer = *in->run->peer;
    a->answer->remote_index = sender_index(in);
    a->answer->initiation_len = (uint16_t)in->len;
    a->answer->aead = seal_aead_choose(in->first.ciphers & a->port->offer);
    if (a->held) {
        struct seal_held *held = a->held;
        a->held = NULL;
        if (!seal_answer_send(a, held->data + SEAL_HEADER, held->len) && a->state != SEAL_DEAD)
            a->held = held;
        else
            stk_free(held);
    }
    if (in->first.datagram_len)
        hand_up(a, in->run, in->first.datagram, in->first.datagram_len);
    else if (a->answer && !a->answer->sent)
        seal_answer_send(a, NULL, 0);
    if (a->answer && !a->answer->sent)
        seal_life_soon(a);
}

static void take_opened(struct seal_port *port, struct opened *in)
{
    struct seal_association *a = association_for(port, in);

    if (!a)
        return;
    seal_attempt_free(a);
    if (a->state == SEAL_NEW || a->state == SEAL_INITIATING) {
        seal_association_enter(a, SEAL_ANSWERING);
        a->made_us = seal_now(port);
    }
    a->received_timestamp = in->first.timestamp;
    a->received_us = seal_now(port);
    struct seal_path *path = seal_path_add(a, in->run->peer, in->run->local);
    seal_path_received(path, in->len);
    path->validated |= in->address_proven;
    begin_answer(a, in);
}

void seal_take_initiation(struct seal_port *port, const struct stk_run *run, uint8_t *packet,
                          size_t len)
{
    struct opened in = {.run = run, .packet = packet, .len = len};
    const bool loaded = seal_meter_count(&port->meter, seal_now(port)) > port->load;

    port->stats.initiations_received++;
    if (!seal_mac1_verify(&port->macs, packet, packet + len - 2 * SEAL_MAC)) {
        port->stats.forged++;
        return;
    }
    if (loaded && refuse_load(port, run, packet, len))
        return;
    in.address_proven = loaded;
    if (open_initiation(port, &in))
        port->stats.forged++;
    else
        take_opened(port, &in);
    sodium_memzero(&in, sizeof(in));
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
    else
        stk_error_set(&error, -EPROTO, "seal", "the peer answered in a way not known here (%u)",
                      status);
    seal_life_fail(a, &error);
}

static void take_session(struct seal_association *a, const struct stk_run *run,
                         const struct seal_second *second)
{
    const struct seal_aead *aead = seal_aead_choose(second->cipher & a->port->offer);
    struct seal_session *session;
    const bool carried = a->attempt->carries;

    if (!aead || aead->bit != second->cipher) {
        refused(a, second->cipher);
        return;
    }
    if (seal_session_new(a, &a->attempt->noise, aead, a->attempt->local_index, second->index,
                         &session)) {
        fail_start(a, -ENOMEM);
        return;
    }
    seal_attempt_free(a);
    seal_session_switch(a, session);
    a->port->stats.handshakes++;
    a->received_us = seal_now(a->port);
    a->confirm = true;
    if (carried) {
        stk_free(a->held);
        a->held = NULL;
    }
    struct seal_path *path = seal_path_add(a, run->peer, run->local);
    seal_path_heard(a, path, true);
    if (a->state == SEAL_INITIATING)
        seal_life_ready(a);
    if (second->datagram_len)
        hand_up(a, run, second->datagram, second->datagram_len);
    seal_send_held(a);
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
        refused(a, SEAL_ACCEPTED);
    else if (second.status != SEAL_ACCEPTED)
        refused(a, second.status);
    else
        take_session(a, run, &second);
}

void seal_take_cookie(struct seal_port *port, const uint8_t *packet)
{
    const uint32_t index = stk_load_be32(packet + 4);
    struct seal_association *a = seal_association_by_index(port, index);
    struct seal_attempt *t = a ? a->attempt : NULL;

    if (!t || !t->made || t->local_index != index ||
        seal_cookie_open(&a->peer_macs, t->packet + t->len - 2 * SEAL_MAC, packet, t->cookie)) {
        port->stats.forged++;
        return;
    }
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
