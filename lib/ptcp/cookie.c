#include "cookie.h"

#include "bytes.h"

#include <sodium/crypto_generichash.h>
#include <sodium/crypto_verify_16.h>

enum { TIME_BYTES = 8, MAC_BYTES = 16 };

_Static_assert(TIME_BYTES + MAC_BYTES == PTCP_COOKIE_BYTES, "cookie layout");

static void make_mac(uint8_t mac[MAC_BYTES], const uint8_t *key, uint64_t time_us,
                     const struct stk_addr *peer, uint64_t id)
{
    uint8_t text[8 + 8 + 2 + 16] = {0};
    struct stk_writer w = stk_writer_of(text, sizeof(text));

    stk_write_be64(&w, time_us);
    stk_write_be64(&w, id);
    stk_write_be16(&w, stk_addr_port(peer));
    if (peer->any.sa_family == AF_INET)
        stk_write_bytes(&w, &peer->in.sin_addr, 4);
    else if (peer->any.sa_family == AF_INET6)
        stk_write_bytes(&w, &peer->in6.sin6_addr, 16);
    else
        stk_write_be64(&w, stk_addr_hash(peer, 0));
    crypto_generichash(mac, MAC_BYTES, text, sizeof(text), key, PTCP_COOKIE_KEY_BYTES);
}

void ptcp_cookie_make(uint8_t cookie[PTCP_COOKIE_BYTES], const uint8_t key[PTCP_COOKIE_KEY_BYTES],
                      uint64_t now_us, const struct stk_addr *peer, uint64_t id)
{
    stk_store_be64(cookie, now_us);
    make_mac(cookie + TIME_BYTES, key, now_us, peer, id);
}

bool ptcp_cookie_ok(const uint8_t *cookie, size_t len, const uint8_t key[PTCP_COOKIE_KEY_BYTES],
                    uint64_t now_us, const struct stk_addr *peer, uint64_t id)
{
    uint8_t mac[MAC_BYTES];
    uint64_t time_us;

    if (len != PTCP_COOKIE_BYTES)
        return false;
    time_us = stk_load_be64(cookie);
    if (time_us > now_us || now_us - time_us > PTCP_COOKIE_LIFETIME_US)
        return false;
    make_mac(mac, key, time_us, peer, id);
    return crypto_verify_16(mac, cookie + TIME_BYTES) == 0;
}
