/*
 * Goal: the exchanges of eight, and public keys, are those of libsodium for all secrets and points.
 * An input: which lanes have the base point (1, a bit each), how many lanes (1), then for each lane
 * the secret (32) and the point (32). Bytes that are missing are those of the lane before.
 */
#include "exchange.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lane {
    uint8_t secret[SEAL_EXCHANGE_BYTES], point[SEAL_EXCHANGE_BYTES], shared[SEAL_EXCHANGE_BYTES];
};

static struct lane lanes[SEAL_EXCHANGE_LANES];

static size_t take(uint8_t *out, const uint8_t **data, size_t left)
{
    const size_t len = left < SEAL_EXCHANGE_BYTES ? left : SEAL_EXCHANGE_BYTES;

    if (len)
        memcpy(out, *data, len);
    *data += len;
    return left - len;
}

static void read_lanes(const uint8_t *data, size_t left)
{
    memset(lanes, 0, sizeof(lanes));
    for (unsigned i = 0; i < SEAL_EXCHANGE_LANES; i++) {
        if (i > 0)
            lanes[i] = lanes[i - 1];
        left = take(lanes[i].secret, &data, left);
        left = take(lanes[i].point, &data, left);
    }
}

static void expect_libsodiums(const struct seal_exchange *e)
{
    uint8_t expected[SEAL_EXCHANGE_BYTES] = {0};

    if (!e->point)
        crypto_scalarmult_base(expected, e->secret);
    else if (crypto_scalarmult(expected, e->secret, e->point))
        memset(expected, 0, sizeof(expected));
    if (memcmp(e->shared, expected, sizeof(expected)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seal_exchange exchanges[SEAL_EXCHANGE_LANES];

    if (sodium_init() < 0)
        abort();
    if (size < 2)
        return 0;
    const uint8_t base = data[0];
    const unsigned count = 1 + data[1] % SEAL_EXCHANGE_LANES;
    read_lanes(data + 2, size - 2);
    for (unsigned i = 0; i < count; i++)
        exchanges[i] = (struct seal_exchange){lanes[i].shared, lanes[i].secret,
                                              base >> i & 1 ? NULL : lanes[i].point};
    if (seal_exchange_ifma_works()) {
        seal_exchange_ifma(exchanges, count);
        for (unsigned i = 0; i < count; i++)
            expect_libsodiums(&exchanges[i]);
    }
    memset(lanes[0].shared, 0xaa, SEAL_EXCHANGE_BYTES);
    seal_exchange(exchanges, 1); /* one by one */
    expect_libsodiums(&exchanges[0]);
    return 0;
}
