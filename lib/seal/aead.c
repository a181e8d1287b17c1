#include "aead.h"

#include "aead_list.h"

#include <assert.h>

/* Best first: the cipher, then the library. */
static const struct seal_aead *const ciphers[] = {
#ifdef HAVE_IPSEC_MB
    &seal_aead_ipsec_mb_aes_128_gcm,
#endif
    &seal_aead_openssl_aes_128_gcm,
#ifdef HAVE_IPSEC_MB
    &seal_aead_ipsec_mb_aes_256_gcm,
#endif
    &seal_aead_openssl_aes_256_gcm,  &seal_aead_openssl_chacha20_poly1305,
};

enum { CIPHERS = sizeof(ciphers) / sizeof(ciphers[0]) };

static bool comes_from(const struct seal_aead *aead, enum seal_provider provider)
{
    return provider == SEAL_ANY_PROVIDER || aead->provider == provider ||
           aead->bit == SEAL_CHACHA20_POLY1305;
}

const struct seal_aead *seal_aead_choose(unsigned bits, enum seal_provider provider)
{
    for (int i = 0; i < CIPHERS; i++)
        if (ciphers[i]->bit & bits && comes_from(ciphers[i], provider) && ciphers[i]->available())
            return ciphers[i];
    return NULL;
}

unsigned seal_aead_offer(enum seal_provider provider)
{
    unsigned bits = 0;

    for (int i = 0; i < CIPHERS; i++)
        if (comes_from(ciphers[i], provider) && ciphers[i]->available())
            bits |= ciphers[i]->bit;
    assert(bits & SEAL_CHACHA20_POLY1305);
    return bits;
}

unsigned seal_aead_bit(const char *name)
{
    for (int i = 0; i < CIPHERS; i++)
        if (!strcmp(ciphers[i]->name, name))
            return ciphers[i]->bit;
    return 0;
}

const struct seal_aead *seal_aead_at(unsigned i)
{
    unsigned n = 0;

    for (int k = 0; k < CIPHERS; k++)
        if (ciphers[k]->available() && n++ == i)
            return ciphers[k];
    return NULL;
}
