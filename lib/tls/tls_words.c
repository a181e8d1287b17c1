#include "tls_words.h"

#include "base.h"

#include <arpa/inet.h>

#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

void tls_words_printable(const uint8_t *data, size_t len, char *out, size_t size)
{
    size_t i;

    for (i = 0; i < len && i + 1 < size; i++)
        out[i] = data[i] >= 0x20 && data[i] < 0x7f ? (char)data[i] : '.';
    out[i] = '\0';
}

static void printable_string(const ASN1_STRING *string, char *out, size_t size)
{
    tls_words_printable(ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string), out,
                        size);
}

static const ASN1_STRING *name_entry(const X509_NAME *name, int nid)
{
    const int at = X509_NAME_get_index_by_NID(name, nid, -1);

    return at >= 0 ? X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)) : NULL;
}

const char *tls_words_subject(const X509_NAME *name, char out[TLS_WORDS_NAME_BYTES])
{
    const ASN1_STRING *entry = name_entry(name, NID_commonName);

    if (entry == NULL)
        entry = name_entry(name, NID_organizationName);
    if (entry != NULL)
        printable_string(entry, out, TLS_WORDS_NAME_BYTES);
    else
        snprintf(out, TLS_WORDS_NAME_BYTES, "?");
    return out;
}

static GENERAL_NAMES *alternatives_of(X509 *certificate)
{
    return X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}

/* True if it is a name that a peer can be verified by. */
static bool format_alternative(const GENERAL_NAME *name, char *out, size_t size)
{
    if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI) {
        printable_string(name->d.ia5, out, size);
        return true;
    }
    if (name->type == GEN_IPADD) {
        const int len = ASN1_STRING_length(name->d.iPAddress);
        const int family = len == 4 ? AF_INET : AF_INET6;

        return (len == 4 || len == 16) &&
               inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), out, (socklen_t)size) !=
                   NULL;
    }
    return false;
}

const char *tls_words_certificate(X509 *certificate, char out[TLS_WORDS_NAME_BYTES])
{
    GENERAL_NAMES *names = alternatives_of(certificate);
    bool found = false;

    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++)
        found = format_alternative(sk_GENERAL_NAME_value(names, i), out, TLS_WORDS_NAME_BYTES);
    GENERAL_NAMES_free(names);
    return found ? out : tls_words_subject(X509_get_subject_name(certificate), out);
}

const char *tls_words_alternatives(X509 *certificate, char out[TLS_WORDS_NAMES_BYTES])
{
    GENERAL_NAMES *names = alternatives_of(certificate);
    char one[TLS_WORDS_NAME_BYTES];
    size_t len = 0;

    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (!format_alternative(sk_GENERAL_NAME_value(names, i), one, sizeof one))
            continue;
        if (len + strlen(one) + sizeof ", …" > TLS_WORDS_NAMES_BYTES) {
            snprintf(out + len, TLS_WORDS_NAMES_BYTES - len, "…");
            break;
        }
        len += (size_t)snprintf(out + len, TLS_WORDS_NAMES_BYTES - len, "%s%s", len > 0 ? ", " : "",
                                one);
    }
    GENERAL_NAMES_free(names);
    if (out[0] == '\0')
        snprintf(out, TLS_WORDS_NAMES_BYTES, "no name at all (it has no subjectAltName)");
    return out;
}

const char *tls_words_date(const ASN1_TIME *time, char out[TLS_WORDS_DATE_BYTES])
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) != 1 ||
        strftime(out, TLS_WORDS_DATE_BYTES, "%Y-%m-%d %H:%M", &tm) == 0)
        snprintf(out, TLS_WORDS_DATE_BYTES, "an unreadable date");
    return out;
}
