/* What OpenSSL's failures mean to the reader of an error. */
#include "tls_words.h"

#include "tls_layer.h"
#include "tls_linger.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

void tls_explain(struct tls_layer *tls, int code, const char *format, ...)
{
    va_list arguments;

    if (tls->why != NULL)
        return;
    tls->why = stk_alloc(TLS_WHY_BYTES);
    if (tls->why == NULL)
        return;
    tls->why_code = code;
    va_start(arguments, format);
    vsnprintf(tls->why, TLS_WHY_BYTES, format, arguments);
    va_end(arguments);
}

static const char *peer_word(const struct tls_layer *tls)
{
    return tls_context_of(tls)->listening ? "client" : "server";
}

/* --- Alerts that the peer sent (RFC 8446 section 6.2) ------------------------------------------
 */

struct alert_words {
    int alert;
    const char *about_certificate; /* our certificate is refused because it is … */
};

static const struct alert_words certificate_alerts[] = {
    {SSL_AD_BAD_CERTIFICATE, "it is damaged or not the one wanted"},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, "its kind is not supported, or not meant for this use"},
    {SSL_AD_CERTIFICATE_REVOKED, "it is revoked"},
    {SSL_AD_CERTIFICATE_EXPIRED, "it has expired or is not valid yet"},
    {SSL_AD_CERTIFICATE_UNKNOWN, "it is not accepted"},
    {SSL_AD_UNKNOWN_CA, "its CA is unknown there"},
    {SSL_AD_ACCESS_DENIED, "it gives no access"},
    {SSL_AD_DECRYPT_ERROR, "its signature does not fit"},
};

static const char *about_certificate(int alert)
{
    for (size_t i = 0; i < sizeof certificate_alerts / sizeof *certificate_alerts; i++)
        if (certificate_alerts[i].alert == alert)
            return certificate_alerts[i].about_certificate;
    return NULL;
}

static bool we_gave_certificate(const struct tls_layer *tls)
{
    return SSL_get_certificate(tls->ssl) != NULL;
}

static void explain_alert(struct tls_layer *tls, int alert)
{
    const char *about = about_certificate(alert), *peer = peer_word(tls);

    tls->alerted = false; /* the peer knows */
    if (about != NULL && we_gave_certificate(tls))
        tls_explain(tls, STK_EPEER, "the %s refused our certificate: %s", peer, about);
    else if (alert == TLS13_AD_CERTIFICATE_REQUIRED || (about != NULL && !we_gave_certificate(tls)))
        tls_explain(tls, STK_EPEER,
                    "the %s wants a certificate of ours: give one with cert=FILE,key=FILE", peer);
    else if (alert == TLS1_AD_NO_APPLICATION_PROTOCOL)
        tls_explain(tls, STK_EPEER,
                    "the %s speaks none of the protocols that we offer: alpn=%.100s", peer,
                    stk_segment_text(tls->layer.segment, "alpn", ""));
    else if (alert == TLS1_AD_UNRECOGNIZED_NAME)
        tls_explain(tls, STK_EPEER, "the %s has no certificate for %.100s: is sni= right?", peer,
                    tls->name != NULL ? tls->name : "a client that names no host");
    else if (alert == SSL_AD_PROTOCOL_VERSION)
        tls_explain(tls, STK_EPEER, "the %s does not speak our version of TLS: min=1.2 allows 1.2",
                    peer);
    else if (alert == SSL_AD_HANDSHAKE_FAILURE)
        tls_explain(tls, STK_EPEER,
                    "the %s refused the handshake: no common cipher, or it wants a certificate "
                    "(cert=FILE,key=FILE)",
                    peer);
    else
        tls_explain(tls, STK_EPEER, "the %s ended the connection with the alert \"%s\"", peer,
                    SSL_alert_desc_string_long(alert));
}

/* --- What we found ourselves -------------------------------------------------------------------
 */

/* Records begin with a type of 20 to 24 and the version 3.x. */
static bool looks_like_tls(const struct tls_layer *tls)
{
    return tls->first_len < 2 || (tls->first[0] >= 20 && tls->first[0] <= 24 && tls->first[1] == 3);
}

static void explain_not_tls(struct tls_layer *tls)
{
    char text[TLS_FIRST_BYTES + 1];

    tls_words_printable(tls->first, tls->first_len, text, sizeof text);
    tls_explain(tls, -EPROTO, "the peer %s with something that is not TLS: \"%s\"",
                tls_context_of(tls)->listening ? "began" : "answered", text);
}

static void explain_own_reason(struct tls_layer *tls, int reason)
{
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        tls_explain(tls, STK_EPEER, "the client gave no certificate, and one is required");
        return;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
        tls_explain(tls, STK_EPEER, "the %s speaks only an older TLS: min=1.2 allows 1.2",
                    peer_word(tls));
        return;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        tls_explain(tls, STK_EPEER, "the %s and we have no algorithm in common", peer_word(tls));
        return;
    default:
        return;
    }
}

static void explain_queue(struct tls_layer *tls)
{
    const unsigned long code = ERR_peek_error();
    const int reason = ERR_GET_REASON(code);
    const char *text = ERR_reason_error_string(code);

    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
        reason < SSL_AD_REASON_OFFSET + 256)
        explain_alert(tls, reason - SSL_AD_REASON_OFFSET);
    else if (!looks_like_tls(tls))
        explain_not_tls(tls);
    else if (ERR_GET_LIB(code) == ERR_LIB_SSL)
        explain_own_reason(tls, reason);
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        tls_explain(tls, -ENOMEM, "out of memory");
    tls_explain(tls, -EPROTO, "the %s does not keep to TLS: %s", peer_word(tls),
                text != NULL ? text : "unknown reason");
}

static void explain_end(struct tls_layer *tls)
{
    if (tls->state == TLS_HANDSHAKE && !looks_like_tls(tls))
        explain_not_tls(tls);
    else if (tls->state == TLS_HANDSHAKE)
        tls_explain(tls, STK_ETRUNCATED, "the %s closed the connection within the TLS handshake",
                    peer_word(tls));
    else
        tls_explain(tls, STK_ETRUNCATED,
                    "the %s's bytes end without close_notify: some may be missing", peer_word(tls));
}

static void explain(struct tls_layer *tls)
{
    if (ERR_peek_error() != 0)
        explain_queue(tls);
    else if (tls->below == TLS_BELOW_FAILED)
        tls_explain(tls, tls->below_status, "%s", stk_strerror(tls->below_status));
    else
        explain_end(tls);
    ERR_clear_error();
}

int tls_fail(struct tls_layer *tls)
{
    explain(tls);
    const int code = tls->why != NULL ? tls->why_code : -ENOMEM;
    const char *why = tls->why != NULL ? tls->why : "out of memory";

    if (tls->state == TLS_HANDSHAKE && tls->alerted && looks_like_tls(tls)) {
        stk_layer_set_error(&tls->layer, code, "%s", why);
        tls_linger_begin(tls);
        return code;
    }
    if (tls->state != TLS_FAILED)
        tls_move(tls, TLS_FAILED);
    return stk_layer_fail(&tls->layer, code, "%s", why);
}
