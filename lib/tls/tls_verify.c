#include "tls_verify.h"

#include "tls_words.h"

#include <openssl/x509v3.h>
#include <stdio.h>

/* --- The chain ---------------------------------------------------------------------------------
 */

static void explain_time(struct tls_layer *tls, const char *who, X509 *certificate, int code)
{
    char date[TLS_WORDS_DATE_BYTES];

    if (code == X509_V_ERR_CERT_HAS_EXPIRED)
        tls_explain(tls, STK_ECERT, "the certificate of %s expired on %s", who,
                    tls_words_date(X509_get0_notAfter(certificate), date));
    else
        tls_explain(tls, STK_ECERT,
                    "the certificate of %s is not valid before %s: is this machine's clock right?",
                    who, tls_words_date(X509_get0_notBefore(certificate), date));
}

static const char *ca_option(const struct tls_layer *tls)
{
    return tls_context_of(tls)->listening ? "client-ca=FILE" : "ca=FILE";
}

static void explain_trust(struct tls_layer *tls, const char *who, X509 *certificate, int code)
{
    char issuer[TLS_WORDS_NAME_BYTES];

    switch (code) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        tls_explain(tls, STK_ECERT, "self-signed certificate of %s: give it, or its CA, with %s",
                    who, ca_option(tls));
        return;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        tls_explain(tls, STK_ECERT, "the CA %s is not trusted here: give it with %s", who,
                    ca_option(tls));
        return;
    default:
        tls_explain(tls, STK_ECERT,
                    "the certificate of %s is signed by %s, which is unknown here: give that CA "
                    "with %s",
                    who, tls_words_subject(X509_get_issuer_name(certificate), issuer),
                    ca_option(tls));
    }
}

static void explain_name(struct tls_layer *tls, X509 *certificate)
{
    char names[TLS_WORDS_NAMES_BYTES];

    tls_explain(tls, STK_ECERT, "the certificate is for %s, not for %.60s",
                tls_words_alternatives(certificate, names), tls->name != NULL ? tls->name : "");
}

static void explain_verification(struct tls_layer *tls, X509_STORE_CTX *store)
{
    const int code = X509_STORE_CTX_get_error(store);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    char who[TLS_WORDS_NAME_BYTES] = "the peer";

    if (certificate == NULL)
        certificate = X509_STORE_CTX_get0_cert(store);
    if (certificate != NULL)
        tls_words_certificate(certificate, who);
    switch (certificate != NULL ? code : X509_V_ERR_UNSPECIFIED) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        explain_time(tls, who, certificate, code);
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        explain_trust(tls, who, certificate, code);
        return;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        explain_name(tls, certificate);
        return;
    case X509_V_ERR_INVALID_PURPOSE:
        tls_explain(tls, STK_ECERT, "the certificate of %s is not meant for a %s", who,
                    tls_context_of(tls)->listening ? "client" : "server");
        return;
    default:
        tls_explain(tls, STK_ECERT, "the certificate of %s: %s", who,
                    X509_verify_cert_error_string(code));
    }
}

static void explain_pin(struct tls_layer *tls, X509 *certificate)
{
    uint8_t pin[TLS_PIN_BYTES];
    char text[TLS_PIN_TEXT_BYTES];

    if (certificate != NULL && tls_pin_of(certificate, pin))
        tls_explain(tls, STK_EPEER,
                    "the peer's key has the pin %s, which is not one of those given: either it was "
                    "replaced, or this is somebody else",
                    tls_pin_format(pin, text));
    else
        tls_explain(tls, STK_EPEER, "the peer's key has no pin");
}

int tls_verify_chain(X509_STORE_CTX *store, void *arg)
{
    const struct tls_context *context = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_layer *tls = SSL_get_app_data(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);

    if (context->verify && X509_verify_cert(store) != 1) {
        explain_verification(tls, store);
        return 0;
    }
    if (!tls_pins_accept(&context->pins, leaf)) {
        explain_pin(tls, leaf);
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* --- The name ------------------------------------------------------------------------------------
 */

/* The ip4, ip6 or dns value that `layer` or a datagram segment below it stands on. */
static const char *host_of_segment(const struct stk_segment *segment)
{
    const int index = segment->index;

    for (int i = 0; i <= index; i++)
        if (segment[-i].type->above == STK_HOST)
            return segment[-i].value;
        else if (segment[-i].host != NULL)
            return segment[-i].host->value;
    return NULL;
}

static const char *host_below(const struct stk_layer *layer)
{
    const char *host = NULL;

    for (layer = layer->below; layer != NULL && host == NULL; layer = layer->below)
        host = host_of_segment(layer->segment);
    return host;
}

/* Without a zone ("%eth0"), which is nobody else's business, or the final dot of a name. */
static char *plain_name(const char *name)
{
    char *copy = stk_strdup(name);

    if (copy == NULL)
        return NULL;
    copy[strcspn(copy, "%")] = '\0';
    const size_t len = strlen(copy);
    if (len > 1 && copy[len - 1] == '.')
        copy[len - 1] = '\0';
    return copy;
}

int tls_verify_find_name(struct tls_layer *tls)
{
    const char *host = host_below(&tls->layer);
    const char *name = stk_segment_text(tls->layer.segment, "sni", host);
    struct stk_addr addr;

    if (name == NULL || name[0] == '\0') {
        if (!tls_context_of(tls)->verify)
            return 0;
        return stk_layer_fail(&tls->layer, STK_ESYNTAX,
                              "no host stands below tls to verify the peer against: give sni=NAME, "
                              "or pin=HASH with verify=no");
    }
    tls->name = plain_name(name);
    if (tls->name == NULL)
        return stk_layer_fail(&tls->layer, -ENOMEM, "out of memory");
    tls->name_is_ip = stk_addr_parse_ip(&addr, tls->name, 0) == 0;
    return 0;
}

static bool expect_ip(struct tls_layer *tls)
{
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), tls->name) == 1;
}

/* RFC 6125, and RFC 9525 in that the common name of the subject no longer counts. */
static bool expect_host(struct tls_layer *tls)
{
    SSL_set_hostflags(tls->ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set_tlsext_host_name(tls->ssl, tls->name) == 1 &&
           SSL_set1_host(tls->ssl, tls->name) == 1;
}

int tls_verify_expect_name(struct tls_layer *tls)
{
    if (tls->name == NULL)
        return 0;
    if (tls->name_is_ip ? expect_ip(tls) : expect_host(tls))
        return 0;
    return stk_layer_fail(&tls->layer, STK_ESYNTAX, "%.100s can't be the name of a TLS server",
                          tls->name);
}

static bool peer_is_verified(const struct tls_layer *tls)
{
    return tls_context_of(tls)->verify && tls->state == TLS_OPEN &&
           SSL_get0_peer_certificate(tls->ssl) != NULL &&
           SSL_get_verify_result(tls->ssl) == X509_V_OK;
}

void tls_verify_peer_name(const struct tls_layer *tls, char *out, size_t len)
{
    char name[TLS_WORDS_NAME_BYTES] = "";

    if (peer_is_verified(tls) && !tls_context_of(tls)->listening)
        snprintf(out, len, "%s", tls->name);
    else if (peer_is_verified(tls))
        snprintf(out, len, "%s", tls_words_certificate(SSL_get0_peer_certificate(tls->ssl), name));
    else
        snprintf(out, len, "%s", "");
}
