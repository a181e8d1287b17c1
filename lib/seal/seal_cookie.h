/*
 * The macs that stand at the end of handshake messages, and the cookies that a listener under load
 * demands (after WireGuard's idea).
 *
 * mac1 proves that the sender knows the receiver's public key: to strangers a listener is silent.
 * mac2 proves that the sender received a cookie at its address: it can't be spoofed.
 *
 * Pure but for the caller's time and random bytes.
 */
#ifndef STK_SEAL_COOKIE_H
#define STK_SEAL_COOKIE_H

#include "base.h"
#include "seal_wire.h"

#include <stdbool.h>

enum {
    SEAL_MAC_KEY = 32,
    SEAL_COOKIE_LIFE_US = 120 * 1000 * 1000,
    SEAL_COOKIE_RANDOM = 32 + 16, /* random bytes that a renewal takes */
};

/* The keys that belong to a receiver's static public key. */
struct seal_mac_keys {
    uint8_t mac1[SEAL_MAC_KEY];
    uint8_t cookie[SEAL_MAC_KEY];
};

void seal_mac_keys_of(struct seal_mac_keys *keys, const uint8_t static_key[SEAL_NOISE_KEY]);

/* Over all of the message before `mac`. */
void seal_mac1_write(const struct seal_mac_keys *keys, const uint8_t *message, uint8_t *mac);
bool seal_mac1_verify(const struct seal_mac_keys *keys, const uint8_t *message, const uint8_t *mac);
void seal_mac2_write(const uint8_t cookie[SEAL_COOKIE_BYTES], const uint8_t mac1[SEAL_MAC],
                     uint8_t mac2[SEAL_MAC]);

/* A listener's secrets: the one in use and the one before it. */
struct seal_cookie_jar {
    uint8_t secret[2][32];
    uint8_t nonce[SEAL_COOKIE_NONCE - 8]; /* then comes the number of the reply */
    uint64_t replies;
    uint64_t born_us;
    bool filled;
};

/* Renews the secret when it is due; `random` is fresh each time. */
void seal_cookie_jar_turn(struct seal_cookie_jar *jar, uint64_t now_us,
                          const uint8_t random[SEAL_COOKIE_RANDOM]);
/* One that was never used before. */
void seal_cookie_nonce(struct seal_cookie_jar *jar, uint8_t nonce[SEAL_COOKIE_NONCE]);
bool seal_cookie_jar_due(const struct seal_cookie_jar *jar, uint64_t now_us);
/* Is mac2 at the end of this initiation made with a cookie for this address? */
bool seal_cookie_verify(const struct seal_cookie_jar *jar, const struct stk_addr *from,
                        const uint8_t *initiation, size_t len);
/* The reply to an initiation: SEAL_COOKIE_SIZE bytes. */
void seal_cookie_reply(const struct seal_cookie_jar *jar, const struct seal_mac_keys *own,
                       const struct stk_addr *from, const uint8_t *initiation, size_t len,
                       const uint8_t nonce[SEAL_COOKIE_NONCE], uint8_t reply[SEAL_COOKIE_SIZE]);
/* On the initiator's side, with the mac1 of what was sent. 0, or -1 if it is forged. */
int seal_cookie_open(const struct seal_mac_keys *peer, const uint8_t sent_mac1[SEAL_MAC],
                     const uint8_t reply[SEAL_COOKIE_SIZE], uint8_t cookie[SEAL_COOKIE_BYTES]);

#endif
