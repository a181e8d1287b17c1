/*
 * Noise_IK_25519_ChaChaPoly_BLAKE2b (the Noise Protocol Framework, revision 34).
 *
 *   <- s
 *   ...
 *   -> e, es, s, ss
 *   <- e, ee, se
 *
 * Pure: no clock, no socket, no random source. The caller owns the struct, gives the ephemeral
 * secret, and wipes the struct when the handshake is over, whichever way it ends.
 *
 * Exchanges that do not wait for each other are made together (exchange.h). Where that costs no
 * more, a responder makes those of its answer with those of the message that it answers.
 */
#ifndef STK_SEAL_NOISE_H
#define STK_SEAL_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SEAL_NOISE_KEY = 32,
    SEAL_NOISE_TAG = 16,
    SEAL_NOISE_HASH = 64,
    SEAL_NOISE_FIRST_OVERHEAD = 32 + 48 + 16, /* bytes that message 1 adds to its payload */
    SEAL_NOISE_SECOND_OVERHEAD = 32 + 16,
    SEAL_NOISE_TOGETHER = 8, /* first messages that are read in one call */
};

struct seal_noise_pair {
    uint8_t public_key[SEAL_NOISE_KEY];
    uint8_t secret[SEAL_NOISE_KEY];
};

/* What may be done next: a message out of turn is a bug of the caller's and asserted. */
enum seal_noise_step {
    SEAL_NOISE_FIRST,
    SEAL_NOISE_SECOND,
    SEAL_NOISE_SPLIT,
    SEAL_NOISE_OVER,
};

struct seal_noise {
    uint8_t hash[SEAL_NOISE_HASH];
    uint8_t chaining_key[SEAL_NOISE_HASH];
    uint8_t key[SEAL_NOISE_KEY];
    struct seal_noise_pair local_static, local_ephemeral;
    uint8_t remote_static[SEAL_NOISE_KEY], remote_ephemeral[SEAL_NOISE_KEY];
    uint8_t ee[SEAL_NOISE_KEY], se[SEAL_NOISE_KEY]; /* a responder's */
    uint64_t nonce;
    enum seal_noise_step step;
    bool initiator;
    bool answer_ready; /* local_ephemeral's public key, ee and se are made */
};

/*
 * `remote_static` is the responder's key on the initiator's side and NULL on the responder's. The
 * ephemeral secret is to be random, and never used twice.
 */
void seal_noise_init(struct seal_noise *noise, const struct seal_noise_pair *local_static,
                     const uint8_t *remote_static, const uint8_t ephemeral_secret[SEAL_NOISE_KEY],
                     const void *prologue, size_t prologue_len);
void seal_noise_wipe(struct seal_noise *noise);

/* Writes payload_len + overhead bytes. 0, or -1 if the peer's key is a point of low order. */
int seal_noise_write_first(struct seal_noise *noise, const uint8_t *payload, size_t payload_len,
                           uint8_t *out);
int seal_noise_write_second(struct seal_noise *noise, const uint8_t *payload, size_t payload_len,
                            uint8_t *out);

/* A first message to be read. */
struct seal_noise_reading {
    struct seal_noise *noise; /* its own */
    const uint8_t *message;
    size_t len;
    uint8_t *payload; /* gets len - overhead bytes; may lie over the message's own */
    int code; /* result: 0, or -1 if it does not authenticate; then the noise is to be wiped */
};

/* Of up to SEAL_NOISE_TOGETHER initiators. */
void seal_noise_read_first(struct seal_noise_reading *readings, unsigned count);

/*
 * Reads a message of `len` bytes; writes len - overhead bytes of payload, which may lie over the
 * message's own. After a failure, -1, the struct is as it was before: a forged answer can't end a
 * handshake.
 */
int seal_noise_read_second(struct seal_noise *noise, const uint8_t *message, size_t len,
                           uint8_t *payload);

/* The two transport keys: the initiator's sending one first. */
void seal_noise_split(struct seal_noise *noise, uint8_t from_initiator[SEAL_NOISE_KEY],
                      uint8_t from_responder[SEAL_NOISE_KEY]);

#endif
