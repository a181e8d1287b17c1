#include "seal_state.h"

#include "layer.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* --- Identity and options ----------------------------------------------------------------------
 */

static const char identity_key; /* its address names the loop's default identity */

int stk_seal_set_identity(struct stk_loop *loop, const struct stk_key_pair *pair)
{
    return stk_loop_set_data(loop, &identity_key, (void *)(uintptr_t)pair, NULL);
}

const struct stk_key_pair *seal_loop_identity(const struct seal_port *port)
{
    return stk_loop_data(stk_dgram_loop(&port->layer), &identity_key);
}

static int choose_identity(struct seal_port *port, const char *path)
{
    struct stk_dgram_layer *layer = &port->layer;
    const struct stk_key_pair *shared = seal_loop_identity(port);
    struct stk_error error = {0};
    uint8_t seed[32];

    if (path) {
        const int code = stk_identity_load(path, false, &port->identity, &error);
        return code ? stk_dgram_fail(layer, code, "%s", error.text) : 0;
    }
    if (shared) {
        port->identity = *shared;
        return 0;
    }
    if (stk_dgram_is_listening(layer))
        return stk_dgram_fail(layer, STK_ESYNTAX,
                              "a listener needs a key that peers can know: say "
                              "seal,identity=FILE, or set one with stk_seal_set_identity()");
    port->passing = true;
    stk_loop_random(stk_dgram_loop(layer), seed, sizeof(seed));
    stk_key_pair_from_seed(&port->identity, seed);
    sodium_memzero(seed, sizeof(seed));
    return 0;
}

static void derive_static(struct seal_port *port)
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES], public_key[STK_KEY_BYTES];

    crypto_sign_seed_keypair(public_key, secret, port->identity.seed);
    crypto_sign_ed25519_sk_to_curve25519(port->local_static.secret, secret);
    crypto_scalarmult_base(port->local_static.public_key, port->local_static.secret);
    sodium_memzero(secret, sizeof(secret));
    seal_mac_keys_of(&port->macs, port->local_static.public_key);
}

/* `name`: the option that says so. */
static int allow(struct seal_port *port, const char *name, const uint8_t key[STK_KEY_BYTES])
{
    if (!port->allowed)
        port->allowed = stk_alloc_zero(SEAL_ALLOWED_MAX * sizeof(*port->allowed));
    if (!port->allowed)
        return stk_dgram_fail(&port->layer, -ENOMEM, "no memory for the allowed keys");
    if (port->allowed_count == SEAL_ALLOWED_MAX)
        return stk_dgram_fail(&port->layer, STK_ELIMIT, "%s: at most %d keys are allowed", name,
                              SEAL_ALLOWED_MAX);
    if (crypto_sign_ed25519_pk_to_curve25519(port->allowed[port->allowed_count], key))
        return stk_dgram_fail(&port->layer, STK_ESYNTAX, "%s is a weak key", name);
    port->allowed_count++;
    return 0;
}

/* Whom to connect to, and who may connect where this side listens. */
static int read_peer(struct seal_port *port, const char *text)
{
    const bool listening = stk_dgram_is_listening(&port->layer);
    struct stk_error error = {0};

    if (!text && listening)
        return 0;
    if (!text)
        return stk_dgram_fail(&port->layer, STK_ESYNTAX,
                              "seal does not know whom to expect: say seal,peer=KEY");
    const int code = stk_key_parse(port->peer_key, text, &error);
    if (code)
        return stk_dgram_fail(&port->layer, code, "peer=: %s", error.text);
    port->has_peer = true;
    return listening ? allow(port, "peer=", port->peer_key) : 0;
}

static int read_allowed_key(struct seal_port *port, unsigned number, const char *text, size_t len)
{
    struct stk_error error = {0};
    uint8_t key[STK_KEY_BYTES];
    char one[128], name[32];

    snprintf(one, sizeof(one), "%.*s", (int)(len < sizeof(one) ? len : sizeof(one) - 1), text);
    snprintf(name, sizeof(name), "allow=, key %u", number);
    const int code = stk_key_parse(key, one, &error);
    if (code)
        return stk_dgram_fail(&port->layer, code, "%s: %s", name, error.text);
    return allow(port, name, key);
}

