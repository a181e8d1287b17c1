#include "tls_pin.h"

#include <openssl/evp.h>

enum { HEX_CHARS = 2 * TLS_PIN_BYTES, BASE64_CHARS = 43 /* without padding */ };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

static bool decode(const char *text, size_t len, int (*digit)(char), unsigned bits, uint8_t *out)
{
    unsigned held = 0, held_bits = 0;
    size_t filled = 0;

    for (size_t i = 0; i < len; i++) {
        const int value = digit(text[i]);

        if (value < 0)
            return false;
        held = held << bits | (unsigned)value;
        held_bits += bits;
        if (held_bits >= 8 && filled < TLS_PIN_BYTES) {
            held_bits -= 8;
            out[filled++] = (uint8_t)(held >> held_bits);
            held &= (1u << held_bits) - 1;
        }
    }
    /* Left-over bits that are not zero would be a second spelling of the same pin. */
    return filled == TLS_PIN_BYTES && held == 0;
}

static bool parse_one(const char *text, size_t len, uint8_t *pin)
{
    if (len == HEX_CHARS)
        return decode(text, len, hex_digit, 4, pin);
    if (len == BASE64_CHARS + 1 && text[len - 1] == '=')
        len--;
    return len == BASE64_CHARS && decode(text, len, base64_digit, 6, pin);
}

int tls_pins_parse(struct tls_pins *pins, const char *text, struct stk_error *error)
{
    for (pins->count = 0; text != NULL; pins->count++) {
        const size_t len = strcspn(text, ";");

        if (pins->count == STK_TLS_PINS_MAX)
            return stk_error_set(error, STK_ELIMIT, "tls", "more than %d pins", STK_TLS_PINS_MAX);
        if (!parse_one(text, len, pins->list[pins->count]))
            return stk_error_set(error, STK_ESYNTAX, "tls",
                                 "pin=%.*s: expected the SHA-256 of a public key, as 44 characters "
                                 "of base64 or 64 of hex",
                                 (int)(len < 80 ? len : 80), text);
        text = text[len] == ';' ? text + len + 1 : NULL;
    }
    return 0;
}

bool tls_pin_of(X509 *certificate, uint8_t pin[TLS_PIN_BYTES])
{
    uint8_t *der = NULL;
    const int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    const bool done = len > 0 && EVP_Digest(der, (size_t)len, pin, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    return done;
}

bool tls_pins_accept(const struct tls_pins *pins, X509 *certificate)
{
    uint8_t pin[TLS_PIN_BYTES];

    if (pins->count == 0)
        return true;
    if (certificate == NULL || !tls_pin_of(certificate, pin))
        return false;
    for (unsigned i = 0; i < pins->count; i++)
        if (memcmp(pins->list[i], pin, sizeof pin) == 0)
            return true;
    return false;
}

const char *tls_pin_format(const uint8_t pin[TLS_PIN_BYTES], char text[TLS_PIN_TEXT_BYTES])
{
    EVP_EncodeBlock((unsigned char *)text, pin, TLS_PIN_BYTES);
    return text;
}
