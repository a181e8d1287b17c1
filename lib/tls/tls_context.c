#include "tls_context.h"

#include "tls_handshake.h"
#include "tls_pem.h"
#include "tls_verify.h"

#include <openssl/err.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    READ_BUFFER_BYTES = 64 * 1024, /* some records a read; exists only while bytes do */
    SECURITY_LEVEL = 2,            /* 112 bits: RSA of 2048 bits and better */
};

/* 10 % of what AES-GCM allows under one key (RFC 8446 section 5.5: 2^24.5 records). */
static const uint64_t rekey_default_bytes = UINT64_C(32) << 30;

static int openssl_error(struct stk_error *error, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();
    return stk_error_set(error, -EPROTO, "tls", "%s: %s", what,
                         reason != NULL ? reason : "out of memory");
}

/* --- Options ---------------------------------------------------------------------------------- */

static int check_roles(const struct stk_segment *segment, bool listening, struct stk_error *error)
{
    static const char *const of_listeners[] = {"certs", "client-ca", "require"};
    static const char *const of_clients[] = {"sni", "verify", "ca", "ca-dir", "resume"};

    if (listening) {
        for (size_t i = 0; i < sizeof of_clients / sizeof *of_clients; i++)
            if (stk_segment_text(segment, of_clients[i], NULL) != NULL)
                return stk_error_set(error, STK_ESYNTAX, "tls",
                                     "%s= is for the side that connects%s", of_clients[i],
                                     strncmp(of_clients[i], "ca", 2) == 0
                                         ? ": to verify clients, give client-ca=FILE"
                                         : "");
        return 0;
    }
    for (size_t i = 0; i < sizeof of_listeners / sizeof *of_listeners; i++)
        if (stk_segment_text(segment, of_listeners[i], NULL) != NULL)
            return stk_error_set(error, STK_ESYNTAX, "tls", "%s= is for the side that listens",
                                 of_listeners[i]);
    return 0;
}

static int parse_alpn(struct tls_context *context, const char *text, struct stk_error *error)
{
    while (text != NULL) {
        const size_t len = strcspn(text, "+");

        if (len == 0 || len > 255 || context->alpn_len + 1 + len > TLS_ALPN_BYTES)
            return stk_error_set(error, STK_ESYNTAX, "tls",
                                 "alpn=: expected names separated by '+', such as "
                                 "h2+http%%2F1.1, %d bytes in all",
                                 TLS_ALPN_BYTES);
        context->alpn[context->alpn_len++] = (uint8_t)len;
        memcpy(context->alpn + context->alpn_len, text, len);
        context->alpn_len += (unsigned)len;
        text = text[len] == '+' ? text + len + 1 : NULL;
    }
    return 0;
}

static int set_versions(struct tls_context *context, struct stk_error *error)
{
    const char *min = stk_segment_text(context->segment, "min", "1.3");

    if (strcmp(min, "1.3") != 0 && strcmp(min, "1.2") != 0)
        return stk_error_set(error, STK_ESYNTAX, "tls", "min=%.20s: expected 1.2 or 1.3", min);
    SSL_CTX_set_min_proto_version(context->ssl_ctx,
                                  strcmp(min, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(context->ssl_ctx, TLS1_3_VERSION);
    return 0;
}

/* --- Trust -------------------------------------------------------------------------------------
 */

static int trust_files(X509_STORE *store, const char *file, const char *dir,
                       struct stk_error *error)
{
    int status = 0;

    if (file != NULL)
        status = tls_pem_trust(file, store, error);
    if (status == 0 && dir != NULL)
        status = tls_pem_trust_dir(dir, store, error);
    /* Whoever names a certificate trusts it, be it a root, an intermediate or the peer's own. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    return status;
}

static int set_trust_of_client(struct tls_context *context, struct stk_error *error)
{
    const char *file = stk_segment_text(context->segment, "ca", NULL);
    const char *dir = stk_segment_text(context->segment, "ca-dir", NULL);

    context->verify = stk_segment_flag(context->segment, "verify", true);
    context->needs_peer = true;
    if (file != NULL || dir != NULL)
        return trust_files(SSL_CTX_get_cert_store(context->ssl_ctx), file, dir, error);
    if (context->verify && SSL_CTX_set_default_verify_paths(context->ssl_ctx) != 1)
        return openssl_error(error, "the system's certificates can't be loaded");
    return 0;
}

static int set_trust_of_server(struct tls_context *context, struct stk_error *error)
{
    const char *file = stk_segment_text(context->segment, "client-ca", NULL);
    const bool required = stk_segment_flag(context->segment, "require", true);

    context->verify = file != NULL;
    context->needs_peer = file != NULL || context->pins.count > 0;
    if (!context->needs_peer && stk_segment_text(context->segment, "require", NULL) != NULL)
        return stk_error_set(error, STK_ESYNTAX, "tls", "require= needs client-ca=FILE or pin=");
    if (context->needs_peer)
        SSL_CTX_set_verify(context->ssl_ctx,
                           SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                           NULL);
    if (file == NULL)
        return 0;
    /* The names of these CAs are sent, so that clients with several certificates can choose. */
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (names != NULL)
        SSL_CTX_set_client_CA_list(context->ssl_ctx, names);
    ERR_clear_error();
    return trust_files(SSL_CTX_get_cert_store(context->ssl_ctx), file, NULL, error);
}

static int set_trust(struct tls_context *context, struct stk_error *error)
{
    const char *pins = stk_segment_text(context->segment, "pin", NULL);
    int status = tls_pins_parse(&context->pins, pins, error);

    if (status < 0)
        return status;
    /* In place of OpenSSL's own check, which this one calls: it adds the pins and the words. */
    SSL_CTX_set_cert_verify_callback(context->ssl_ctx, tls_verify_chain, context);
    if (context->listening)
        return set_trust_of_server(context, error);
    SSL_CTX_set_verify(context->ssl_ctx, SSL_VERIFY_PEER, NULL);
    return set_trust_of_client(context, error);
}

/* --- Identity -----------------------------------------------------------------------------------
 */

static int set_identity(struct tls_context *context, struct stk_error *error)
{
    int status = tls_identities_load(context->segment, &context->identities, error);

    if (status < 0)
        return status;
    if (context->listening && context->identities.count == 0)
        return stk_error_set(
            error, STK_ESYNTAX, "tls",
            "a listener needs a certificate: give cert=FILE,key=FILE or certs=DIR");
    /* All of them, so that one that is too weak fails here and not at the first client. */
    for (size_t i = context->identities.count; i-- > 0;) {
        const struct tls_identity *identity = &context->identities.list[i];

        if (SSL_CTX_use_cert_and_key(context->ssl_ctx, identity->leaf, identity->key,
                                     identity->chain, 1) != 1)
            return openssl_error(error, "a certificate can't be used");
    }
    return 0;
}

/* --- Sessions -----------------------------------------------------------------------------------
 */

/* A file that was replaced is another file: sessions that the old one made trustworthy are not
 * resumed. */
static void digest_option(EVP_MD_CTX *md, const struct stk_option *option)
{
    struct stat st;

    EVP_DigestUpdate(md, option->type->name, strlen(option->type->name) + 1);
    EVP_DigestUpdate(md, option->text, strlen(option->text) + 1);
    if (option->text[0] != '\0' && stat(option->text, &st) == 0) {
        EVP_DigestUpdate(md, &st.st_dev, sizeof st.st_dev);
        EVP_DigestUpdate(md, &st.st_ino, sizeof st.st_ino);
        EVP_DigestUpdate(md, &st.st_size, sizeof st.st_size);
        EVP_DigestUpdate(md, &st.st_mtim, sizeof st.st_mtim);
    }
}

static int set_digest(struct tls_context *context, struct stk_error *error)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        return openssl_error(error, "SHA-256");
    }
    for (int i = 0; i < context->segment->option_count; i++)
        digest_option(md, &context->segment->options[i]);
    EVP_DigestFinal_ex(md, context->digest, NULL);
    EVP_MD_CTX_free(md);
    return 0;
}

