#include "tls_pem.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

enum { CERTIFICATES_MAX = 4096, DIR_NAMES_MAX = 4096, PATH_MAX_BYTES = 4096 };

static int fail(struct stk_error *error, int code, const char *file, const char *what)
{
    return stk_error_set(error, code, "tls", "%.120s: %s", file, what);
}

static int open_file(const char *file, FILE **out, struct stk_error *error)
{
    *out = fopen(file, "re");
    if (*out == NULL) {
        const int code = -errno;
        return fail(error, code, file, stk_strerror(code));
    }
    return 0;
}

/* No password: the key counts as unreadable. */
static int no_password(char *buffer, int size, int writing, void *asked)
{
    (void)buffer, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

/* True if the file simply has no further block of the kind that was looked for. */
static bool at_end(void)
{
    const unsigned long code = ERR_peek_last_error();
    const bool end =
        ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;

    ERR_clear_error();
    return end;
}

/* Calls `take` with each certificate; it owns them. Returns how many there are, or an error. */
static int each_certificate(const char *file, int (*take)(void *user, X509 *certificate),
                            void *user, struct stk_error *error)
{
    FILE *f;
    int count = 0, status = open_file(file, &f, error);

    if (status < 0)
        return status;
    ERR_clear_error();
    while (status == 0 && count < CERTIFICATES_MAX) {
        X509 *certificate = PEM_read_X509(f, NULL, NULL, NULL);

        if (certificate == NULL)
            break;
        count++;
        status = take(user, certificate);
    }
    const bool whole = at_end();
    fclose(f);
    if (status < 0)
        return fail(error, status, file, stk_strerror(status));
    if (!whole && count < CERTIFICATES_MAX)
        return fail(error, STK_ESYNTAX, file, "holds a damaged certificate");
    if (count == 0)
        return fail(error, STK_ESYNTAX, file, "holds no certificate in PEM form");
    return count;
}

struct chain {
    X509 *leaf;
    STACK_OF(X509) * rest;
};

static int take_into_chain(void *user, X509 *certificate)
{
    struct chain *chain = user;

    if (chain->leaf == NULL) {
        chain->leaf = certificate;
    } else if (!sk_X509_push(chain->rest, certificate)) {
        X509_free(certificate);
        return -ENOMEM;
    }
    return 0;
}

int tls_pem_chain(const char *file, X509 **leaf, STACK_OF(X509) * *out, struct stk_error *error)
{
    struct chain chain = {NULL, sk_X509_new_null()};

    if (chain.rest == NULL)
        return stk_error_set(error, -ENOMEM, "tls", "out of memory");
    const int status = each_certificate(file, take_into_chain, &chain, error);
    if (status < 0) {
        X509_free(chain.leaf);
        sk_X509_pop_free(chain.rest, X509_free);
        return status;
    }
    *leaf = chain.leaf;
    *out = chain.rest;
    return 0;
}

int tls_pem_key(const char *file, EVP_PKEY **key, struct stk_error *error)
{
    bool asked = false;
    FILE *f;
    const int status = open_file(file, &f, error);

    if (status < 0)
        return status;
    *key = PEM_read_PrivateKey(f, NULL, no_password, &asked);
    fclose(f);
    ERR_clear_error();
    if (asked)
        return fail(error, STK_ESYNTAX, file,
                    "the key is encrypted: decrypt it with 'openssl pkey -in FILE -out NEW'");
    if (*key == NULL)
        return fail(error, STK_ESYNTAX, file, "holds no private key in PEM form: give key=FILE");
    return 0;
}

static int take_into_store(void *user, X509 *certificate)
{
    const int added = X509_STORE_add_cert(user, certificate);

    X509_free(certificate);
    return added ? 0 : -ENOMEM;
}

int tls_pem_trust(const char *file, X509_STORE *store, struct stk_error *error)
{
    const int count = each_certificate(file, take_into_store, store, error);

    return count < 0 ? count : 0;
}

/* --- Directories ------------------------------------------------------------------------------ */

bool tls_pem_has_suffix(const char *name, const char *suffix)
{
    const size_t len = strlen(name), suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

void tls_pem_free_list(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        stk_free(names[i]);
    stk_free(names);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int append_name(char ***names, size_t *count, const char *name)
{
    char **longer = stk_realloc(*names, (*count + 1) * sizeof *longer);

    if (longer == NULL)
        return -ENOMEM;
    *names = longer;
    longer[*count] = stk_strdup(name);
    if (longer[*count] == NULL)
        return -ENOMEM;
    ++*count;
    return 0;
}

static int read_names(DIR *d, size_t max, char ***names, size_t *count)
{
    const struct dirent *entry;
    int status = 0;

    while (status == 0 && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        status = *count < max ? append_name(names, count, entry->d_name) : STK_ELIMIT;
    }
    return status;
}

int tls_pem_list_dir(const char *dir, size_t max, char ***out, size_t *out_count,
                     struct stk_error *error)
{
    DIR *d = opendir(dir);
    char **names = NULL;
    size_t count = 0;

    if (d == NULL) {
        const int code = -errno;
        return fail(error, code, dir, stk_strerror(code));
    }
    const int status = read_names(d, max, &names, &count);
    closedir(d);
    if (status < 0) {
        tls_pem_free_list(names, count);
        return fail(error, status, dir,
                    status == STK_ELIMIT ? "holds too many files" : "out of memory");
    }
    if (count > 0)
        qsort(names, count, sizeof *names, by_name);
    *out = names;
    *out_count = count;
    return 0;
}

static bool is_certificate(const char *name)
{
    return tls_pem_has_suffix(name, ".pem") || tls_pem_has_suffix(name, ".crt") ||
           tls_pem_has_suffix(name, ".cer");
}

int tls_pem_trust_dir(const char *dir, X509_STORE *store, struct stk_error *error)
{
    char path[PATH_MAX_BYTES], **names;
    size_t count, used = 0;
    int status = tls_pem_list_dir(dir, DIR_NAMES_MAX, &names, &count, error);

    if (status < 0)
        return status;
    for (size_t i = 0; i < count && status == 0; i++) {
        if (!is_certificate(names[i]))
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        status = tls_pem_trust(path, store, error);
        used++;
    }
    tls_pem_free_list(names, count);
    if (status == 0 && used == 0)
        return fail(error, STK_ESYNTAX, dir, "holds no .pem, .crt or .cer file");
    return status;
}
