#include "certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    const int added = extension != NULL && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

static int fill(X509 *certificate, EVP_PKEY *key, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    char names[256];

    snprintf(names, sizeof names, "DNS:%s", name);
    return X509_set_version(certificate, X509_VERSION_3) &&
           ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -60) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL &&
           X509_set_pubkey(certificate, key) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                      -1, 0) &&
           X509_set_issuer_name(certificate, subject) &&
           add_extension(certificate, NID_subject_alt_name, names) &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
           X509_sign(certificate, key, EVP_sha256()) > 0;
}

static int write_file(X509 *certificate, EVP_PKEY *key, char path[CERTIFICATE_PATH_MAX])
{
    snprintf(path, CERTIFICATE_PATH_MAX, "/tmp/certificate-XXXXXX");
    const int fd = mkstemp(path); /* mode 0600 */
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (file == NULL)
        return 0;
    const int written = PEM_write_X509(file, certificate) &&
                        PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    return fclose(file) == 0 && written;
}

int certificate_make(const char *name, char path[CERTIFICATE_PATH_MAX])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    const int made = key != NULL && certificate != NULL && fill(certificate, key, name) &&
                     write_file(certificate, key, path);

    X509_free(certificate);
    EVP_PKEY_free(key);
    if (!made)
        fprintf(stderr, "no certificate could be made for %s\n", name);
    return made ? 0 : -1;
}
