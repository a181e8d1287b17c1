/*
 * OpenSSL reads and writes the layer below through this BIO: bytes go straight from its record
 * buffer down, and what the layer below does not take is staged, within a bound.
 */
#ifndef STK_TLS_BIO_H
#define STK_TLS_BIO_H

#include "tls_layer.h"

/* Attaches a BIO to tls->ssl. -ENOMEM. */
int tls_bio_attach(struct tls_layer *tls);
/* Hands staged bytes down. 0 when none are left, STK_AGAIN (TX follows), or the error. */
int tls_bio_drain(struct tls_layer *tls);

#endif
