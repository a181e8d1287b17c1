#include "seal_state.h"

#include "curve.h"

#include <sodium.h>
#include <string.h>

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
static int make_response(struct seal_noise *noise, uint32_t receiver,
                         const struct seal_second *second, uint8_t *packet, size_t *packet_len)
{
    uint8_t payload[SEAL_SECOND_FIELDS + SEAL_FIRST_DATAGRAM_MAX];
    const size_t len = seal_second_write(second, payload);
    struct seal_mac_keys macs;

    seal_handshake_header(packet, SEAL_RESPONSE, receiver);
    const int code = seal_noise_write_second(noise, payload, len, packet + SEAL_HANDSHAKE_HEADER);
    sodium_memzero(payload, sizeof(payload));
    if (code)
        return code;
    const size_t before_mac = SEAL_HANDSHAKE_HEADER + SEAL_NOISE_SECOND_OVERHEAD + len;
    seal_mac_keys_of(&macs, noise->remote_static);
    seal_mac1_write(&macs, packet, packet + before_mac);
    *packet_len = before_mac + SEAL_MAC;
    return 0;
}

/* Tells a peer why not; nothing of it is kept. */
static void turn_away(struct seal_port *port, const struct stk_run *run, struct seal_noise *noise,
                      uint32_t receiver, enum seal_status status)
{
    const struct seal_second second = {.status = (uint8_t)status};
    uint8_t packet[SEAL_RESPONSE_MAX];
    size_t len;

    if (!make_response(noise, receiver, &second, packet, &len))
        seal_send_back(port, run, packet, len);
}

/* Whoever sends must not be told of a failure from inside: the task finds that nothing is left. */
static void fail_answer(struct seal_association *a)
{
    seal_answer_free(a);
    seal_life_soon(a);
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
    struct seal_session *session;
    size_t packet_len;

    assert(!answer->sent);
    seal_session_drop(a, a->next);
    /* Whoever has keys to send with does so: a response may be held up, and others overtake it. */
    const bool takes =
        len > 0 && fits_answer(a, len) && !seal_session_to_send(a, seal_now(a->port));
    if (takes) {
        second.datagram = datagram;
        second.datagram_len = (uint16_t)len;
    }
    second.index = seal_index_new(a);
    second.timestamp = a->sent_timestamp;
    if (make_response(&answer->noise, answer->remote_index, &second, answer->packet, &packet_len) ||
        seal_session_new(a, &answer->noise, answer->aead, second.index, answer->remote_index,
                         &session)) {
        fail_answer(a);
        return false;
    }
    a->next = session;
    seal_noise_wipe(&answer->noise);
    answer->len = (uint16_t)packet_len;
    answer->sent = true;
    struct seal_path *path = seal_path_by_id(a, answer->path);
    if (path)
        seal_send_packet(a, path, answer->packet, packet_len);
    seal_life_arm(a);
    return takes;
}

static void turn_jar_in_time(struct seal_port *port, uint64_t now_us)
{
    uint8_t random[SEAL_COOKIE_RANDOM];

    if (!seal_cookie_jar_due(&port->jar, now_us))
        return;
    stk_loop_random(stk_dgram_loop(&port->layer), random, sizeof(random));
    seal_cookie_jar_turn(&port->jar, now_us, random);
    sodium_memzero(random, sizeof(random));
}