static void set_sessions(struct tls_context *context)
{
    static const unsigned char id[] = "libstack";

    context->resume = stk_segment_flag(context->segment, "resume", true);
    if (context->listening) {
        /* Tickets only: the client keeps the state, sealed with a key of this listener. */
        SSL_CTX_set_session_cache_mode(context->ssl_ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_session_id_context(context->ssl_ctx, id, sizeof id - 1);
        return;
    }
    SSL_CTX_set_session_cache_mode(context->ssl_ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (context->resume)
        SSL_CTX_sess_set_new_cb(context->ssl_ctx, tls_handshake_new_session);
}

/* --- Birth and death ----------------------------------------------------------------------------
 */

static void set_manners(SSL_CTX *ssl_ctx)
{
    SSL_CTX_set_security_level(ssl_ctx, SECURITY_LEVEL);
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl_ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ssl_ctx, READ_BUFFER_BYTES);
    /* Forward secrecy and authenticated encryption only; the suites of 1.3 are all so. */
    SSL_CTX_set_cipher_list(ssl_ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
}

static int set_alpn(struct tls_context *context, struct stk_error *error)
{
    const int status = parse_alpn(context, stk_segment_text(context->segment, "alpn", NULL), error);

    if (status < 0 || context->alpn_len == 0)
        return status;
    if (context->listening)
        SSL_CTX_set_alpn_select_cb(context->ssl_ctx, tls_handshake_choose_alpn, context);
    else if (SSL_CTX_set_alpn_protos(context->ssl_ctx, context->alpn, context->alpn_len) != 0)
        return openssl_error(error, "alpn");
    return 0;
}

static int set_all(struct tls_context *context, struct stk_error *error)
{
    static int (*const steps[])(struct tls_context *, struct stk_error *) = {
        set_versions, set_alpn, set_trust, set_identity, set_digest,
    };
    int status = check_roles(context->segment, context->listening, error);

    set_manners(context->ssl_ctx);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == 0; i++)
        status = steps[i](context, error);
    if (status < 0)
        return status;
    set_sessions(context);
    if (context->listening)
        SSL_CTX_set_tlsext_servername_callback(context->ssl_ctx, tls_handshake_choose_identity);
    context->rekey_bytes = stk_segment_number(context->segment, "rekey", rekey_default_bytes);
    return 0;
}

int tls_context_new(const struct stk_segment *segment, bool listening, struct tls_context **out,
                    struct stk_error *error)
{
    struct tls_context *context = stk_alloc_zero(sizeof *context);

    if (context == NULL)
        return stk_error_set(error, -ENOMEM, "tls", "out of memory");
    context->segment = segment;
    context->listening = listening;
    context->ssl_ctx = SSL_CTX_new(TLS_method());
    const int status = context->ssl_ctx != NULL ? set_all(context, error)
                                                : openssl_error(error, "OpenSSL can't start");
    if (status < 0) {
        tls_context_free(context);
        return status;
    }
    *out = context;
    return 0;
}

void tls_context_free(struct tls_context *context)
{
    tls_identities_free(&context->identities);
    SSL_CTX_free(context->ssl_ctx);
    stk_free(context);
}