/* KEY+KEY+… */
static int read_allowed(struct seal_port *port, const char *text)
{
    if (!text)
        return 0;
    for (unsigned number = 1;; number++, text++) {
        const size_t len = strcspn(text, "+");
        const int code = read_allowed_key(port, number, text, len);
        if (code)
            return code;
        text += len;
        if (!*text)
            return 0;
    }
}

/* Which ciphers are offered, and from where AES-GCM comes. */
static int read_ciphers(struct seal_port *port, const struct stk_segment *segment)
{
    const char *provider = stk_segment_text(segment, "provider", "any");
    const char *cipher = stk_segment_text(segment, "cipher", NULL);

    if (!strcmp(provider, "openssl"))
        port->provider = SEAL_OPENSSL;
    else if (!strcmp(provider, "ipsec-mb"))
        port->provider = SEAL_IPSEC_MB;
    else if (strcmp(provider, "any") != 0)
        return stk_dgram_fail(&port->layer, STK_ESYNTAX,
                              "provider=%s: openssl, ipsec-mb and any are known", provider);
    port->offer = seal_aead_offer(port->provider);
    if (!cipher)
        return 0;
    const unsigned bit = seal_aead_bit(cipher);
    if (!bit)
        return stk_dgram_fail(&port->layer, STK_ESYNTAX,
                              "cipher=%s: aes-128-gcm, aes-256-gcm and chacha20-poly1305 are known",
                              cipher);
    port->offer &= bit;
    if (!port->offer)
        return stk_dgram_fail(&port->layer, -ENOTSUP,
                              "cipher=%s: this machine or this build has no %s for it", cipher,
                              port->provider == SEAL_IPSEC_MB ? "ipsec-mb" : "instructions");
    return 0;
}

static void read_numbers(struct seal_port *port, const struct stk_segment *segment)
{
    port->timeout_us = stk_segment_number(segment, "handshake-timeout", SEAL_TIMEOUT_US);
    port->keepalive_us = stk_segment_number(segment, "keepalive", 0);
    port->load = (uint32_t)stk_segment_number(segment, "load", SEAL_LOAD_DEFAULT);
    port->slot_limit =
        (uint32_t)stk_segment_number(segment, "associations", SEAL_ASSOCIATIONS_DEFAULT);
}

/* Packets of its own seal builds on the stack. The port's room counts that of seal already. */
static int check_room(struct stk_dgram_layer *layer)
{
    const int head = stk_port_head(layer->port) - SEAL_HEADER;
    const int tail = stk_port_tail(layer->port) - SEAL_TAG;

    if (head <= SEAL_MARGIN && tail <= SEAL_MARGIN)
        return 0;
    return stk_dgram_fail(layer, -ENOTSUP,
                          "the layers below take %d bytes before and %d behind each datagram; seal "
                          "stands on layers that take %d at most",
                          head, tail, SEAL_MARGIN);
}

static int init(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    struct seal_port *port = seal_port_of(layer);

    port->segment = segment;
    seal_key_cache_init(&port->keys, SEAL_KEYS_EXPANDED);
    stk_dgram_part_below(layer, SEAL_INITIATION);
    if (sodium_init() < 0)
        return stk_dgram_fail(layer, -EIO, "libsodium does not start");
    stk_loop_random(stk_dgram_loop(layer), &port->hash_seed, sizeof(port->hash_seed));
    read_numbers(port, segment);
    int code = check_room(layer);
    if (!code)
        code = read_ciphers(port, segment);
    if (!code)
        code = choose_identity(port, stk_segment_text(segment, "identity", NULL));
    if (!code)
        code = read_peer(port, stk_segment_text(segment, "peer", NULL));
    if (!code)
        code = read_allowed(port, stk_segment_text(segment, "allow", NULL));
    if (!code)
        derive_static(port);
    return code;
}