static bool refuse_load(struct seal_port *port, const struct stk_run *run, const uint8_t *packet,
                        size_t len)
{
    uint8_t nonce[SEAL_COOKIE_NONCE], reply[SEAL_COOKIE_SIZE];
    const uint64_t now_us = seal_now(port);

    turn_jar_in_time(port, now_us);
    if (!seal_cookie_verify(&port->jar, run->peer, packet, len)) {
        seal_cookie_nonce(&port->jar, nonce);
        seal_cookie_reply(&port->jar, &port->macs, run->peer, packet, len, nonce, reply);
        seal_reply_later(port, run, reply);
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

/* What an initiation says and where it came from. */
struct opened {
    const struct stk_run *run;
    const uint8_t *packet;
    size_t len;
    struct seal_noise noise;
    struct seal_first first;
    const struct seal_aead *aead; /* the one to use; NULL: none is common */
    bool address_proven;          /* by a cookie */
};

/* Where both sides initiate at once, the lower key's initiation is the one that counts. */
static bool we_win(const struct seal_association *a, const struct opened *in)
{
    const int order = memcmp(a->port->local_static.public_key, a->remote_static, SEAL_NOISE_KEY);

    if (order)
        return order < 0;
    /* One identity on both sides: the keys of the moment decide. */
    return memcmp(a->attempt->noise.local_ephemeral.public_key, in->noise.remote_ephemeral,
                  SEAL_NOISE_KEY) < 0;
}

static uint32_t sender_index(const struct opened *in) { return stk_load_be32(in->packet + 4); }

static void begin_opening(struct seal_port *port, struct opened *in,
                          const struct seal_arrival *arrival)
{
    uint8_t agreed[64], ephemeral[SEAL_NOISE_KEY];
    const size_t agreed_len = seal_prologue(agreed, arrival->packet);

    in->run = arrival->run;
    in->packet = arrival->packet;
    in->len = arrival->len;
    in->address_proven = arrival->address_proven;
    stk_loop_random(stk_dgram_loop(&port->layer), ephemeral, sizeof(ephemeral));
    seal_noise_init(&in->noise, &port->local_static, NULL, ephemeral, agreed, agreed_len);
    sodium_memzero(ephemeral, sizeof(ephemeral));
}

/* The payload is opened where it lies. */
static struct seal_noise_reading reading_of(struct opened *in, uint8_t *packet)
{
    return (struct seal_noise_reading){
        .noise = &in->noise,
        .message = packet + SEAL_HANDSHAKE_HEADER,
        .len = in->len - SEAL_HANDSHAKE_HEADER - 2 * SEAL_MAC,
        .payload = packet + SEAL_HANDSHAKE_HEADER + SEAL_NOISE_FIRST_OVERHEAD - SEAL_TAG,
    };
}

static int read_payload(const struct seal_port *port, struct opened *in,
                        const struct seal_noise_reading *reading)
{
    if (reading->code ||
        seal_first_parse(&in->first, reading->payload, reading->len - SEAL_NOISE_FIRST_OVERHEAD))
        return -1;
    if (!seal_curve_is_same(in->first.key, in->noise.remote_static))
        return -1;
    in->aead = seal_aead_choose(in->first.ciphers & port->offer, port->provider);
    return 0;
}

/*
 * Answered by the same packet, wherever the repeated one comes from: somebody may have copied it
 * and been faster than the peer itself. But then hearing of the keys proves no single address.
 */
static void repeat_answer(struct seal_association *a, const struct opened *in)
{
    if (!a->answer->sent)
        return;
    struct seal_path *path = seal_path_of(a, in->run);
    a->answer->ambiguous |= !path || a->answer->path != path->id;
    if (!path)
        return;
    seal_path_received(path, in->len);
    seal_send_packet(a, path, a->answer->packet, a->answer->len);
}

/*
 * The association that this initiation is for; NULL if it must not be answered, or has been. Where
 * both sides have one identity, one of our own may have been sent back to us: but the tag is either
 * ours or the peer's.
 */
static struct seal_association *known_association(struct seal_association *a,
                                                  const struct opened *in)
{
    if (a->freed || a->state == SEAL_CLOSING || a->state == SEAL_DEAD)
        return NULL;
    if (in->first.sender_drew == a->initiator) {
        a->port->stats.replayed++;
        return NULL;
    }
    if (a->answer && !memcmp(a->answer->ephemeral, in->noise.remote_ephemeral, SEAL_NOISE_KEY)) {
        repeat_answer(a, in);
        return NULL;
    }
    if (in->first.timestamp <= a->received_timestamp) {
        a->port->stats.replayed++;
        return NULL;
    }
    /* Who knows the tag of our first one has got that, and gave its own up for it. */
    if (a->state == SEAL_NEW || a->state == SEAL_INITIATING)
        return NULL;
    if (a->attempt && !a->attempt->yielded && we_win(a, in))
        return NULL;
    return a;
}

/* Remembered of an association that has ended? */
static bool is_stale(struct seal_port *port, const struct opened *in)
{
    const uint64_t hash = seal_tag_hash(port, in->noise.remote_static, in->first.tag);

    if (!port->stamps || seal_stamps_is_fresh(port->stamps, hash, in->first.timestamp))
        return false;
    port->stats.replayed++;
    return true;
}

static struct seal_association *simultaneous_association(struct seal_association *a,
                                                         const struct opened *in)
{
    if ((a->attempt && we_win(a, in)) || is_stale(a->port, in))
        return NULL;
    seal_attempt_yield(a);
    a->initiator = false;
    seal_association_tag(a, in->first.tag);
    return a;
}

static struct seal_association *new_association(struct seal_port *port, struct opened *in)
{
    const uint8_t *peer = in->noise.remote_static;
    struct seal_association *a = NULL;

    if (is_stale(port, in))
        return NULL;
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
    a->initiator = !in->first.sender_drew; /* it was ours, and we have lost it */
    memcpy(a->peer_key, in->first.key, STK_KEY_BYTES);
    seal_path_begin(a, in->run->way, in->run->peer, in->run->local);
    return a;
}

static struct seal_association *association_for(struct seal_port *port, struct opened *in)
{
    const uint8_t *peer = in->noise.remote_static;
    struct seal_association *a = seal_association_by_tag(port, peer, in->first.tag);

    if (a)
        return known_association(a, in);
    if (in->first.sender_drew)
        a = seal_association_opening(port, peer, in->run->way, in->run->peer);
    if (a)
        return simultaneous_association(a, in);
    return stk_dgram_is_listening(&port->layer) ? new_association(port, in) : NULL;
}

/* Keeps what the answer needs. The answer waits for a datagram of ours only where one came. */
static void begin_answer(struct seal_association *a, struct opened *in,
                         const struct seal_path *path)
{
    seal_answer_free(a);
    a->answer = stk_alloc_zero(sizeof(*a->answer));
    if (!a->answer) {
        fail_answer(a);
        return;
    }
    a->answer->noise = in->noise;
    memcpy(a->answer->ephemeral, in->noise.remote_ephemeral, SEAL_NOISE_KEY);
    a->answer->path = path->id;
    a->answer->remote_index = sender_index(in);
    a->answer->initiation_len = (uint16_t)in->len;
    a->answer->aead = in->aead;
    if (a->held && seal_answer_send(a, a->held->data + SEAL_HEADER, a->held->len))
        seal_held_free(a);
    if (!a->answer)
        return;
    if (in->first.datagram_len)
        seal_hand_up(a, in->run, in->first.datagram, in->first.datagram_len);
    else if (!a->answer->sent)
        seal_answer_send(a, NULL, 0);
    if (a->answer && !a->answer->sent)
        seal_life_soon(a);
}

static void take_opened(struct seal_port *port, struct opened *in)
{
    struct seal_association *a = association_for(port, in);

    struct seal_path *path = a ? seal_path_of(a, in->run) : NULL;

    if (!path)
        return;
    /* While a timestamp tells that it is no recording, no doubt is left. */
    if (a->state == SEAL_READY)
        seal_attempt_free(a);
    if (a->state == SEAL_NEW || a->state == SEAL_INITIATING)
        seal_association_enter(a, SEAL_ANSWERING);
    /* With each new initiation, the time in which it has to be confirmed begins again. */
    if (a->state == SEAL_ANSWERING)
        a->made_us = seal_now(port);
    a->received_timestamp = in->first.timestamp;
    a->used_us = seal_now(port);
    seal_path_received(path, in->len);
    seal_path_called(a, path, in->run->local);
    if (in->address_proven)
        seal_path_validate(path);
    begin_answer(a, in, path);
}

static void take_together(struct seal_port *port, const struct seal_arrival *arrivals,
                          unsigned count)
{
    struct seal_noise_reading readings[SEAL_NOISE_TOGETHER];
    struct opened opened[SEAL_NOISE_TOGETHER];

    for (unsigned i = 0; i < count; i++) {
        begin_opening(port, &opened[i], &arrivals[i]);
        readings[i] = reading_of(&opened[i], arrivals[i].packet);
    }
    seal_noise_read_first(readings, count);
    for (unsigned i = 0; i < count; i++) {
        struct opened *in = &opened[i];
        if (read_payload(port, in, &readings[i]))
            port->stats.forged++;
        else if (!in->aead)
            turn_away(port, in->run, &in->noise, sender_index(in), SEAL_NO_CIPHER);
        else
            take_opened(port, in);
    }
    sodium_memzero(opened, count * sizeof(opened[0]));
}

void seal_take_waiting(struct seal_port *port)
{
    struct seal_waiting *waiting = port->waiting;

    for (unsigned from = 0, part; from < waiting->count; from += part) {
        part = waiting->count - from;
        if (part > SEAL_NOISE_TOGETHER)
            part = SEAL_NOISE_TOGETHER;
        take_together(port, waiting->arrivals + from, part);
    }
    waiting->count = 0;
}

void seal_take_initiation(struct seal_port *port, const struct stk_run *run, uint8_t *packet,
                          size_t len)
{
    const bool loaded = seal_meter_count(&port->meter, seal_now(port)) > port->load;
    struct seal_waiting *waiting = port->waiting;

    port->stats.initiations_received++;
    if (!seal_mac1_verify(&port->macs, packet, packet + len - 2 * SEAL_MAC)) {
        port->stats.forged++;
        return;
    }
    if (loaded && refuse_load(port, run, packet, len))
        return;
    waiting->arrivals[waiting->count++] = (struct seal_arrival){run, packet, len, loaded};
    if (waiting->count == SEAL_WAITING)
        seal_take_waiting(port);
}
