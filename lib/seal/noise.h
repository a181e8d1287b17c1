/*
 * Noise_IK_25519_ChaChaPoly_BLAKE2b (the Noise Protocol Framework, revision 34).
 *
 *   <- s
 *   ...
 *   -> e, es, s, ss
 *   <- e, ee, se
 *
 * Pure: no clock, no socket, no random source. The caller owns the struct, gives the ephemeral
 * secrets, and wipes the struct when the handshake is over, whichever way it ends.
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
    uint64_t nonce;
    enum seal_noise_step step;
    bool initiator;
};

/* `remote_static` is the responder's key on the initiator's side and NULL on the responder's. */
void seal_noise_init(struct seal_noise *noise, bool initiator,
                     const struct seal_noise_pair *local_static, const uint8_t *remote_static,
                     const void *prologue, size_t prologue_len);
void seal_noise_wipe(struct seal_noise *noise);

/* Writes payload_len + overhead bytes. 0, or -1 if the peer's key is a point of low order. */
int seal_noise_write_first(struct seal_noise *noise, const uint8_t ephemeral_secret[SEAL_NOISE_KEY],
                           const uint8_t *payload, size_t payload_len, uint8_t *out);
int seal_noise_write_second(struct seal_noise *noise,
                            const uint8_t ephemeral_secret[SEAL_NOISE_KEY], const uint8_t *payload,
                            size_t payload_len, uint8_t *out);
/*
 * Reads a message of `len` bytes; writes len - overhead bytes of payload, which may lie over the
 * message's own. -1 if it does not authenticate: the struct is then of no use but to be wiped.
 */
int seal_noise_read_first(struct seal_noise *noise, const uint8_t *message, size_t len,
                          uint8_t *payload);
/* After a failure the struct is as it was before: a forged answer can't end a handshake. */
int seal_noise_read_second(struct seal_noise *noise, const uint8_t *message, size_t len,
                           uint8_t *payload);

/* The two transport keys: the initiator's sending one first. */
void seal_noise_split(struct seal_noise *noise, uint8_t from_initiator[SEAL_NOISE_KEY],
                      uint8_t from_responder[SEAL_NOISE_KEY]);

#endif
