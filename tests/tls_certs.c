#include "tls_certs.h"

#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void must(bool done, const char *what)
{
    if (!done) {
        fprintf(stderr, "test certificates: %s failed\n", what);
        abort();
    }
}

const char *certs_dir(void)
{
    if (dir[0] == '\0') {
        snprintf(dir, sizeof dir, "/tmp/stk-certs-XXXXXX");
        must(mkdtemp(dir) != NULL, "mkdtemp");
        atexit(certs_remove);
    }
    return dir;
}

const char *certs_path(const char *name)
{
    static char paths[8][160];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", certs_dir(), name);
    return path;
}

void certs_write(const char *name, const char *text)
{
    FILE *f = fopen(certs_path(name), "w");

    must(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0, name);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void certs_remove(void)
{
    if (dir[0] != '\0')
        nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    dir[0] = '\0';
}

void certs_make_dir(const char *name) { must(mkdir(certs_path(name), 0700) == 0, name); }

static FILE *open_with(const char *name, const char *suffix, const char *mode)
{
    char file[96];
    FILE *f;

    snprintf(file, sizeof file, "%s%s", name, suffix);
    f = fopen(certs_path(file), mode);
    must(f != NULL, file);
    return f;
}

static X509 *load_certificate(const char *name)
{
    FILE *f = open_with(name, ".crt", "r");
    X509 *certificate = PEM_read_X509(f, NULL, NULL, NULL);

    fclose(f);
    must(certificate != NULL, name);
    return certificate;
}

static EVP_PKEY *load_key(const char *name)
{
    FILE *f = open_with(name, ".key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

    fclose(f);
    must(key != NULL, name);
    return key;
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    if (value == NULL)
        return;
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(extension != NULL && X509_add_ext(certificate, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static void set_subject(X509 *certificate, const char *cn)
{
    if (cn != NULL)
        must(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                        (const unsigned char *)cn, -1, -1, 0),
             cn);
}

static void set_times(X509 *certificate, const struct cert *cert)
{
    const bool usual = cert->from_day == 0 && cert->to_day == 0;

    X509_gmtime_adj(X509_getm_notBefore(certificate), (usual ? -1 : cert->from_day) * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (usual ? 1 : cert->to_day) * 86400L);
}

static void write_key(const char *name, const char *suffix, const char *mode, EVP_PKEY *key)
{
    FILE *f = open_with(name, suffix, mode);

    must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), name);
    fclose(f);
}

static void write_chain(const struct cert *cert, const char *suffix, X509 *certificate)
{
    FILE *f = open_with(cert->file, suffix, "w");

    must(PEM_write_X509(f, certificate), cert->file);
    if (cert->intermediate != NULL) {
        X509 *above = load_certificate(cert->intermediate);

        must(PEM_write_X509(f, above), cert->file);
        X509_free(above);
    }
    fclose(f);
}

void certs_make(const struct cert *cert)
{
    EVP_PKEY *key =
        cert->rsa_bits > 0 ? EVP_RSA_gen((unsigned)cert->rsa_bits) : EVP_EC_gen("P-256");
    EVP_PKEY *signer = cert->issuer != NULL ? load_key(cert->issuer) : key;
    X509 *certificate = X509_new();
    X509 *issuer = cert->issuer != NULL ? load_certificate(cert->issuer) : certificate;
    uint64_t serial;

    RAND_bytes((unsigned char *)&serial, sizeof serial);
    must(key != NULL && signer != NULL, "key");
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1);
    set_subject(certificate, cert->cn);
    set_times(certificate, cert);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    X509_set_pubkey(certificate, key);
    add_extension(certificate, issuer, NID_basic_constraints,
                  cert->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(certificate, issuer, NID_subject_alt_name, cert->san);
    add_extension(certificate, issuer, NID_ext_key_usage, cert->eku);
    must(X509_sign(certificate, signer, EVP_sha256()) > 0, "X509_sign");

    write_chain(cert, ".crt", certificate);
    write_chain(cert, ".pem", certificate);
    write_key(cert->file, ".key", "w", key);
    write_key(cert->file, ".pem", "a", key);
    if (issuer != certificate)
        X509_free(issuer);
    if (signer != key)
        EVP_PKEY_free(signer);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void certs_make_all(void)
{
    static const char san[] = "DNS:server.example,DNS:alias.example,IP:127.0.0.1,IP:::1";
    static const struct cert list[] = {
        {.file = "ca", .cn = "Test CA", .is_ca = true},
        {.file = "other-ca", .cn = "Other CA", .is_ca = true},
        {.file = "middle", .cn = "Middle CA", .issuer = "ca", .is_ca = true},
        {.file = "server", .cn = "Server", .san = san, .issuer = "ca", .eku = "serverAuth"},
        {.file = "second", .cn = "Second", .san = "DNS:second.example", .issuer = "ca"},
        {.file = "wild", .cn = "Wild", .san = "DNS:*.wild.example", .issuer = "ca"},
        {.file = "deep", .cn = "Deep", .san = san, .issuer = "middle", .intermediate = "middle"},
        {.file = "chainless", .cn = "Chainless", .san = san, .issuer = "middle"},
        {.file = "client", .cn = "alice", .issuer = "ca", .eku = "clientAuth"},
        {.file = "stranger", .cn = "mallory", .issuer = "other-ca", .eku = "clientAuth"},
        {.file = "old-client", .cn = "bob", .issuer = "ca", .from_day = -9, .to_day = -2},
        {.file = "expired", .cn = "E", .san = san, .issuer = "ca", .from_day = -9, .to_day = -2},
        {.file = "early", .cn = "N", .san = san, .issuer = "ca", .from_day = 2, .to_day = 9},
        {.file = "self", .cn = "Self", .san = san},
        {.file = "wrong-use", .cn = "W", .san = san, .issuer = "ca", .eku = "clientAuth"},
        {.file = "foreign", .cn = "Foreign", .san = san, .issuer = "other-ca"},
        {.file = "nameless", .cn = "server.example", .issuer = "ca"},
        {.file = "weak", .cn = "Weak", .san = san, .issuer = "ca", .rsa_bits = 1024},
        {.file = "rsa", .cn = "RSA", .san = "DNS:rsa.example", .issuer = "ca", .rsa_bits = 2048},
    };

    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        certs_make(&list[i]);
}

const char *certs_pin(const char *name)
{
    static char text[48];
    X509 *certificate = load_certificate(name);
    unsigned char *der = NULL, digest[32];
    const int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    must(len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL), "pin");
    EVP_EncodeBlock((unsigned char *)text, digest, sizeof digest);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '/' ? '_' : *c == '+' ? '-' : *c;
    OPENSSL_free(der);
    X509_free(certificate);
    return text;
}

void certs_lock(const char *name, const char *to)
{
    X509 *certificate = load_certificate(name);
    EVP_PKEY *key = load_key(name);
    FILE *f = open_with(to, ".pem", "w");

    must(PEM_write_X509(f, certificate) &&
             PEM_write_PKCS8PrivateKey(f, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL),
         to);
    fclose(f);
    EVP_PKEY_free(key);
    X509_free(certificate);
}
