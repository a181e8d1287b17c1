#include "exchange.h"

#include "curve.h"

#include <sodium.h>
#include <string.h>

bool seal_exchange_is_wide(void) { return seal_exchange_ifma_works(); }

static void exchange_one(const struct seal_exchange *e)
{
    if (!e->point)
        seal_curve_public(e->shared, e->secret);
    else if (crypto_scalarmult(e->shared, e->secret, e->point))
        memset(e->shared, 0, SEAL_EXCHANGE_BYTES);
}

void seal_exchange(const struct seal_exchange *exchanges, unsigned count)
{
    while (count > 1 && seal_exchange_is_wide()) {
        const unsigned part = count < SEAL_EXCHANGE_LANES ? count : SEAL_EXCHANGE_LANES;
        seal_exchange_ifma(exchanges, part);
        exchanges += part;
        count -= part;
    }
    for (unsigned i = 0; i < count; i++)
        exchange_one(&exchanges[i]);
}
