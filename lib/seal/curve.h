/*
 * Two shortcuts around Curve25519 that handshakes live by. Both compute on public values; secrets
 * go to libsodium, or to exchange.h.
 */
#ifndef STK_SEAL_CURVE_H
#define STK_SEAL_CURVE_H

#include <stdbool.h>
#include <stdint.h>

enum { SEAL_CURVE_BYTES = 32 };

/*
 * True if the Ed25519 key is a point of the curve, and the X25519 key is the same point in
 * Montgomery's form, both written in the one canonical way. It does not look for a part of small
 * order: an exchange that was made with the X25519 key has a factor of eight in it, which takes
 * such a part away, and fails if nothing is left. A sixth of what a conversion costs.
 */
bool seal_curve_is_same(const uint8_t ed25519[SEAL_CURVE_BYTES],
                        const uint8_t x25519[SEAL_CURVE_BYTES]);

/* The X25519 public key of a secret, in two thirds of crypto_scalarmult_base()'s time. */
void seal_curve_public(uint8_t x25519[SEAL_CURVE_BYTES], const uint8_t secret[SEAL_CURVE_BYTES]);

#endif
