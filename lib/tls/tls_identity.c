#include "tls_identity.h"

#include "tls.h"
#include "tls_pem.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { PATH_BYTES = 4096, FILES_MAX = 4 * STK_TLS_IDENTITIES_MAX };

static void free_identity(struct tls_identity *identity)
{
    X509_free(identity->leaf);
    sk_X509_pop_free(identity->chain, X509_free);
    EVP_PKEY_free(identity->key);
}

void tls_identities_free(struct tls_identities *identities)
{
    for (size_t i = 0; i < identities->count; i++)
        free_identity(&identities->list[i]);
    stk_free(identities->list);
    *identities = (struct tls_identities){0};
}

static int load_identity(const char *cert, const char *key, struct tls_identity *identity,
                         struct stk_error *error)
{
    int status = tls_pem_chain(cert, &identity->leaf, &identity->chain, error);

    if (status == 0)
        status = tls_pem_key(key, &identity->key, error);
    if (status == 0 && X509_check_private_key(identity->leaf, identity->key) != 1)
        status = stk_error_set(error, STK_ESYNTAX, "tls",
                               "the key in %.90s does not belong to the certificate in %.90s", key,
                               cert);
    ERR_clear_error();
    return status;
}

static int add_identity(struct tls_identities *identities, const char *cert, const char *key,
                        struct stk_error *error)
{
    struct tls_identity identity = {0}, *longer;

    if (identities->count == STK_TLS_IDENTITIES_MAX)
        return stk_error_set(error, STK_ELIMIT, "tls", "more than %d certificates",
                             STK_TLS_IDENTITIES_MAX);
    const int status = load_identity(cert, key, &identity, error);
    if (status < 0) {
        free_identity(&identity);
        return status;
    }
    longer = stk_realloc(identities->list, (identities->count + 1) * sizeof identity);
    if (longer == NULL) {
        free_identity(&identity);
        return stk_error_set(error, -ENOMEM, "tls", "out of memory");
    }
    identities->list = longer;
    longer[identities->count++] = identity;
    return 0;
}

/* NAME.pem holds chain and key; the key of NAME.crt is NAME.key. Other files are no certificates.
 */
static int add_from_dir(struct tls_identities *identities, const char *dir, const char *name,
                        struct stk_error *error)
{
    char cert[PATH_BYTES], key[PATH_BYTES];
    const bool in_one = tls_pem_has_suffix(name, ".pem");

    if (!in_one && !tls_pem_has_suffix(name, ".crt"))
        return 0;
    snprintf(cert, sizeof cert, "%s/%s", dir, name);
    if (in_one)
        return add_identity(identities, cert, cert, error);
    snprintf(key, sizeof key, "%s/%.*s.key", dir, (int)(strlen(name) - strlen(".crt")), name);
    return add_identity(identities, cert, key, error);
}

static int load_dir(struct tls_identities *identities, const char *dir, struct stk_error *error)
{
    const size_t before = identities->count;
    char **names;
    size_t count;
    int status = tls_pem_list_dir(dir, FILES_MAX, &names, &count, error);

    if (status < 0)
        return status;
    for (size_t i = 0; i < count && status == 0; i++)
        status = add_from_dir(identities, dir, names[i], error);
    tls_pem_free_list(names, count);
    if (status == 0 && identities->count == before)
        return stk_error_set(error, STK_ESYNTAX, "tls",
                             "%.100s holds neither NAME.pem nor NAME.crt with NAME.key", dir);
    return status;
}

static int load_all(const struct stk_segment *segment, struct tls_identities *identities,
                    struct stk_error *error)
{
    const char *cert = stk_segment_text(segment, "cert", NULL);
    const char *key = stk_segment_text(segment, "key", cert);
    const char *dir = stk_segment_text(segment, "certs", NULL);
    int status = 0;

    if (key != NULL && cert == NULL)
        return stk_error_set(error, STK_ESYNTAX, "tls", "key= is given but no cert=FILE");
    if (cert != NULL) {
        status = add_identity(identities, cert, key, error);
        identities->has_fallback = true;
    }
    if (status == 0 && dir != NULL)
        status = load_dir(identities, dir, error);
    return status;
}

int tls_identities_load(const struct stk_segment *segment, struct tls_identities *identities,
                        struct stk_error *error)
{
    const int status = load_all(segment, identities, error);

    if (status < 0)
        tls_identities_free(identities);
    return status;
}

const struct tls_identity *tls_identities_find(const struct tls_identities *identities,
                                               const char *name)
{
    const unsigned flags =
        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

    for (size_t i = 0; name != NULL && i < identities->count; i++)
        if (X509_check_host(identities->list[i].leaf, name, strlen(name), flags, NULL) == 1)
            return &identities->list[i];
    if (identities->has_fallback || (name == NULL && identities->count == 1))
        return &identities->list[0];
    return NULL;
}
