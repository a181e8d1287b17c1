/*
 * Pins: the SHA-256 of a peer's SubjectPublicKeyInfo (RFC 7469 section 2.4), in base64,
 * base64url or hex. One of several must fit, so that a key can be replaced.
 */
#ifndef STK_TLS_PIN_H
#define STK_TLS_PIN_H

#include "tls.h"

#include <openssl/x509.h>

enum { TLS_PIN_BYTES = 32, TLS_PIN_TEXT_BYTES = 45 };

struct tls_pins {
    uint8_t list[STK_TLS_PINS_MAX][TLS_PIN_BYTES];
    unsigned count;
};

/* Pins are separated by ';'. */
int tls_pins_parse(struct tls_pins *pins, const char *text, struct stk_error *error);
bool tls_pin_of(X509 *certificate, uint8_t pin[TLS_PIN_BYTES]);
/* True without pins. */
bool tls_pins_accept(const struct tls_pins *pins, X509 *certificate);
const char *tls_pin_format(const uint8_t pin[TLS_PIN_BYTES], char text[TLS_PIN_TEXT_BYTES]);

#endif
