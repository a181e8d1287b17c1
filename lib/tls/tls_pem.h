/* Certificates and keys from files. Errors name the file and what is wrong with it. */
#ifndef STK_TLS_PEM_H
#define STK_TLS_PEM_H

#include "base.h"

#include <openssl/ssl.h>

/* The first certificate is the leaf, the others are its chain. The caller frees both. */
int tls_pem_chain(const char *file, X509 **leaf, STACK_OF(X509) * *chain, struct stk_error *error);
/* Encrypted keys are refused: a library can't ask for a password. */
int tls_pem_key(const char *file, EVP_PKEY **key, struct stk_error *error);
/* Adds all certificates of a file, which must hold one at least. */
int tls_pem_trust(const char *file, X509_STORE *store, struct stk_error *error);
/* The same for each *.pem, *.crt and *.cer in a directory. */
int tls_pem_trust_dir(const char *dir, X509_STORE *store, struct stk_error *error);
/* The names in `dir`, sorted; at most `max`. The caller frees each and the list. */
int tls_pem_list_dir(const char *dir, size_t max, char ***names, size_t *count,
                     struct stk_error *error);
void tls_pem_free_list(char **names, size_t count);
bool tls_pem_has_suffix(const char *name, const char *suffix);

#endif
