#include "addr.h"

#include "bytes.h"
#include "error.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum {
    IP_TEXT_MAX = INET6_ADDRSTRLEN + 1 + IF_NAMESIZE, /* "fe80::1%eth0" */
    PATH_OFFSET = offsetof(struct sockaddr_un, sun_path),
};

static bool is_link_local(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_LINKLOCAL(ip) || IN6_IS_ADDR_MC_LINKLOCAL(ip);
}

/* Plain decimal digits only: no sign, no space, nothing behind. */
static bool parse_decimal(const char *text, uint32_t max, uint32_t *value)
{
    uint64_t v = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
        if (v > max)
            return false;
    }
    *value = (uint32_t)v;
    return true;
}

static bool parse_scope(const char *text, uint32_t *scope)
{
    if (!parse_decimal(text, UINT32_MAX, scope))
        *scope = if_nametoindex(text);
    return *scope != 0;
}

static void set_in(struct stk_addr *addr, const struct in_addr *ip, uint16_t port)
{
    *addr = (struct stk_addr){.len = sizeof addr->in};
    addr->in.sin_family = AF_INET;
    addr->in.sin_addr = *ip;
    addr->in.sin_port = htons(port);
}

static void set_in6(struct stk_addr *addr, const struct in6_addr *ip, uint16_t port, uint32_t scope)
{
    *addr = (struct stk_addr){.len = sizeof addr->in6};
    addr->in6.sin6_family = AF_INET6;
    addr->in6.sin6_addr = *ip;
    addr->in6.sin6_port = htons(port);
    addr->in6.sin6_scope_id = scope;
}

static int parse_ip6(struct stk_addr *addr, const char *ip, uint16_t port)
{
    const char *percent = strchr(ip, '%');
    const size_t len = percent ? (size_t)(percent - ip) : strlen(ip);
    char bare[INET6_ADDRSTRLEN];
    struct in6_addr in6;
    uint32_t scope = 0;

    if (len >= sizeof bare)
        return STK_ESYNTAX;
    memcpy(bare, ip, len);
    bare[len] = '\0';
    if (inet_pton(AF_INET6, bare, &in6) != 1)
        return STK_ESYNTAX;
    /* Elsewhere a scope means nothing, and would make equal addresses differ. */
    if (percent && (!is_link_local(&in6) || !parse_scope(percent + 1, &scope)))
        return STK_ESYNTAX;
    set_in6(addr, &in6, port, scope);
    return 0;
}

int stk_addr_parse_ip(struct stk_addr *addr, const char *ip, uint16_t port)
{
    struct in_addr in;

    if (inet_pton(AF_INET, ip, &in) != 1)
        return parse_ip6(addr, ip, port);
    set_in(addr, &in, port);
    return 0;
}

int stk_addr_parse(struct stk_addr *addr, const char *text)
{
    const bool bracketed = text[0] == '[';
    const char *ip = bracketed ? text + 1 : text;
    const char *end = strchr(ip, bracketed ? ']' : ':');
    const char *colon = end && bracketed ? end + 1 : end;
    char copy[IP_TEXT_MAX];
    uint32_t port;

    if (!end || *colon != ':' || (size_t)(end - ip) >= sizeof copy)
        return STK_ESYNTAX;
    memcpy(copy, ip, (size_t)(end - ip));
    copy[end - ip] = '\0';
    /* IPv6 in brackets, IPv4 without: anything else reads like a mistake. */
    if (bracketed != (strchr(copy, ':') != NULL) || !parse_decimal(colon + 1, UINT16_MAX, &port))
        return STK_ESYNTAX;
    return stk_addr_parse_ip(addr, copy, (uint16_t)port);
}

int stk_addr_unix(struct stk_addr *addr, const char *path)
{
    const bool abstract = path[0] == '@';
    const size_t len = strlen(path);

    /* An abstract name has no final NUL: its length counts. */
    if (len + !abstract > sizeof addr->un.sun_path)
        return -ENAMETOOLONG;
    *addr = (struct stk_addr){.len = (socklen_t)(PATH_OFFSET + len + !abstract)};
    addr->un.sun_family = AF_UNIX;
    memcpy(addr->un.sun_path, path, len);
    if (abstract)
        addr->un.sun_path[0] = '\0';
    return 0;
}

