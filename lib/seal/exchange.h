/*
 * X25519 (RFC 7748), several exchanges at a time.
 *
 * One exchange is libsodium's. Where the processor multiplies eight numbers at a time (AVX-512
 * IFMA), up to eight exchanges take hardly longer than one: whoever has several to make that do not
 * wait for each other makes them in one call. What time an exchange takes, and what memory it looks
 * at, depends on no secret.
 */
#ifndef STK_SEAL_EXCHANGE_H
#define STK_SEAL_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

enum { SEAL_EXCHANGE_BYTES = 32, SEAL_EXCHANGE_LANES = 8 };

struct seal_exchange {
    uint8_t *shared;       /* gets 32 bytes, all zero if the point is of low order */
    const uint8_t *secret; /* 32 bytes, elsewhere, as are those of the point */
    const uint8_t *point;  /* NULL: the base point, so that `shared` is a public key */
};

/*
 * Exchanges that are made together cost less than one by one. Found out at the first call, of any
 * thread: where the vectors of RFC 7748 do not come out of each lane, all exchanges are
 * libsodium's.
 */
bool seal_exchange_is_wide(void);

void seal_exchange(const struct seal_exchange *exchanges, unsigned count);

/* --- For tests, and exchange_ifma.c for the use of exchange.c --- */

typedef void seal_exchange_fn(const struct seal_exchange *exchanges, unsigned count);

/* Does this give the results of RFC 7748 in each of SEAL_EXCHANGE_LANES lanes? */
bool seal_exchange_passes(seal_exchange_fn *exchange);
/* Has the processor what it takes? */
bool seal_exchange_ifma_works(void);
/* At most SEAL_EXCHANGE_LANES; only where it works. */
void seal_exchange_ifma(const struct seal_exchange *exchanges, unsigned count);

#endif
