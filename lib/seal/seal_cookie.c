#include "seal_cookie.h"

#include <sodium.h>
#include <string.h>

static void label(uint8_t out[SEAL_MAC_KEY], const char *text, const uint8_t key[SEAL_NOISE_KEY])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, SEAL_MAC_KEY);
    crypto_generichash_update(&state, (const uint8_t *)text, strlen(text));
    crypto_generichash_update(&state, key, SEAL_NOISE_KEY);
    crypto_generichash_final(&state, out, SEAL_MAC_KEY);
}

void seal_mac_keys_of(struct seal_mac_keys *keys, const uint8_t static_key[SEAL_NOISE_KEY])
{
    label(keys->mac1, SEAL_PROLOGUE " mac1", static_key);
    label(keys->cookie, SEAL_PROLOGUE " cookie", static_key);
}

static void mac(uint8_t out[SEAL_MAC], const uint8_t *key, size_t key_len, const uint8_t *message,
                size_t len)
{
    crypto_generichash(out, SEAL_MAC, message, len, key, key_len);
}

void seal_mac1_write(const struct seal_mac_keys *keys, const uint8_t *message, uint8_t *mac1)
{
    mac(mac1, keys->mac1, SEAL_MAC_KEY, message, (size_t)(mac1 - message));
}

bool seal_mac1_verify(const struct seal_mac_keys *keys, const uint8_t *message, const uint8_t *mac1)
{
    uint8_t expected[SEAL_MAC];

    mac(expected, keys->mac1, SEAL_MAC_KEY, message, (size_t)(mac1 - message));
    return !sodium_memcmp(expected, mac1, SEAL_MAC);
}

/* mac1 stands for all before it: so a flood with made-up macs costs a short hash for each. */
void seal_mac2_write(const uint8_t cookie[SEAL_COOKIE_BYTES], const uint8_t mac1[SEAL_MAC],
                     uint8_t mac2[SEAL_MAC])
{
    static_assert(SEAL_MAC == crypto_shorthash_siphashx24_BYTES, "128 bits");
    static_assert(SEAL_COOKIE_BYTES == crypto_shorthash_siphashx24_KEYBYTES, "a cookie is a key");
    crypto_shorthash_siphashx24(mac2, mac1, SEAL_MAC, cookie);
}

bool seal_cookie_jar_due(const struct seal_cookie_jar *jar, uint64_t now_us)
{
    return !jar->filled || now_us - jar->born_us >= SEAL_COOKIE_LIFE_US;
}

void seal_cookie_jar_turn(struct seal_cookie_jar *jar, uint64_t now_us,
                          const uint8_t random[SEAL_COOKIE_RANDOM])
{
    const bool recent = jar->filled && now_us - jar->born_us < 2 * (uint64_t)SEAL_COOKIE_LIFE_US;

    memcpy(jar->secret[1], recent ? jar->secret[0] : random, 32);
    memcpy(jar->secret[0], random, 32);
    memcpy(jar->nonce, random + 32, sizeof(jar->nonce));
    jar->born_us = now_us;
    jar->filled = true;
}

void seal_cookie_nonce(struct seal_cookie_jar *jar, uint8_t nonce[SEAL_COOKIE_NONCE])
{
    memcpy(nonce, jar->nonce, sizeof(jar->nonce));
    stk_store_be64(nonce + sizeof(jar->nonce), jar->replies++);
}

/* The address as bytes: family, then port and host, with nothing that could differ by accident. */
static size_t address_bytes(const struct stk_addr *from, uint8_t out[24])
{
    struct stk_writer w = stk_writer_of(out, 24);

    stk_write_be16(&w, (uint16_t)from->any.sa_family);
    stk_write_be16(&w, stk_addr_port(from));
    if (from->any.sa_family == AF_INET6)
        stk_write_bytes(&w, &from->in6.sin6_addr, 16);
    else if (from->any.sa_family == AF_INET)
        stk_write_bytes(&w, &from->in.sin_addr, 4);
    else
        stk_write_be64(&w, stk_addr_hash(from, 0));
    return (size_t)(w.at - out);
}

static void cookie_for(const uint8_t secret[32], const struct stk_addr *from,
                       uint8_t cookie[SEAL_COOKIE_BYTES])
{
    uint8_t bytes[24];
    const size_t len = address_bytes(from, bytes);

    static_assert(SEAL_COOKIE_BYTES == crypto_shorthash_siphashx24_BYTES, "128 bits");
    static_assert(crypto_shorthash_siphashx24_KEYBYTES <= 32, "a secret is long enough");
    crypto_shorthash_siphashx24(cookie, bytes, len, secret);
}

bool seal_cookie_verify(const struct seal_cookie_jar *jar, const struct stk_addr *from,
                        const uint8_t *initiation, size_t len)
{
    const uint8_t *mac2 = initiation + len - SEAL_MAC;
    uint8_t cookie[SEAL_COOKIE_BYTES], expected[SEAL_MAC];
    bool good = false;

    if (sodium_is_zero(mac2, SEAL_MAC))
        return false; /* whoever has no cookie yet says so: most of a flood */
    for (int i = 0; jar->filled && i < 2; i++) {
        cookie_for(jar->secret[i], from, cookie);
        seal_mac2_write(cookie, mac2 - SEAL_MAC, expected);
        good |= !sodium_memcmp(expected, mac2, SEAL_MAC);
    }
    return good;
}

void seal_cookie_reply(const struct seal_cookie_jar *jar, const struct seal_mac_keys *own,
                       const struct stk_addr *from, const uint8_t *initiation, size_t len,
                       const uint8_t nonce[SEAL_COOKIE_NONCE], uint8_t reply[SEAL_COOKIE_SIZE])
{
    const uint8_t *mac1 = initiation + len - 2 * SEAL_MAC;
    uint8_t cookie[SEAL_COOKIE_BYTES];

    cookie_for(jar->secret[0], from, cookie);
    seal_handshake_header(reply, SEAL_COOKIE, stk_load_be32(initiation + 4));
    memcpy(reply + SEAL_HANDSHAKE_HEADER, nonce, SEAL_COOKIE_NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(reply + SEAL_HANDSHAKE_HEADER + SEAL_COOKIE_NONCE,
                                               NULL, cookie, sizeof(cookie), mac1, SEAL_MAC, NULL,
                                               nonce, own->cookie);
}

int seal_cookie_open(const struct seal_mac_keys *peer, const uint8_t sent_mac1[SEAL_MAC],
                     const uint8_t reply[SEAL_COOKIE_SIZE], uint8_t cookie[SEAL_COOKIE_BYTES])
{
    const uint8_t *nonce = reply + SEAL_HANDSHAKE_HEADER;

    return crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, nonce + SEAL_COOKIE_NONCE,
                                                      SEAL_COOKIE_BYTES + 16, sent_mac1, SEAL_MAC,
                                                      nonce, peer->cookie);
}
