#include "tls_handshake.h"

#include "tls_bio.h"
#include "tls_session.h"
#include "tls_verify.h"
#include "tls_words.h"

#include <assert.h>
#include <openssl/err.h>

/* --- Sessions of clients ------------------------------------------------------------------------
 */

static void digest_segment(EVP_MD_CTX *md, const struct stk_segment *segment)
{
    const char *value = segment->value != NULL ? segment->value : "";

    EVP_DigestUpdate(md, segment->type->name, strlen(segment->type->name) + 1);
    EVP_DigestUpdate(md, value, strlen(value) + 1);
    for (int i = 0; i < segment->option_count; i++) {
        EVP_DigestUpdate(md, segment->options[i].type->name,
                         strlen(segment->options[i].type->name) + 1);
        EVP_DigestUpdate(md, segment->options[i].text, strlen(segment->options[i].text) + 1);
    }
}

/* The way to the peer, its name, and everything that was demanded of it. */
static bool session_key(const struct tls_layer *tls, uint8_t key[TLS_SESSION_KEY_BYTES])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        return false;
    }
    EVP_DigestUpdate(md, tls_context_of(tls)->digest, TLS_DIGEST_BYTES);
    if (tls->name != NULL)
        EVP_DigestUpdate(md, tls->name, strlen(tls->name) + 1);
    for (const struct stk_layer *l = tls->layer.below; l != NULL; l = l->below)
        for (int i = 0; i <= l->segment->index; i++)
            digest_segment(md, l->segment - i);
    const bool done = EVP_DigestFinal_ex(md, key, NULL) == 1;
    EVP_MD_CTX_free(md);
    return done;
}

/* Returns 1 if it keeps the reference. */
int tls_handshake_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_layer *tls = SSL_get_app_data(ssl);
    uint8_t key[TLS_SESSION_KEY_BYTES];

    if (!session_key(tls, key))
        return 0;
    tls_session_put(key, session);
    return 1;
}

static void offer_session(struct tls_layer *tls)
{
    uint8_t key[TLS_SESSION_KEY_BYTES];
    SSL_SESSION *session = session_key(tls, key) ? tls_session_take(key) : NULL;

    if (session != NULL)
        SSL_set_session(tls->ssl, session);
    SSL_SESSION_free(session);
}

/* TLS 1.2 has no new ticket in a resumed handshake: the old one stays good. */
static void keep_session(struct tls_layer *tls)
{
    uint8_t key[TLS_SESSION_KEY_BYTES];

    if (!tls_context_of(tls)->listening && tls_context_of(tls)->resume &&
        SSL_session_reused(tls->ssl) && SSL_version(tls->ssl) == TLS1_2_VERSION &&
        session_key(tls, key))
        tls_session_put(key, SSL_get1_session(tls->ssl));
}

/* --- Choices of listeners -----------------------------------------------------------------------
 */

int tls_handshake_choose_identity(SSL *ssl, int *alert, void *arg)
{
    struct tls_layer *tls = SSL_get_app_data(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_identity *identity =
        tls_identities_find(&tls_context_of(tls)->identities, name);
    char printable[80];

    (void)arg;
    if (identity == NULL) {
        tls_words_printable((const uint8_t *)(name != NULL ? name : ""),
                            name != NULL ? strlen(name) : 0, printable, sizeof printable);
        tls_explain(tls, STK_EPEER, "the client asks for \"%s\", for which there is no certificate",
                    printable);
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    /* Others of another key type must not be chosen instead. */
    SSL_certs_clear(ssl);
    if (SSL_use_cert_and_key(ssl, identity->leaf, identity->key, identity->chain, 1) != 1) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return name != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void explain_alpn(struct tls_layer *tls, const unsigned char *offered, unsigned len)
{
    char names[100];
    size_t filled = 0;

    for (unsigned at = 0; at < len; at += 1u + offered[at]) {
        const size_t room = sizeof names - filled;
        const size_t part = offered[at] < len - at ? offered[at] : len - at - 1;

        if (part + 2 > room)
            break;
        if (filled > 0)
            names[filled++] = '+';
        tls_words_printable(offered + at + 1, part, names + filled, room - 1);
        filled += part;
    }
    names[filled] = '\0';
    tls_explain(tls, STK_EPEER, "the client speaks %s, we speak %.100s: no protocol in common",
                names, stk_segment_text(tls->layer.segment, "alpn", ""));
}

int tls_handshake_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                              const unsigned char *offered, unsigned offered_len, void *arg)
{
    const struct tls_context *context = arg;
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, out_len, context->alpn, context->alpn_len, offered,
                              offered_len) == OPENSSL_NPN_NEGOTIATED) {
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
    }
    explain_alpn(SSL_get_app_data(ssl), offered, offered_len);
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* --- The course of it ---------------------------------------------------------------------------
 */

/* What the hooks have checked already, and in a resumed handshake were not asked about. */
static bool peer_is_right(const struct tls_layer *tls)
{
    const struct tls_context *context = tls_context_of(tls);
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

    if (context->verify && SSL_get_verify_result(tls->ssl) != X509_V_OK)
        return false;
    if (context->listening && certificate == NULL) /* OpenSSL refused it if one is required */
        return true;
    return tls_pins_accept(&context->pins, certificate);
}

static void finished(struct tls_layer *tls)
{
    if (!peer_is_right(tls)) {
        tls_explain(tls, STK_EPEER, "the resumed session's peer is not the one wanted");
        tls_fail(tls);
        return;
    }
    keep_session(tls);
    tls->below = TLS_BELOW_FLOWS;
    tls_move(tls, TLS_OPEN);
    /* Records that came with the last flight are inside OpenSSL: nobody else would tell of them. */
    stk_layer_raise(&tls->layer, STK_READY | STK_RX | STK_TX);
}

void tls_handshake_advance(struct tls_layer *tls)
{
    assert(tls->state == TLS_HANDSHAKE);
    ERR_clear_error();
    tls->alerted = false;
    tls->below = TLS_BELOW_FLOWS;
    tls->read_budget = TLS_READ_AT_ONCE;
    const int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        finished(tls);
        return;
    }
    const int wanted = SSL_get_error(tls->ssl, result);
    if (wanted == SSL_ERROR_WANT_READ && tls->read_budget == 0)
        stk_layer_set_timer(&tls->layer, stk_loop_now_us(stk_layer_loop(&tls->layer)));
    if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE)
        tls_fail(tls);
}

static int make_ssl(struct tls_layer *tls)
{
    const struct tls_context *context = tls_context_of(tls);

    tls->ssl = SSL_new(context->ssl_ctx);
    if (tls->ssl == NULL || tls_bio_attach(tls) < 0 || SSL_set_app_data(tls->ssl, tls) != 1)
        return stk_layer_fail(&tls->layer, -ENOMEM, "out of memory");
    if (context->listening) {
        SSL_set_accept_state(tls->ssl);
        return 0;
    }
    SSL_set_connect_state(tls->ssl);
    const int status = tls_verify_expect_name(tls);
    if (status == 0 && context->resume)
        offer_session(tls);
    return status;
}

void tls_handshake_begin(struct tls_layer *tls)
{
    if (make_ssl(tls) < 0) {
        tls_move(tls, TLS_FAILED);
        return;
    }
    tls_move(tls, TLS_HANDSHAKE);
    tls_handshake_advance(tls);
}
