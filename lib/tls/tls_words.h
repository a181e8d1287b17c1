/* Certificates, times and bytes of strangers as short printable text. */
#ifndef STK_TLS_WORDS_H
#define STK_TLS_WORDS_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TLS_WORDS_NAME_BYTES = 72,
    TLS_WORDS_NAMES_BYTES = 120,
    TLS_WORDS_DATE_BYTES = 24,
};

/* The common name, or the organisation; "?" if it has neither. All return `out`. */
const char *tls_words_subject(const X509_NAME *name, char out[TLS_WORDS_NAME_BYTES]);
/* What a certificate is best known by: its first DNS name, else its subject. */
const char *tls_words_certificate(X509 *certificate, char out[TLS_WORDS_NAME_BYTES]);
/* Its DNS names and addresses, "a.example, 192.0.2.1, …"; "no name at all". */
const char *tls_words_alternatives(X509 *certificate, char out[TLS_WORDS_NAMES_BYTES]);
/* "2026-11-22 21:35" in UTC. */
const char *tls_words_date(const ASN1_TIME *time, char out[TLS_WORDS_DATE_BYTES]);
/* Bytes with '.' for what is not printable. */
void tls_words_printable(const uint8_t *data, size_t len, char *out, size_t size);

#endif
