#include "seal.h"

#include "base.h"

#include <sodium.h>
#include <string.h>

/* RFC 4648's alphabet in lower case: no character looks like another one of it. */
static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

enum {
    TEXT_LENGTH = STK_KEY_TEXT_MAX - 1, /* 52 characters carry 260 bits: 256 and 4 of check */
    BITS = 5,
};

void stk_key_pair_from_seed(struct stk_key_pair *pair, const uint8_t seed[32])
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];

    memmove(pair->seed, seed, sizeof(pair->seed));
    crypto_sign_seed_keypair(pair->public_key, secret, pair->seed);
    sodium_memzero(secret, sizeof(secret));
}

void stk_key_pair_new(struct stk_key_pair *pair)
{
    uint8_t seed[32];

    stk_random_secret(seed, sizeof(seed));
    stk_key_pair_from_seed(pair, seed);
    sodium_memzero(seed, sizeof(seed));
}

void stk_key_pair_wipe(struct stk_key_pair *pair) { sodium_memzero(pair, sizeof(*pair)); }

/* Four bits that catch 15 of 16 typing errors; the curve equation catches half of the rest. */
static unsigned check_bits(const uint8_t key[STK_KEY_BYTES])
{
    uint8_t digest[crypto_generichash_BYTES_MIN];

    crypto_generichash(digest, sizeof(digest), key, STK_KEY_BYTES, NULL, 0);
    return digest[0] & 15;
}

const char *stk_key_format(const uint8_t key[STK_KEY_BYTES], char text[STK_KEY_TEXT_MAX])
{
    unsigned held = 0, bits = 0;
    char *out = text;

    for (int i = 0; i < STK_KEY_BYTES; i++) {
        held = held << 8 | key[i];
        for (bits += 8; bits >= BITS; bits -= BITS)
            *out++ = alphabet[held >> (bits - BITS) & 31];
        held &= (1u << bits) - 1;
    }
    *out++ = alphabet[(held << 4 | check_bits(key)) & 31];
    *out = '\0';
    return text;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

static int refuse_character(const char *text, size_t at, struct stk_error *error)
{
    const char c = text[at];

    if (c < 0x21 || c > 0x7e)
        return stk_error_set(error, STK_ESYNTAX, "seal",
                             "character %zu of the key is a blank or unprintable: was the key "
                             "pasted whole?",
                             at + 1);
    return stk_error_set(error, STK_ESYNTAX, "seal",
                         "character %zu of the key is '%c': keys are written with a-z and 2-7 only",
                         at + 1, c);
}

static int check_text(const char *text, struct stk_error *error)
{
    const size_t len = strnlen(text, 4096);

    for (size_t i = 0; i < len; i++)
        if (digit(text[i]) < 0)
            return refuse_character(text, i, error);
    if (len != TEXT_LENGTH)
        return stk_error_set(error, STK_ESYNTAX, "seal",
                             "the key has %zu characters where a key has %d: was it cut?", len,
                             TEXT_LENGTH);
    return 0;
}

int stk_key_parse(uint8_t key[STK_KEY_BYTES], const char *text, struct stk_error *error)
{
    struct stk_error ignored;
    uint8_t bytes[STK_KEY_BYTES + 1];
    unsigned held = 0, bits = 0, filled = 0;

    if (!error)
        error = &ignored;
    const int code = check_text(text, error);
    if (code)
        return code;

    for (int i = 0; i < TEXT_LENGTH; i++) {
        held = held << BITS | (unsigned)digit(text[i]);
        bits += BITS;
        if (bits >= 8) {
            bits -= 8;
            bytes[filled++] = (uint8_t)(held >> bits);
            held &= (1u << bits) - 1;
        }
    }
    if (held != check_bits(bytes) || !crypto_core_ed25519_is_valid_point(bytes))
        return stk_error_set(error, STK_ESYNTAX, "seal",
                             "this is no key although it looks like one: a character is mistyped");
    memcpy(key, bytes, STK_KEY_BYTES);
    return 0;
}
