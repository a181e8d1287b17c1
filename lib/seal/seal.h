/*
 * Seal: authenticated encryption of datagrams between two known keys.
 *
 * An identity is an Ed25519 key pair; its public key, 52 characters of text, is what people
 * exchange. The layer "seal" stands on datagrams and offers datagrams:
 *
 *   /ip4/192.0.2.7/udp/4001/seal,peer=KEY/ptcp
 *
 * docs/seal.md specifies what goes over the wire.
 */
#ifndef STK_SEAL_SEAL_H
#define STK_SEAL_SEAL_H

#include "dgram.h"
#include "recipe.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    STK_KEY_BYTES = 32,    /* an Ed25519 public key */
    STK_KEY_TEXT_MAX = 53, /* its text, with the NUL */
};

struct stk_key_pair {
    uint8_t public_key[STK_KEY_BYTES];
    uint8_t seed[32]; /* the secret: an Ed25519 seed */
};

/* A fresh pair from the kernel's randomness. */
void stk_key_pair_new(struct stk_key_pair *pair);
void stk_key_pair_from_seed(struct stk_key_pair *pair, const uint8_t seed[32]);
void stk_key_pair_wipe(struct stk_key_pair *pair);

/* Lowercase letters and digits, nothing that a shell or a double click would split. Returns
 * `text`. */
const char *stk_key_format(const uint8_t key[STK_KEY_BYTES], char text[STK_KEY_TEXT_MAX]);
/* 0 or STK_ESYNTAX; the error's text (`error` may be NULL) says which character is wrong. */
int stk_key_parse(uint8_t key[STK_KEY_BYTES], const char *text, struct stk_error *error);

/*
 * Reads an identity file. With `create` a missing one is made, with its directories, readable by
 * its owner only; two processes that do so at once end with the same key. 0 or an error:
 * -ENOENT, -EACCES if others can read the file, STK_ESYNTAX if it is no identity, or what the
 * system says.
 */
int stk_identity_load(const char *path, bool create, struct stk_key_pair *pair,
                      struct stk_error *error);

/*
 * The identity of all sealed ports of this loop that name none themselves. It is not copied: it
 * must stay until the ports are open. NULL takes it back. 0 or -ENOMEM.
 */
int stk_seal_set_identity(struct stk_loop *loop, const struct stk_key_pair *pair);

/* Counters of one sealed port: stk_port_query(port, STK_QUERY_SEAL_STATS, 0, …). */
enum { STK_QUERY_SEAL_STATS = 600 };

struct stk_seal_stats {
    uint64_t associations; /* now */
    uint64_t initiations_sent, initiations_received;
    uint64_t handshakes; /* completed, on either side */
    uint64_t refused;    /* initiations of keys that are not allowed */
    uint64_t cookies_sent, cookies_received;
    uint64_t replayed;  /* packets with a counter or a timestamp that was seen before */
    uint64_t forged;    /* packets that do not authenticate */
    uint64_t malformed; /* packets that are none of ours */
    uint64_t limited;   /* initiations dropped by a rate limit or because the table is full */
    uint64_t moved;     /* validated changes of a peer's address */
};

extern const struct stk_dgram_type stk_seal_layer;
/* What recipes know it by: "seal". */
extern const struct stk_layer_type stk_layer_seal;

#endif
