/*
 * The messages of seal, version 1. Numbers are big-endian. docs/seal.md explains them.
 *
 *   initiation  0 type 0xC1, 1 version, 2 zero (2), 4 sender index (4), 8 ephemeral (32),
 *               40 sealed static (48), 88 sealed payload (n + 16), mac1 (16), mac2 (16)
 *     payload   0 timestamp (8), 8 association tag (8), 16 Ed25519 key (32), 48 whose tag (1),
 *               49 ciphers (1), 50 datagram length (2), 52 datagram, zeros
 *   response    0 type 0xC2, 1 version, 2 zero (2), 4 receiver index (4), 8 ephemeral (32),
 *               40 sealed payload (n + 16), mac1 (16)
 *     payload   0 status (1), 1 cipher (1), 2 datagram length (2), 4 sender index (4),
 *               8 timestamp (8), 16 datagram
 *   cookie      0 type 0xC3, 1 version, 2 zero (2), 4 receiver index (4), 8 nonce (24),
 *               32 sealed cookie (16 + 16)
 *   data        0 type 0xC4, 1 receiver index (4), 5 low half of the counter (4), 9 ciphertext, tag
 *   control     the same with type 0xC5; plaintext: 0 kind (1), 1 body
 *
 * The first bytes lie apart from those of STUN, TURN channels, DTLS and RTP (RFC 7983), so that
 * these can share the socket.
 */
#ifndef STK_SEAL_WIRE_H
#define STK_SEAL_WIRE_H

#include "base.h"
#include "noise.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define SEAL_PROLOGUE "libstack seal 1"

enum seal_message {
    SEAL_INITIATION = 0xC1,
    SEAL_RESPONSE = 0xC2,
    SEAL_COOKIE = 0xC3,
    SEAL_DATA = 0xC4,
    SEAL_CONTROL = 0xC5,
};

enum seal_control {
    SEAL_KEEPALIVE = 1, /* nothing */
    SEAL_CHALLENGE = 2, /* a token (8): send it back */
    SEAL_ECHO = 3,      /* the token of a challenge */
    SEAL_CLOSE = 4,     /* nothing: the sender forgets the association */
};

enum seal_status {
    SEAL_ACCEPTED = 0,
    SEAL_REFUSED = 1,   /* this key is not allowed here */
    SEAL_BUSY = 2,      /* no room for another association */
    SEAL_NO_CIPHER = 3, /* none is common */
};

enum {
    SEAL_VERSION = 1,
    SEAL_MAC = 16,
    SEAL_COOKIE_BYTES = 16,
    SEAL_COOKIE_NONCE = 24,
    SEAL_TOKEN = 8,

    SEAL_HANDSHAKE_HEADER = 8,
    SEAL_FIRST_FIELDS = 52, /* of an initiation's payload before the datagram */
    SEAL_SECOND_FIELDS = 16,
    SEAL_HEADER = 9, /* of data and control */
    SEAL_OVERHEAD = SEAL_HEADER + 16,
    SEAL_CHALLENGE_BYTES = SEAL_OVERHEAD + 1 + SEAL_TOKEN, /* a whole packet */

    SEAL_INITIATION_OVERHEAD =
        SEAL_HANDSHAKE_HEADER + SEAL_NOISE_FIRST_OVERHEAD + SEAL_FIRST_FIELDS + 2 * SEAL_MAC,
    SEAL_RESPONSE_OVERHEAD =
        SEAL_HANDSHAKE_HEADER + SEAL_NOISE_SECOND_OVERHEAD + SEAL_SECOND_FIELDS + SEAL_MAC,
    SEAL_COOKIE_SIZE = SEAL_HANDSHAKE_HEADER + SEAL_COOKIE_NONCE + SEAL_COOKIE_BYTES + 16,

    /* An initiation is padded to this: what it may cause to be sent back is thrice as much. */
    SEAL_INITIATION_MIN = 480,
    SEAL_FIRST_DATAGRAM_MAX = 1200, /* a longer one does not travel in a handshake */
    SEAL_INITIATION_MAX = SEAL_INITIATION_OVERHEAD + SEAL_FIRST_DATAGRAM_MAX,
    SEAL_RESPONSE_MAX = SEAL_RESPONSE_OVERHEAD + SEAL_FIRST_DATAGRAM_MAX,
    SEAL_AMPLIFICATION = 3,
};

static_assert(SEAL_INITIATION_OVERHEAD == 188, "as docs/seal.md says");
static_assert(SEAL_RESPONSE_OVERHEAD == 88, "as docs/seal.md says");
static_assert(SEAL_COOKIE_SIZE == 64, "as docs/seal.md says");
static_assert(SEAL_RESPONSE_OVERHEAD <= SEAL_AMPLIFICATION * SEAL_INITIATION_MIN,
              "an answer without datagram always fits");
static_assert(SEAL_HANDSHAKE_HEADER + SEAL_NOISE_FIRST_OVERHEAD - 16 == 88, "sealed payload");

/* The plaintext of an initiation. `datagram` points into what was parsed. */
struct seal_first {
    uint64_t timestamp;
    uint64_t tag;
    uint8_t key[32];
    bool sender_drew; /* the tag; otherwise the receiver did */
    uint8_t ciphers;
    uint16_t datagram_len;
    const uint8_t *datagram;
};

struct seal_second {
    uint8_t status; /* enum seal_status, or one of a later version */
    uint8_t cipher; /* enum seal_cipher */
    uint32_t index;
    uint64_t timestamp; /* of the newest initiation of this side's own; 0: there was none */
    uint16_t datagram_len;
    const uint8_t *datagram;
};

/* 0, or -1 if the bytes are no such message; all lengths are checked. */
int seal_first_parse(struct seal_first *first, const uint8_t *payload, size_t len);
int seal_second_parse(struct seal_second *second, const uint8_t *payload, size_t len);
/* Bytes written, padded with zeros to `least`. Room is the caller's care: fields + datagram. */
size_t seal_first_write(const struct seal_first *first, uint8_t *payload, size_t least);
size_t seal_second_write(const struct seal_second *second, uint8_t *payload);

void seal_handshake_header(uint8_t header[SEAL_HANDSHAKE_HEADER], enum seal_message type,
                           uint32_t index);
/* Which message this is by its first bytes and its length; 0 if none. */
int seal_message_type(const uint8_t *packet, size_t len);

static inline int seal_is_sealed_type(int type)
{
    return type == SEAL_DATA || type == SEAL_CONTROL;
}

/* --- The header of data and control ------------------------------------------------------------
 */

static inline void seal_header_write(uint8_t header[SEAL_HEADER], enum seal_message type,
                                     uint32_t index, uint64_t counter)
{
    header[0] = (uint8_t)type;
    stk_store_be32(header + 1, index);
    stk_store_be32(header + 5, (uint32_t)counter);
}

static inline uint32_t seal_header_index(const uint8_t header[SEAL_HEADER])
{
    return stk_load_be32(header + 1);
}

/* The one nearest to `next` that has this low half. A wrong one opens nothing. */
static inline uint64_t seal_header_counter(const uint8_t header[SEAL_HEADER], uint64_t next)
{
    return stk_number_near(stk_load_be32(header + 5), 32, next, UINT64_MAX);
}

/* Do both have the type and the index in common? */
static inline bool seal_header_is_alike(const uint8_t a[SEAL_HEADER], const uint8_t b[SEAL_HEADER])
{
    return a[0] == b[0] && seal_header_index(a) == seal_header_index(b);
}

#endif
