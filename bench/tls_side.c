/* The other reference: OpenSSL's TLS 1.3 with AES-128-GCM on a blocking TCP socket. */
#include "side.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
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

static SSL *tls_over(int fd, SSL_CTX *ctx)
{
    SSL *ssl = NULL;

    if (fd < 0 || !ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"))
        return NULL;
    SSL_CTX_set_num_tickets(ctx, 0);
    ssl = SSL_new(ctx);
    if (ssl && SSL_set_fd(ssl, fd))
        return ssl;
    SSL_free(ssl);
    return NULL;
}

int tls_receive(struct side *side)
{
    const char *certificate = side->stage->certificate;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl = tls_over(tcp_accept_one(side), ctx);
    char *buffer = malloc(READ_BYTES);
    int got;

    if (!ssl || !buffer || SSL_use_certificate_file(ssl, certificate, SSL_FILETYPE_PEM) <= 0 ||
        SSL_use_PrivateKey_file(ssl, certificate, SSL_FILETYPE_PEM) <= 0 || SSL_accept(ssl) <= 0)
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
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = tls_over(tcp_connect_one(side), ctx);
    int wrote;

    if (!ssl || !SSL_CTX_load_verify_file(ctx, side->stage->certificate))
        return side_failed(side, "no TLS");
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (!SSL_set1_host(ssl, "bench.example") || SSL_connect(ssl) <= 0)
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