void stk_addr_from_sockaddr(struct stk_addr *addr, const struct sockaddr *sa, socklen_t len)
{
    *addr = (struct stk_addr){.len = 0};
    if (!sa || len < (socklen_t)sizeof sa->sa_family || len > (socklen_t)sizeof addr->un)
        return;
    memcpy(&addr->any, sa, len);
    addr->len = len;
}

static sa_family_t family(const struct stk_addr *addr)
{
    return addr->len ? addr->any.sa_family : (sa_family_t)AF_UNSPEC;
}

static void format_scope(uint32_t scope, char *text, size_t size)
{
    char name[IF_NAMESIZE];

    if (scope == 0)
        text[0] = '\0';
    else if (if_indextoname(scope, name))
        snprintf(text, size, "%%%s", name);
    else
        snprintf(text, size, "%%%u", scope);
}

/* The bare IP address; empty for what is none. */
static void ip_text(const struct stk_addr *addr, char text[IP_TEXT_MAX])
{
    size_t len;

    text[0] = '\0';
    if (family(addr) == AF_INET)
        inet_ntop(AF_INET, &addr->in.sin_addr, text, IP_TEXT_MAX);
    if (family(addr) != AF_INET6)
        return;
    inet_ntop(AF_INET6, &addr->in6.sin6_addr, text, IP_TEXT_MAX);
    len = strlen(text);
    if (is_link_local(&addr->in6.sin6_addr))
        format_scope(addr->in6.sin6_scope_id, text + len, IP_TEXT_MAX - len);
}

/* The kernel counts the final NUL of a path or does not; an abstract name is all that is there. */
static size_t unix_path_len(const struct stk_addr *addr)
{
    const char *path = addr->un.sun_path;
    const size_t len = addr->len > PATH_OFFSET ? addr->len - PATH_OFFSET : 0;

    return len > 0 && path[0] != '\0' ? strnlen(path, len) : len;
}

static void format_unix(const struct stk_addr *addr, char *text)
{
    const char *path = addr->un.sun_path;
    const size_t len = unix_path_len(addr);

    for (size_t i = 0; i < len; i++)
        text[i] = path[i] ? path[i] : '@';
    text[len] = '\0';
}

const char *stk_addr_format(const struct stk_addr *addr, char text[STK_ADDR_TEXT_MAX])
{
    char ip[IP_TEXT_MAX];

    ip_text(addr, ip);
    text[0] = '\0';
    if (family(addr) == AF_INET)
        snprintf(text, STK_ADDR_TEXT_MAX, "%s:%u", ip, stk_addr_port(addr));
    if (family(addr) == AF_INET6)
        snprintf(text, STK_ADDR_TEXT_MAX, "[%s]:%u", ip, stk_addr_port(addr));
    if (family(addr) == AF_UNIX)
        format_unix(addr, text);
    return text;
}

const char *stk_addr_format_ip(const struct stk_addr *addr, char text[STK_ADDR_TEXT_MAX])
{
    char ip[IP_TEXT_MAX];

    ip_text(addr, ip);
    if (ip[0])
        snprintf(text, STK_ADDR_TEXT_MAX, "/ip%c/%s", family(addr) == AF_INET ? '4' : '6', ip);
    else
        text[0] = '\0';
    return text;
}

uint16_t stk_addr_port(const struct stk_addr *addr)
{
    if (family(addr) == AF_INET)
        return ntohs(addr->in.sin_port);
    return family(addr) == AF_INET6 ? ntohs(addr->in6.sin6_port) : 0;
}

void stk_addr_set_port(struct stk_addr *addr, uint16_t port)
{
    if (family(addr) == AF_INET)
        addr->in.sin_port = htons(port);
    if (family(addr) == AF_INET6)
        addr->in6.sin6_port = htons(port);
}

static bool is_mapped(const struct stk_addr *addr)
{
    return family(addr) == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);
}

void stk_addr_unmap(struct stk_addr *addr)
{
    struct in_addr in;

    if (!is_mapped(addr))
        return;
    memcpy(&in, addr->in6.sin6_addr.s6_addr + 12, sizeof in);
    set_in(addr, &in, stk_addr_port(addr));
}