static void destroy(struct stk_dgram_layer *layer)
{
    struct seal_port *port = seal_port_of(layer);

    for (uint32_t i = 0; i < port->slot_count; i++) {
        struct seal_association *a = port->slots[i];
        if (a && !a->freed && a->state == SEAL_READY)
            seal_send_control(a, seal_path_active(a), SEAL_CLOSE);
        if (a)
            seal_association_free(a);
    }
    for (unsigned i = 0; i < STK_SEAL_TRANSPORTS_MAX; i++)
        seal_transport_free(port, i);
    stk_dgram_set_timer(layer, 0); /* the closes may have set it */
    stk_free(port->slots);
    stk_free(port->buckets);
    stk_free(port->allowed);
    if (port->limiter)
        sodium_memzero(port->limiter, sizeof(*port->limiter));
    stk_free(port->limiter);
    stk_free(port->stamps);
    stk_key_pair_wipe(&port->identity);
    sodium_memzero(&port->local_static, sizeof(port->local_static));
    sodium_memzero(&port->jar, sizeof(port->jar));
    sodium_memzero(&port->macs, sizeof(port->macs));
}

/* --- Datagrams -----------------------------------------------------------------------------------
 */

static int send_down(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    struct seal_port *port = seal_port_of(layer);
    int sent = 0;

    while (sent < count) {
        const int part = count - sent < SEAL_SEND_RUNS ? count - sent : SEAL_SEND_RUNS;
        const int taken = seal_data_send(port, runs + sent, part);
        sent += taken;
        if (taken < part)
            break;
    }
    return sent;
}

/* Packets from `from` on, a sealed one, that share type, receiver index and a sane length. */
static unsigned count_alike(const struct stk_run *run, unsigned from)
{
    const uint8_t *first = stk_run_at(run, from);
    unsigned to = from + 1;

    while (to < run->count && stk_run_size(run, to) >= SEAL_OVERHEAD &&
           seal_header_is_alike(stk_run_at(run, to), first))
        to++;
    return to - from;
}

static void take_handshake(struct seal_port *port, const struct stk_run *run, unsigned at, int type)
{
    uint8_t *packet = stk_run_at(run, at);
    const size_t len = stk_run_size(run, at);

    seal_flush_up(port);
    if (!run->peer || type == 0)
        port->stats.malformed++;
    else if (type == SEAL_INITIATION)
        seal_take_initiation(port, run, packet, len);
    else if (type == SEAL_RESPONSE)
        seal_take_response(port, run, packet, len);
    else
        seal_take_cookie(port, packet);
}

static void take_run(struct seal_port *port, const struct stk_run *run)
{
    for (unsigned i = 0; i < run->count;) {
        const int type = seal_message_type(stk_run_at(run, i), stk_run_size(run, i));
        if (!seal_is_sealed_type(type)) {
            take_handshake(port, run, i++, type);
            continue;
        }
        struct stk_run part = *run;
        part.data = stk_run_at(run, i);
        part.count = (uint16_t)count_alike(run, i);
        part.last_size = stk_run_size(run, i + part.count - 1);
        if (part.count == 1)
            part.size = part.last_size;
        seal_take_sealed(port, &part);
        i += part.count;
    }
}

void seal_take_runs(struct seal_port *port, const struct stk_run *runs, int count)
{
    struct stk_run room[SEAL_UP_RUNS];
    struct seal_replies replies;
    struct seal_waiting waiting;

    assert(!port->up);
    replies.count = 0;
    waiting.count = 0;
    port->up = room;
    port->replies = &replies;
    port->waiting = &waiting;
    for (int i = 0; i < count; i++)
        take_run(port, &runs[i]);
    seal_flush_up(port);
    seal_flush_replies(port);
    seal_take_waiting(port);
    port->up = NULL;
    port->replies = NULL;
    port->waiting = NULL;
}

static void input(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    seal_take_runs(seal_port_of(layer), runs, count);
}

