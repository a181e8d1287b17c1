/* What an address tells an HTTP client: what to connect to, whom to ask for what. */
#ifndef STK_HTTP_ADDRESS_H
#define STK_HTTP_ADDRESS_H

#include "http.h"

enum { HTTP_HOST_MAX = 280, HTTP_ADDRESS_MAX = 8192 };

struct http_address {
    struct stk_recipe *stack; /* without the trailing http; one reference */
    char host[HTTP_HOST_MAX]; /* for the Host field; may be empty */
    char *target;             /* "/path?query", percent-encoded where it must be */
    bool is_url;
    bool is_secure; /* tls or seal stands somewhere in the stack */
};

int http_address_parse(const char *text, struct http_address *out, struct stk_error *error);
void http_address_free(struct http_address *address);
/*
 * Resolves a Location (RFC 3986 section 5) against the address that answered with it. Another host
 * is followed from URLs only: a stack says where to connect, and a header must not change
 * that. *other_origin tells whether credentials must stay behind. STK_EPEER where it is
 * forbidden.
 */
int http_address_resolve(const char *base, const char *location, char **out, bool *other_origin,
                         struct stk_error *error);

#endif