/* What makes two addresses the same, as bytes: padding, flow labels and idle scopes are left out.
 */
enum { IDENTITY_MAX = 1 + sizeof(struct sockaddr_un) };

static size_t identity(const struct stk_addr *addr, uint8_t out[IDENTITY_MAX])
{
    struct stk_writer w = stk_writer_of(out, IDENTITY_MAX);
    struct stk_addr plain = *addr;

    stk_addr_unmap(&plain);
    stk_write_u8(&w, (uint8_t)family(&plain));
    stk_write_be16(&w, stk_addr_port(&plain));
    if (family(&plain) == AF_INET)
        stk_write_bytes(&w, &plain.in.sin_addr, sizeof plain.in.sin_addr);
    if (family(&plain) == AF_INET6)
        stk_write_bytes(&w, &plain.in6.sin6_addr, sizeof plain.in6.sin6_addr);
    if (family(&plain) == AF_INET6 && is_link_local(&plain.in6.sin6_addr))
        stk_write_be32(&w, plain.in6.sin6_scope_id);
    if (family(&plain) == AF_UNIX)
        stk_write_bytes(&w, plain.un.sun_path, unix_path_len(&plain));
    assert(!w.failed);
    return IDENTITY_MAX - stk_writer_left(&w);
}

bool stk_addr_equal(const struct stk_addr *a, const struct stk_addr *b)
{
    uint8_t identity_a[IDENTITY_MAX], identity_b[IDENTITY_MAX];
    const size_t len = identity(a, identity_a);

    return identity(b, identity_b) == len && memcmp(identity_a, identity_b, len) == 0;
}

/* --- SipHash-2-4: peers choose their addresses, so the hash must not be steerable ----------- */

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t rotate_left(uint64_t v, int bits) { return v << bits | v >> (64 - bits); }

static void sip_rounds(struct sip *s, int rounds)
{
    while (rounds-- > 0) {
        s->a += s->b;
        s->c += s->d;
        s->b = rotate_left(s->b, 13) ^ s->a;
        s->d = rotate_left(s->d, 16) ^ s->c;
        s->a = rotate_left(s->a, 32) + s->d;
        s->c += s->b;
        s->b = rotate_left(s->b, 17) ^ s->c;
        s->d = rotate_left(s->d, 21) ^ s->a;
        s->c = rotate_left(s->c, 32);
    }
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_rounds(s, 2);
    s->a ^= word;
}

static uint64_t sip_hash(const uint8_t *data, size_t len, uint64_t key)
{
    struct sip s = {
        UINT64_C(0x736f6d6570736575) ^ key,
        UINT64_C(0x646f72616e646f6d) ^ ~key,
        UINT64_C(0x6c7967656e657261) ^ key,
        UINT64_C(0x7465646279746573) ^ ~key,
    };
    uint8_t last[8] = {0};
    size_t at = 0;

    for (; at + 8 <= len; at += 8)
        sip_word(&s, stk_load_be64(data + at));
    memcpy(last, data + at, len - at);
    last[7] = (uint8_t)len;
    sip_word(&s, stk_load_be64(last));
    s.c ^= 0xff;
    sip_rounds(&s, 4);
    return s.a ^ s.b ^ s.c ^ s.d;
}

uint64_t stk_addr_hash(const struct stk_addr *addr, uint64_t seed)
{
    uint8_t bytes[IDENTITY_MAX];
    const size_t len = identity(addr, bytes);

    return sip_hash(bytes, len, seed);
}

bool stk_addr_is_loopback(const struct stk_addr *addr)
{
    struct stk_addr plain = *addr;

    stk_addr_unmap(&plain);
    if (family(&plain) == AF_INET)
        return ntohl(plain.in.sin_addr.s_addr) >> 24 == 127;
    return family(&plain) == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&plain.in6.sin6_addr);
}

bool stk_addr_is_any(const struct stk_addr *addr)
{
    struct stk_addr plain = *addr;

    stk_addr_unmap(&plain);
    if (family(&plain) == AF_INET)
        return plain.in.sin_addr.s_addr == htonl(INADDR_ANY);
    return family(&plain) == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&plain.in6.sin6_addr);
}
