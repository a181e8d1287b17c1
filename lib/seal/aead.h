/*
 * The ciphers of a sealed association, behind one small record each.
 *
 * They work on runs of datagrams in place. Before each datagram lie `header` bytes that are
 * authenticated with it, behind it SEAL_TAG bytes of room for the tag. The nonce is the packet
 * counter, so a key must never seal two packets under one counter.
 */
#ifndef STK_SEAL_AEAD_H
#define STK_SEAL_AEAD_H

#include "dgram.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SEAL_TAG = 16,
    SEAL_CIPHER_KEY = 32,
};

/* Bits of the capabilities that handshakes carry; the responder takes the highest common one. */
enum seal_cipher {
    SEAL_CHACHA20_POLY1305 = 1,
    SEAL_AES_256_GCM = 2,
};

struct seal_aead;

struct seal_aead_key {
    const struct seal_aead *aead; /* NULL: no key */
    union {
        uint8_t bytes[SEAL_CIPHER_KEY];
        void *context;
    };
};

struct seal_aead {
    const char *name;
    enum seal_cipher bit;
    uint64_t rekey_after_packets;
    bool (*available)(void); /* and fast on this machine */
    int (*init)(struct seal_aead_key *key, const uint8_t bytes[SEAL_CIPHER_KEY]); /* or -ENOMEM */
    void (*wipe)(struct seal_aead_key *key);
    /* Datagram i of the plaintext run gets counter + i. Tails that lie elsewhere are put in place
     * one by one, each just before it is sealed, so that the cipher finds it in the cache. */
    void (*seal_run)(struct seal_aead_key *key, const struct stk_run *run, unsigned header,
                     uint64_t counter);
    /*
     * The run's datagrams are whole packets: header, ciphertext, tag; each at least header +
     * SEAL_TAG bytes. Bit i of the result is set if packet i is genuine and its plaintext now
     * stands behind its header; the bytes of others are spent.
     */
    uint64_t (*open_run)(struct seal_aead_key *key, const struct stk_run *run, unsigned header,
                         const uint64_t counters[STK_RUN_COUNT_MAX]);
};

extern const struct seal_aead seal_aead_chacha20_poly1305;
extern const struct seal_aead seal_aead_aes_256_gcm;

/* The bits of all ciphers that this machine offers; ChaCha20-Poly1305 is always among them. */
unsigned seal_aead_offer(void);
/* The best of these, NULL if none is known here. */
const struct seal_aead *seal_aead_choose(unsigned bits);
/* By name; NULL if unknown or not available. */
const struct seal_aead *seal_aead_find(const char *name);

int seal_aead_key_init(struct seal_aead_key *key, const struct seal_aead *aead,
                       const uint8_t bytes[SEAL_CIPHER_KEY]);
void seal_aead_key_wipe(struct seal_aead_key *key);

#endif