/* Anybody can send such a report, as often as he likes, and there may be many associations. */
static void note_unreachable(struct seal_port *port, const struct stk_addr *peer, int code)
{
    const uint64_t now_us = seal_now(port);
    uint32_t left = port->attempts; /* mostly 0 */

    if (left == 0 || now_us - port->unreachable_us < SEAL_REPORTS_APART_US)
        return;
    port->unreachable_us = now_us;
    for (uint32_t i = 0; left && i < port->slot_count; i++) {
        struct seal_association *a = port->slots[i];
        if (!a || !a->attempt)
            continue;
        left--;
        if (stk_addr_equal(&seal_path_active(a)->peer, peer))
            a->unreachable = code;
    }
}

void seal_take_unreachable(struct seal_port *port, const struct stk_addr *peer, int code)
{
    if (peer)
        note_unreachable(port, peer, code);
    stk_dgram_unreachable_above(&port->layer, peer, code);
}

void seal_take_too_big(struct seal_port *port, const struct stk_addr *peer, uint32_t size)
{
    for (uint32_t i = 0; i < port->slot_count; i++) {
        struct seal_association *a = port->slots[i];
        if (a && stk_addr_equal(&seal_path_active(a)->peer, peer))
            stk_dgram_too_big_above(&port->layer, a->id, NULL, size);
    }
}

static void too_big(struct stk_dgram_layer *layer, const struct stk_addr *peer, uint32_t size)
{
    seal_take_too_big(seal_port_of(layer), peer, size);
}

static void unreachable(struct stk_dgram_layer *layer, const struct stk_addr *peer, int code)
{
    seal_take_unreachable(seal_port_of(layer), peer, code);
}

/* Keys that nothing was sealed or opened with lately need not stand expanded. */
static void on_timer(struct stk_dgram_layer *layer)
{
    stk_dgram_set_timer(layer, seal_key_cache_expire(&seal_port_of(layer)->keys,
                                                     stk_loop_now_us(stk_dgram_loop(layer))));
}

/* --- Associations ------------------------------------------------------------------------------
 */

static int associate(struct stk_dgram_layer *layer, const struct stk_segment *segment,
                     const struct stk_addr *peer, uint64_t *id)
{
    struct seal_port *port = seal_port_of(layer);
    uint8_t key[STK_KEY_BYTES];
    struct seal_wish wish = {
        .key = port->peer_key, .peer = peer, .own = segment != NULL, .had = segment ? *id : 0};

    if (!port->has_peer)
        return STK_EPEER;
    if (segment) {
        const int code = stk_key_parse(key, stk_segment_text(segment, "peer", ""), NULL);
        if (code)
            return code;
        wish.key = key;
    }
    return seal_associate(port, &wish, id);
}

static void doubt(struct stk_dgram_layer *layer, uint64_t id)
{
    struct seal_association *a = seal_association_by_id(seal_port_of(layer), id);

    if (a)
        seal_path_doubt(a);
}

static void renew(struct stk_dgram_layer *layer, uint64_t id)
{
    struct seal_association *a = seal_association_by_id(seal_port_of(layer), id);

    if (!a || a->state != SEAL_READY || a->attempt)
        return;
    a->rekey = true;
    seal_life_soon(a);
}

static void retain(struct stk_dgram_layer *layer, uint64_t id)
{
    struct seal_association *a = seal_association_by_id(seal_port_of(layer), id);

    if (a)
        seal_life_retain(a);
}

static void release(struct stk_dgram_layer *layer, uint64_t id)
{
    struct seal_association *a = seal_association_by_id(seal_port_of(layer), id);

    if (a && a->retained)
        seal_life_release(a);
}

static int text_answer(void *out, size_t len, const char *text)
{
    if (len == 0)
        return -ENOENT;
    snprintf(out, len, "%s", text);
    return 0;
}

static int query_path(struct seal_association *a, void *out, size_t len)
{
    char address[STK_ADDR_TEXT_MAX], text[STK_ADDR_TEXT_MAX + 16];

    snprintf(text, sizeof(text), "direct %s", stk_addr_format(&seal_path_active(a)->peer, address));
    return text_answer(out, len, text);
}

