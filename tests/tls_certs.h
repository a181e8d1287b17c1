/*
 * A small certification authority for tests: it makes what a test names, when it runs, in a
 * directory of its own that is removed at the end.
 */
#ifndef STK_TESTS_TLS_CERTS_H
#define STK_TESTS_TLS_CERTS_H

#include <stdbool.h>
#include <stddef.h>

struct cert {
    const char *file;     /* NAME: makes NAME.crt, NAME.key and NAME.pem (both in one) */
    const char *cn;       /* common name; NULL: an empty subject */
    const char *san;      /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
    const char *issuer;   /* NAME of the CA; NULL: self-signed */
    const char *eku;      /* "serverAuth"; NULL: none */
    int from_day, to_day; /* relative to now; both 0: from yesterday to tomorrow */
    bool is_ca;
    int rsa_bits;             /* 0: P-256 */
    const char *intermediate; /* also put into NAME.crt: the certificate of this NAME */
};

/* The directory, made at the first call. */
const char *certs_dir(void);
/* "DIR/name" in one of some static buffers, for a few uses. */
const char *certs_path(const char *name);
void certs_make(const struct cert *cert);
/* ca, other-ca, server (server.example, 127.0.0.1, ::1), second, wild, client, stranger, … */
void certs_make_all(void);
/* The pin of NAME's key in base64url. */
const char *certs_pin(const char *name);
void certs_write(const char *name, const char *text);
/* TO.pem: the certificate of NAME with its key under a password. */
void certs_lock(const char *name, const char *to);
/* A directory inside; it and what is in it are removed with the rest. */
void certs_make_dir(const char *name);
void certs_remove(void);

#endif
