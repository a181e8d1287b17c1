/* The other reference: OpenSSL's TLS 1.3 with AES-128-GCM on a blocking TCP socket. */
#include "tls_side.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* --- The certificate of both TLS cases ---------------------------------------------------------
 */

static bool describe_certificate(X509 *x, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(x);
    X509_EXTENSION *san =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:bench.example");
    const bool done =
        san && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
        X509_gmtime_adj(X509_getm_notAfter(x), 86400) &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"bench.example",
                                   -1, -1, 0) &&
        X509_set_issuer_name(x, name) && X509_add_ext(x, san, -1) && X509_set_pubkey(x, key) &&
        X509_sign(x, key, EVP_sha256());

    X509_EXTENSION_free(san);
    return done;
}

int tls_make_certificate(const char *path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    FILE *file = NULL;
    bool done = key && x && describe_certificate(x, key);

    umask(077);
    file = done ? fopen(path, "w") : NULL;
    done = file && PEM_write_X509(file, x) &&
           PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    if (file && fclose(file) != 0)
        done = false;
    X509_free(x);
    EVP_PKEY_free(key);
    return done ? 0 : -1;
}

/* --- Both sides ---------------------------------------------------------------------------------
 */

static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") && SSL_CTX_set_num_tickets(ctx, 0))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

SSL_CTX *tls_server(const struct side *side)
{
    const char *certificate = side->stage->certificate;
    SSL_CTX *ctx = new_context(TLS_server_method());

    if (ctx && SSL_CTX_use_certificate_file(ctx, certificate, SSL_FILETYPE_PEM) > 0 &&
        SSL_CTX_use_PrivateKey_file(ctx, certificate, SSL_FILETYPE_PEM) > 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

SSL_CTX *tls_client(const struct side *side)
{
    SSL_CTX *ctx = new_context(TLS_client_method());

    if (!ctx || !SSL_CTX_load_verify_file(ctx, side->stage->certificate)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

SSL *tls_over(SSL_CTX *ctx, int fd, bool server)
{
    SSL *ssl = ctx && fd >= 0 ? SSL_new(ctx) : NULL;

    if (ssl && SSL_set_fd(ssl, fd) && (server || SSL_set1_host(ssl, "bench.example")) &&
        (server ? SSL_accept(ssl) : SSL_connect(ssl)) > 0)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

int tls_receive(struct side *side)
{
    SSL_CTX *ctx = tls_server(side);
    SSL *ssl = tls_over(ctx, tcp_accept_one(side), true);
    char *buffer = malloc(READ_BYTES);
    int got;

    if (!ssl || !buffer)
        return side_failed(side, "no TLS");
    while ((got = SSL_read(ssl, buffer, READ_BYTES)) > 0)
        meter_count(&side->meter, (size_t)got);
    if (SSL_get_error(ssl, got) != SSL_ERROR_ZERO_RETURN)
        return side_failed(side, "can't receive");
    meter_finish(&side->meter);
    free(buffer);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return 0;
}

int tls_send(struct side *side)
{
    SSL_CTX *ctx = tls_client(side);
    SSL *ssl = tls_over(ctx, tcp_connect_one(side), false);
    int wrote;

    if (!ssl)
        return side_failed(side, "no TLS");
    do {
        wrote = SSL_write(ssl, side->stage->bytes, CHUNK_BYTES);
        if (wrote <= 0)
            return side_failed(side, "can't send");
    } while (!meter_count(&side->meter, (size_t)wrote));
    SSL_shutdown(ssl);
    meter_finish(&side->meter);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return 0;
}