static int query_association(struct seal_association *a, int key, void *out, size_t len)
{
    const struct seal_session *s = a->current ? a->current : a->next;

    if (key == STK_QUERY_PEER_KEY && len >= STK_KEY_BYTES) {
        memcpy(out, a->peer_key, STK_KEY_BYTES);
        return 0;
    }
    if (key == STK_QUERY_PEER_ADDR && len >= sizeof(struct stk_addr)) {
        memcpy(out, &seal_path_active(a)->peer, sizeof(struct stk_addr));
        return 0;
    }
    if (key == STK_QUERY_LOCAL_ADDR && len >= sizeof(struct stk_addr) &&
        seal_path_active(a)->local.len > 0) {
        memcpy(out, &seal_path_active(a)->local, sizeof(struct stk_addr));
        return 0;
    }
    if (key == STK_QUERY_CIPHER && s)
        return text_answer(out, len, s->send.aead->name);
    if (key == STK_QUERY_PATH)
        return query_path(a, out, len);
    return -ENOENT;
}

static int query(struct stk_dgram_layer *layer, int key, uint64_t association, void *out,
                 size_t len)
{
    struct seal_port *port = seal_port_of(layer);
    struct seal_association *a = seal_association_by_id(port, association);

    if (key == STK_QUERY_SEAL_STATS && len >= sizeof(port->stats)) {
        port->stats.associations = port->live;
        memcpy(out, &port->stats, sizeof(port->stats));
        return 0;
    }
    if (key == SEAL_QUERY_PORT && len >= sizeof(port)) {
        memcpy(out, &port, sizeof(port));
        return 0;
    }
    return a ? query_association(a, key, out, len) : -ENOENT;
}

/* --- The layer -----------------------------------------------------------------------------------
 */

const struct stk_dgram_type stk_seal_layer = {
    .name = "seal",
    .size = sizeof(struct seal_port),
    .head = SEAL_HEADER,
    .tail = SEAL_TAG,
    .gathers = true,
    .init = init,
    .send = send_down,
    .input = input,
    .unreachable = unreachable,
    .too_big = too_big,
    .serves = seal_serves,
    .associate = associate,
    .retain = retain,
    .release = release,
    .doubt = doubt,
    .renew = renew,
    .on_timer = on_timer,
    .query = query,
    .destroy = destroy,
};

static const struct stk_option_type options[] = {
    {"peer", STK_OPTION_TEXT, 0, 0, "the key of the peer to connect to; on a listener: as allow="},
    {"identity", STK_OPTION_TEXT, 0, 0,
     "file with this side's key (the program's, or a passing one)"},
    {"allow", STK_OPTION_TEXT, 0, 0,
     "keys that may connect, joined by + (that of peer=, else all)"},
    {"handshake-timeout", STK_OPTION_DURATION, 1000, UINT64_C(3600000000),
     "how long to wait for the peer's first answer (15s)"},
    {"keepalive", STK_OPTION_DURATION, 1000000, UINT64_C(3600000000),
     "say something after so long a silence, while a connection uses the association (never)"},
    {"cipher", STK_OPTION_TEXT, 0, 0,
     "offer this one only: aes-128-gcm, aes-256-gcm or chacha20-poly1305 (the best that both "
     "have)"},
    {"provider", STK_OPTION_TEXT, 0, 0,
     "library for AES-GCM: openssl or ipsec-mb (any, the fastest)"},
    {"associations", STK_OPTION_NUMBER, 1, SEAL_ASSOCIATIONS_MAX, "peers at a time (16384)"},
    {"load", STK_OPTION_NUMBER, 0, UINT32_MAX,
     "handshakes a second from which on sources must prove their address (1000)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

const struct stk_layer_type stk_layer_seal = {
    .name = "seal",
    .summary = "encrypts datagrams between two known keys",
    .below = STK_DATAGRAMS,
    .above = STK_DATAGRAMS,
    .value = STK_VALUE_NONE,
    .options = options,
    .dgram = &stk_seal_layer,
};
