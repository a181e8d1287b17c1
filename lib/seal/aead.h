/*
 * The ciphers of a sealed association, behind one small record each.
 *
 * A cipher may be there several times, from several libraries; which one is used is nobody's
 * concern but this machine's. They work on runs of datagrams in place. Before each datagram lie
 * `header` bytes that are authenticated with it, behind it SEAL_TAG bytes of room for the tag. The
 * nonce is made from the packet counter, so a key must never seal two packets under one counter.
 */
#ifndef STK_SEAL_AEAD_H
#define STK_SEAL_AEAD_H

#include "dgram.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SEAL_TAG = 16,
    SEAL_NONCE = 12,
    SEAL_CIPHER_KEY = 32, /* what a handshake gives for one direction */
    SEAL_AES_128_KEY = 16,
};

/* Bits of the capabilities that handshakes carry. */
enum seal_cipher {
    SEAL_CHACHA20_POLY1305 = 1,
    SEAL_AES_256_GCM = 2,
    SEAL_AES_128_GCM = 4,
    SEAL_CIPHERS = 7,
};

/*
 * Packets under one key of AES-GCM, then there is a new one: even at 64 KiB each that is 2^40
 * blocks, and whoever tells them from random bytes succeeds with 2^-49 (docs/security.md).
 */
#define SEAL_GCM_PACKETS (UINT64_C(1) << 28)

/* Where AES-GCM may come from. ChaCha20-Poly1305 is OpenSSL's always. */
enum seal_provider {
    SEAL_ANY_PROVIDER,
    SEAL_OPENSSL,
    SEAL_IPSEC_MB,
};

struct seal_aead {
    const char *name; /* of the cipher */
    enum seal_cipher bit;
    enum seal_provider provider;
    uint64_t rekey_after_packets;
    size_t expanded_size;    /* bytes of a key that is ready for use, aligned to 64 */
    bool (*available)(void); /* and fast on this machine */
    /* What the cipher's calls work with. 0 or -ENOMEM. */
    int (*expand)(const struct seal_aead *aead, void *expanded,
                  const uint8_t bytes[SEAL_CIPHER_KEY]);
    /* Zeroes it, and frees what belongs to it; the memory itself is the caller's. */
    void (*wipe)(const struct seal_aead *aead, void *expanded);
    /*
     * Datagram i of the plaintext run gets counter + i. Tails that lie elsewhere are read there.
     */
    void (*seal_run)(void *expanded, const struct stk_run *run, unsigned header, uint64_t counter);
    /*
     * The run's datagrams are whole packets: header, ciphertext, tag; each at least header +
     * SEAL_TAG bytes. Bit i of the result is set if packet i is genuine and its plaintext now
     * stands behind its header; the bytes of others are spent.
     */
    uint64_t (*open_run)(void *expanded, const struct stk_run *run, unsigned header,
                         const uint64_t counters[STK_RUN_COUNT_MAX]);
};

/* The bits of all ciphers that this machine offers; ChaCha20-Poly1305 is always among them. */
unsigned seal_aead_offer(enum seal_provider provider);
/* The best of these ciphers from its fastest library; NULL if none is known here. */
const struct seal_aead *seal_aead_choose(unsigned bits, enum seal_provider provider);
/* The bit of a cipher by its name; 0 if there is none. */
unsigned seal_aead_bit(const char *name);

/*
 * All that can be chosen on this machine, best first; NULL ends it. For tests and measurements.
 */
const struct seal_aead *seal_aead_at(unsigned i);

/*
 * The plaintext of a datagram in one piece, for ciphers that write elsewhere than they read: where
 * its tail lies, the datagram's start takes the place of what stands before the tail, for a while.
 */
struct seal_plain {
    uint8_t *bytes;
    uint8_t *borrowed; /* NULL: nothing was */
    uint8_t kept[STK_GATHER_ROOM];
};

static inline void seal_plain_begin(struct seal_plain *plain, const struct stk_run *run, unsigned i)
{
    const size_t tail = run->gather ? run->gather[i].iov_len : 0;
    const size_t start = stk_run_size(run, i) - tail;

    plain->bytes = stk_run_at(run, i);
    plain->borrowed = NULL;
    if (tail == 0)
        return;
    if (start > STK_GATHER_ROOM) {
        stk_run_place(run, i);
        return;
    }
    plain->borrowed = (uint8_t *)run->gather[i].iov_base - STK_GATHER_ROOM;
    memcpy(plain->kept, plain->borrowed, STK_GATHER_ROOM);
    memcpy(plain->borrowed + STK_GATHER_ROOM - start, plain->bytes, start);
    plain->bytes = plain->borrowed + STK_GATHER_ROOM - start;
}

static inline void seal_plain_end(const struct seal_plain *plain)
{
    if (plain->borrowed)
        memcpy(plain->borrowed, plain->kept, STK_GATHER_ROOM);
}

/* AES-GCM's nonce, as Noise has it: 32 zero bits, then the counter with its highest byte first.
 * `mask` is added to all of it. */
static inline void seal_gcm_nonce(uint8_t nonce[SEAL_NONCE], const uint8_t mask[SEAL_NONCE],
                                  uint64_t counter)
{
    memcpy(nonce, mask, 4);
    stk_store_be64(nonce + 4, stk_load_be64(mask + 4) ^ counter);
}

/*
 * The mask of an AES-128 key: bytes of the handshake's that the cipher has no use for. It makes
 * the nonces of different sessions differ, so that somebody who records many of them gains nothing
 * by trying one guess of a 128-bit key on all. With 256 bits there is nothing to gain: no mask.
 */
static inline void seal_gcm_mask(uint8_t mask[SEAL_NONCE], enum seal_cipher bit,
                                 const uint8_t bytes[SEAL_CIPHER_KEY])
{
    memset(mask, 0, SEAL_NONCE);
    if (bit == SEAL_AES_128_GCM)
        memcpy(mask, bytes + SEAL_AES_128_KEY, SEAL_NONCE);
}

#endif
