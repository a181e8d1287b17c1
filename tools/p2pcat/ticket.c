#include "ticket.h"

#include <ctype.h>
#include <sodium.h>
#include <string.h>

enum {
    VERSION = 1,
    CHECK_BYTES = 4,
    BINARY_MAX = 1 + TICKET_KEY_BYTES + 1 + TICKET_ADDRESSES_MAX * 19 + CHECK_BYTES,
};

static const char prefix[] = "stk";
static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

/* --- Base32 ----------------------------------------------------------------------------------- */

static void encode(const uint8_t *data, size_t len, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | data[i];
        for (held += 8; held >= 5; held -= 5)
            *out++ = alphabet[bits >> (held - 5) & 31];
    }
    if (held > 0)
        *out++ = alphabet[bits << (5 - held) & 31];
    *out = '\0';
}

/* The count of bytes; -1 for a character that is none of the alphabet's, or too many. */
static long decode(const char *text, size_t len, uint8_t *out, size_t size)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t count = 0;

    for (size_t i = 0; i < len; i++) {
        const char *at = strchr(alphabet, tolower((unsigned char)text[i]));

        if (at == NULL || *at == '\0')
            return -1;
        bits = bits << 5 | (uint32_t)(at - alphabet);
        held += 5;
        if (held >= 8) {
            if (count == size)
                return -1;
            held -= 8;
            out[count++] = (uint8_t)(bits >> held);
        }
    }
    return (long)count;
}

/* --- Addresses -----------------------------------------------------------------------------------
 */

static void write_address(struct stk_writer *w, const struct stk_addr *addr)
{
    const bool six = addr->any.sa_family == AF_INET6;

    stk_write_u8(w, six ? 6 : 4);
    if (six)
        stk_write_bytes(w, &addr->in6.sin6_addr, 16);
    else
        stk_write_bytes(w, &addr->in.sin_addr, 4);
    stk_write_be16(w, stk_addr_port(addr));
}

static bool read_address(struct stk_reader *r, struct stk_addr *addr)
{
    const uint8_t kind = stk_read_u8(r);
    const uint8_t *bytes = stk_read_bytes(r, kind == 6 ? 16 : 4);
    const uint16_t port = stk_read_be16(r);

    if (r->failed || (kind != 4 && kind != 6) || port == 0)
        return false;
    memset(addr, 0, sizeof *addr);
    if (kind == 6) {
        addr->len = sizeof addr->in6;
        addr->in6.sin6_family = AF_INET6;
        memcpy(&addr->in6.sin6_addr, bytes, 16);
    } else {
        addr->len = sizeof addr->in;
        addr->in.sin_family = AF_INET;
        memcpy(&addr->in.sin_addr, bytes, 4);
    }
    stk_addr_set_port(addr, port);
    return true;
}

static void checksum(const uint8_t *data, size_t len, uint8_t check[CHECK_BYTES])
{
    uint8_t hash[32];

    crypto_generichash(hash, sizeof hash, data, len, NULL, 0);
    memcpy(check, hash, CHECK_BYTES);
}

/* --- The public face
 * --------------------------------------------------------------------------------- */

const char *ticket_format(const struct ticket *ticket, char text[TICKET_TEXT_MAX])
{
    uint8_t binary[BINARY_MAX], check[CHECK_BYTES];
    struct stk_writer w = stk_writer_of(binary, sizeof binary);

    stk_write_u8(&w, VERSION);
    stk_write_bytes(&w, ticket->key, sizeof ticket->key);
    stk_write_u8(&w, (uint8_t)ticket->count);
    for (int i = 0; i < ticket->count; i++)
        write_address(&w, &ticket->addresses[i]);
    checksum(binary, (size_t)(w.at - binary), check);
    stk_write_bytes(&w, check, sizeof check);
    strcpy(text, prefix);
    encode(binary, (size_t)(w.at - binary), text + sizeof prefix - 1);
    return text;
}

static int wrong(struct stk_error *error, const char *what)
{
    return stk_error_set(error, STK_ESYNTAX, "ticket", "%s", what);
}

static int parse_binary(struct ticket *ticket, const uint8_t *binary, size_t len,
                        struct stk_error *error)
{
    uint8_t check[CHECK_BYTES];

    if (len < 1 + TICKET_KEY_BYTES + 1 + CHECK_BYTES)
        return wrong(error, "the ticket is cut off: copy the whole line");
    checksum(binary, len - CHECK_BYTES, check);
    if (memcmp(check, binary + len - CHECK_BYTES, CHECK_BYTES) != 0)
        return wrong(error,
                     "a character of the ticket is wrong or missing: copy the whole line again");

    struct stk_reader r = stk_reader_of(binary, len - CHECK_BYTES);
    if (stk_read_u8(&r) != VERSION)
        return wrong(error, "the ticket is of a newer version: update p2pcat");
    memcpy(ticket->key, stk_read_bytes(&r, TICKET_KEY_BYTES), TICKET_KEY_BYTES);
    ticket->count = stk_read_u8(&r);
    if (ticket->count < 1 || ticket->count > TICKET_ADDRESSES_MAX)
        return wrong(error, "the ticket holds no usable address");
    for (int i = 0; i < ticket->count; i++)
        if (!read_address(&r, &ticket->addresses[i]))
            return wrong(error, "the ticket holds a broken address");
    return stk_reader_left(&r) == 0 ? 0 : wrong(error, "the ticket holds too many bytes");
}

int ticket_parse(struct ticket *ticket, const char *text, struct stk_error *error)
{
    uint8_t binary[BINARY_MAX];
    size_t len;

    while (isspace((unsigned char)*text))
        text++;
    for (len = strlen(text); len > 0 && isspace((unsigned char)text[len - 1]); len--)
        ;
    if (len < sizeof prefix || strncasecmp(text, prefix, sizeof prefix - 1) != 0)
        return wrong(
            error, "a ticket begins with \"stk\"; \"p2pcat listen\" on the other side prints one");
    const long count =
        decode(text + sizeof prefix - 1, len - sizeof prefix + 1, binary, sizeof binary);
    if (count < 0)
        return wrong(error, "the ticket holds a character that no ticket has");
    return parse_binary(ticket, binary, (size_t)count, error);
}
