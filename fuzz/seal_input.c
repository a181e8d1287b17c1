/*
 * Goal: no packet and no message of a peer breaks a sealed port, and none of an outsider's is
 * taken for the peer's. An input is a list of steps: what to do (1), a length (2), bytes. Some
 * steps put on the seal that a fuzzer could never guess, so that what lies behind it is reached.
 */
#include "seal_world.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
    TO_LISTENER,
    TO_INITIATOR,
    WITH_MAC,   /* an initiation or response whose mac1 is right */
    INITIATION, /* the plaintext of an initiation */
    CONTROL,    /* the plaintext of a control message */
    DATA,
    TIME, /* passes: so many milliseconds as there are bytes */
    STEPS,
};

static struct stk_key_pair keys[3];
static struct world world;
static struct world_node *a, *b;
static uint64_t id;

static void open_pair(void)
{
    struct stk_error error = {0};
    char text[STK_KEY_TEXT_MAX], options[128];

    for (uint8_t i = 0; i < 3; i++) {
        uint8_t seed[32] = {i, 9, 9};
        stk_key_pair_from_seed(&keys[i], seed);
    }
    if (!world_init(&world, 3))
        abort();
    stk_seal_set_identity(world.loop, &keys[1]);
    if (world_open(&world, "", true, &b, &error))
        abort();
    stk_seal_set_identity(world.loop, &keys[0]);
    snprintf(options, sizeof(options), ",peer=%s", stk_key_format(keys[1].public_key, text));
    if (world_open(&world, options, false, &a, &error))
        abort();
    b->retain = true;
    if (stk_port_associate(a->port, &b->addr, &id) || world_send(a, id, "hi", 2) != 1)
        abort();
    world_run(&world, 100000);
    if (!a->ready || !b->ready)
        abort();
}

static void send_with_mac(const uint8_t *data, size_t len)
{
    uint8_t packet[WORLD_PACKET_MAX] = {SEAL_INITIATION, SEAL_VERSION};

    if (len > SEAL_INITIATION_MAX - 36)
        len = SEAL_INITIATION_MAX - 36;
    memcpy(packet + 4, data, len);
    len = len + 36 < SEAL_INITIATION_MIN ? SEAL_INITIATION_MIN : len + 36;
    seal_mac1_write(&world_seal(b)->macs, packet, packet + len - 32);
    world_inject(&world, &a->addr, &b->addr, packet, len);
}

/* What somebody who knows the listener's key may send: anything that decrypts. */
static void send_initiation(const uint8_t *data, size_t len)
{
    uint8_t packet[WORLD_PACKET_MAX] = {0}, payload[SEAL_INITIATION_MAX] = {0}, agreed[64];
    const size_t name = sizeof(SEAL_PROLOGUE) - 1;
    const struct stk_addr from = world_addr(44, 44);
    const struct seal_noise_pair *own = &world_seal(a)->local_static;
    const size_t least = SEAL_INITIATION_MIN - SEAL_INITIATION_OVERHEAD + SEAL_FIRST_FIELDS;
    const size_t most = SEAL_FIRST_FIELDS + SEAL_FIRST_DATAGRAM_MAX;
    const uint8_t ephemeral[32] = {7, 7, 7};
    struct seal_noise noise;

    memcpy(payload, data, len < most ? len : most);
    if (len && data[0] & 1) /* half of them with the key that belongs to it */
        memcpy(payload + 16, keys[0].public_key, 32);
    len = len < least ? least : len < most ? len : most;
    seal_handshake_header(packet, SEAL_INITIATION, 12345);
    memcpy(agreed, SEAL_PROLOGUE, name);
    memcpy(agreed + name, packet, SEAL_HANDSHAKE_HEADER);
    seal_noise_init(&noise, own, world_seal(b)->local_static.public_key, ephemeral, agreed,
                    name + SEAL_HANDSHAKE_HEADER);
    if (seal_noise_write_first(&noise, payload, len, packet + SEAL_HANDSHAKE_HEADER))
        abort();
    const size_t total = SEAL_HANDSHAKE_HEADER + SEAL_NOISE_FIRST_OVERHEAD + len + 32;
    seal_mac1_write(&world_seal(b)->macs, packet, packet + total - 32);
    world_inject(&world, &from, &b->addr, packet, total);
}

static void send_sealed(enum seal_message type, const uint8_t *data, size_t len)
{
    struct seal_association *association = world_association(a, id);
    struct seal_session *s = association ? association->current : NULL;
    uint8_t packet[WORLD_PACKET_MAX] = {0};
    struct stk_run run = {.data = packet + SEAL_HEADER, .count = 1};

    if (!s)
        return;
    run.size = run.last_size = (uint16_t)(len < 1500 ? len : 1500);
    memcpy(run.data, data, run.size);
    seal_header_write(packet, type, s->remote_index, s->counter);
    s->send.aead->seal_run(seal_session_key(association, &s->send, seal_now(association->port)),
                           &run, SEAL_HEADER, s->counter++);
    world_inject(&world, &a->addr, &b->addr, packet, run.size + (size_t)SEAL_OVERHEAD);
}

static void take_step(enum step step, const uint8_t *data, size_t len)
{
    const size_t raw = len < WORLD_PACKET_MAX ? len : WORLD_PACKET_MAX;

    if (step == TO_LISTENER)
        world_inject(&world, &a->addr, &b->addr, data, raw);
    if (step == TO_INITIATOR)
        world_inject(&world, &b->addr, &a->addr, data, raw);
    if (step == WITH_MAC)
        send_with_mac(data, raw);
    if (step == INITIATION)
        send_initiation(data, len);
    if (step == CONTROL || step == DATA)
        send_sealed(step == DATA ? SEAL_DATA : SEAL_CONTROL, data, len);
    if (step == TIME)
        world_run(&world, 1000 * (uint64_t)len);
    else
        world_run(&world, WORLD_DELAY_US / 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stk_reader in = stk_reader_of(data, size);

    open_pair();
    for (int steps = 0; steps < 32 && stk_reader_left(&in) >= 3; steps++) {
        const uint8_t what = stk_read_u8(&in);
        const size_t asked = stk_read_be16(&in), left = stk_reader_left(&in);
        const size_t len = asked < left ? asked : left;
        take_step(what % STEPS, stk_read_bytes(&in, len), len);
    }
    world_run(&world, 50000);
    world_free(&world);
    return 0;
}
