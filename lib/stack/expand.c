#include "expand.h"

#include <stdio.h>
#include <strings.h>

struct authority {
    char host[256];
    unsigned port; /* 0: none given */
    size_t len;    /* bytes of the text that it took */
    bool bracketed;
};

static bool parse_port(const char *digits, size_t len, unsigned *port)
{
    unsigned value = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        value = value * 10 + (unsigned)(digits[i] - '0');
    }
    *port = value;
    return value <= 65535;
}

/* host [":" port] or "[" ip6 "]" [":" port], up to the end or a '/', '?' or '#' (RFC 3986
 * section 3.2). */
static bool parse_authority(const char *text, struct authority *a)
{
    const size_t len = strcspn(text, "/?#");
    const char *end = text + len, *host_end, *after;

    *a = (struct authority){.len = len};
    if (text[0] == '[') {
        host_end = memchr(text, ']', len);
        if (host_end == NULL)
            return false;
        text++;
        after = host_end + 1;
        a->bracketed = true;
    } else {
        host_end = memchr(text, ':', len);
        if (host_end == NULL)
            host_end = end;
        after = host_end;
    }
    if ((size_t)(host_end - text) >= sizeof a->host)
        return false;
    memcpy(a->host, text, (size_t)(host_end - text));
    if (a->bracketed && stk_addr_parse_ip(&(struct stk_addr){0}, a->host, 0) < 0)
        return false; /* brackets are for IPv6 literals */
    return after == end ||
           (*after == ':' && parse_port(after + 1, (size_t)(end - after - 1), &a->port));
}

/* The host as a segment: literal addresses are told from names. */
static void host_segment(const char *host, char *out, size_t size)
{
    struct stk_addr addr;
    char encoded[800];

    stk_percent_encode(host, encoded, sizeof encoded);
    if (stk_addr_parse_ip(&addr, host, 0) == 0)
        snprintf(out, size, "/%s/%s", addr.any.sa_family == AF_INET6 ? "ip6" : "ip4", encoded);
    else
        snprintf(out, size, "/dns/%s", encoded);
}

/* The only HTTP that is spoken here: who would rather speak another one hears it at once. */
static const char tls_for_http[] = "/tls,alpn=http%2F1.1";

static int expand_url(const char *text, bool secure, char *out, size_t size,
                      struct stk_error *error)
{
    const char *rest = text + (secure ? 8 : 7);
    struct authority a;
    char host[1024];

    if (!parse_authority(rest, &a) || a.host[0] == '\0' || memchr(rest, '@', a.len) != NULL)
        return stk_error_set(error, STK_ESYNTAX, "recipe",
                             "\"%.80s\": expected http://HOST[:PORT]/PATH without user names",
                             text);
    host_segment(a.host, host, sizeof host);
    rest += a.len;
    const size_t path_len = strcspn(rest, "#");
    const int len = snprintf(out, size, "%s/tcp/%u%s/http/%.*s", host,
                             a.port != 0 ? a.port : (secure ? 443 : 80), secure ? tls_for_http : "",
                             (int)(path_len - (rest[0] == '/')), rest + (rest[0] == '/'));
    if (len >= (int)size)
        return stk_error_set(error, STK_ESYNTAX, "recipe", "the URL is too long");
    return 0;
}

int recipe_expand(const char *text, char *out, size_t size, struct stk_error *error)
{
    struct authority a;
    char host[1024] = "/ip6/::";

    if (strcmp(text, "-") == 0) {
        snprintf(out, size, "/stdio");
        return 0;
    }
    if (strncasecmp(text, "https://", 8) == 0)
        return expand_url(text, true, out, size, error);
    if (strncasecmp(text, "http://", 7) == 0)
        return expand_url(text, false, out, size, error);
    if (strlen(text) < 512 && strchr(text, '/') == NULL && parse_authority(text, &a) &&
        text[a.len] == '\0' && strrchr(text, ':') != NULL && text[strlen(text) - 1] != ']') {
        if (a.host[0] != '\0')
            host_segment(a.host, host, sizeof host);
        snprintf(out, size, "%s/tcp/%u", host, a.port);
        return 0;
    }
    return stk_error_set(
        error, STK_ESYNTAX, "recipe",
        "\"%.60s\" is no address: expected /ip4/ADDRESS/tcp/PORT/…, HOST:PORT, a URL, or -", text);
}
