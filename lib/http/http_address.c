#include "http_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static bool is_http_url(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

/* --- The parts of an address
 * ------------------------------------------------------------------------ */

/* The nearest to a name that the stack knows: what TLS is asked for, or what is connected to. */
static void find_host(const struct stk_recipe *recipe, const struct stk_segment *http, char *out)
{
    const struct stk_segment *tls = stk_recipe_find(recipe, "tls");
    const struct stk_segment *tcp = stk_recipe_find(recipe, "tcp");
    const struct stk_segment *first = &recipe->segments[0];
    const char *host = tls ? stk_segment_text(tls, "sni", NULL) : NULL;
    const char *port = tcp ? tcp->value : NULL;

    if (http != NULL && stk_segment_text(http, "host", NULL) != NULL) {
        snprintf(out, HTTP_HOST_MAX, "%s", stk_segment_text(http, "host", ""));
        return;
    }
    if (host == NULL && first->type->above == STK_HOST)
        host = first->value;
    if (host == NULL)
        host = "localhost";
    if (port != NULL && strcmp(port, tls ? "443" : "80") == 0)
        port = NULL;
    snprintf(out, HTTP_HOST_MAX, strchr(host, ':') ? "[%s]%s%s" : "%s%s%s", host, port ? ":" : "",
             port ? port : "");
}

/* Bytes that no target may hold are encoded; what is encoded already stays. */
static char *make_target(const char *path)
{
    const size_t len = strlen(path);
    char *target = stk_alloc(3 * len + 2), *at = target;

    if (target == NULL)
        return NULL;
    if (path[0] != '/')
        *at++ = '/';
    for (const unsigned char *c = (const unsigned char *)path; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            at += sprintf(at, "%%%02X", *c);
        else
            *at++ = (char)*c;
    }
    *at = '\0';
    return target;
}

int http_address_parse(const char *text, struct http_address *out, struct stk_error *error)
{
    struct stk_recipe *whole;
    int status = stk_recipe_parse(text, &whole, error);

    if (status < 0)
        return status;
    const struct stk_segment *top = &whole->segments[whole->count - 1];
    const struct stk_segment *http = top->type == &stk_layer_http ? top : NULL;

    *out = (struct http_address){
        .is_url = is_http_url(text),
        .is_secure = stk_recipe_find(whole, "tls") || stk_recipe_find(whole, "seal"),
    };
    find_host(whole, http, out->host);
    out->target = make_target(http != NULL && http->value != NULL ? http->value : "");
    if (out->target == NULL)
        status = stk_error_set(error, -ENOMEM, "http", "out of memory");
    else if (http == NULL)
        out->stack = stk_recipe_ref(whole);
    else if ((status = stk_recipe_prefix(whole, whole->count - 1, &out->stack)) < 0)
        stk_error_set(error, status, "http", "%s", stk_strerror(status));
    stk_recipe_unref(whole);
    if (status < 0) {
        stk_free(out->target);
        out->target = NULL;
    }
    return status;
}

void http_address_free(struct http_address *a)
{
    if (a->stack != NULL)
        stk_recipe_unref(a->stack);
    stk_free(a->target);
    *a = (struct http_address){0};
}

/* --- References
 * ---------------------------------------------------------------------------------------- */

/* RFC 3986 section 5.2.4, in place; `path` begins with a slash and ends at the query. */
static void remove_dots(char *path)
{
    char *const end = path + strcspn(path, "?");
    char *out = path, *in = path;

    while (in < end) {
        const size_t len = 1 + strcspn(in + 1, "/?");
        const bool last = in + len >= end;

        if (len == 2 && in[1] == '.') {
            if (last)
                *out++ = '/';
        } else if (len == 3 && in[1] == '.' && in[2] == '.') {
            while (out > path && *--out != '/')
                ;
            if (last)
                *out++ = '/';
        } else {
            memmove(out, in, len);
            out += len;
        }
        in += len;
    }
    memmove(out, end, strlen(end) + 1);
}

/* Path and query of `location` seen from `target`. */
static void merge(const char *target, const char *location, char *out, size_t size)
{
    const size_t path_len = strcspn(target, "?");
    size_t directory = path_len;
    const int len = (int)strcspn(location, "#");

    while (directory > 0 && target[directory - 1] != '/')
        directory--;
    if (location[0] == '/')
        snprintf(out, size, "%.*s", len, location);
    else if (location[0] == '?' || len == 0)
        snprintf(out, size, "%.*s%.*s", (int)path_len, target, len, location);
    else
        snprintf(out, size, "%.*s%.*s", (int)directory, target, len, location);
    remove_dots(out);
}

/* The base's text up to its path: "https://host:port" or "/…/http,host=…". */
static void base_prefix(const char *base, const struct http_address *address, char *out,
                        size_t size)
{
    char host[3 * HTTP_HOST_MAX + 4];

    if (address->is_url) {
        const char *authority = strstr(base, "://") + 3;

        snprintf(out, size, "%.*s", (int)(authority - base + (long)strcspn(authority, "/?#")),
                 base);
        return;
    }
    stk_percent_encode(address->host, host, sizeof host);
    snprintf(out, size, "%s/http,host=%s", stk_recipe_text(address->stack), host);
}

static bool same_origin(const struct http_address *a, const struct http_address *b)
{
    return strcmp(stk_recipe_text(a->stack), stk_recipe_text(b->stack)) == 0;
}

static int resolve_absolute(const char *base, const struct http_address *from, const char *location,
                            char *out, bool *other_origin, struct stk_error *error)
{
    struct http_address to;
    const int len = (int)strcspn(location, "#");
    int status;

    if (!from->is_url)
        return stk_error_set(error, STK_EPEER, "http",
                             "the redirect to %.100s leaves the stack: give that URL instead",
                             location);
    if (location[0] == '/')
        snprintf(out, HTTP_ADDRESS_MAX, "%.*s%.*s", (int)(strchr(base, ':') - base + 1), base, len,
                 location);
    else
        snprintf(out, HTTP_ADDRESS_MAX, "%.*s", len, location);
    if ((status = http_address_parse(out, &to, error)) < 0)
        return status;
    *other_origin = !same_origin(from, &to);
    if (from->is_secure && !to.is_secure)
        status = stk_error_set(error, STK_EPEER, "http",
                               "the redirect to %.100s gives up encryption: give that URL instead",
                               location);
    http_address_free(&to);
    return status;
}

static void resolve_relative(const char *base, const struct http_address *from,
                             const char *location, char *out)
{
    base_prefix(base, from, out, HTTP_ADDRESS_MAX);
    merge(from->target, location, out + strlen(out), HTTP_ADDRESS_MAX);
}

int http_address_resolve(const char *base, const char *location, char **out, bool *other_origin,
                         struct stk_error *error)
{
    struct http_address from;
    char *text = stk_alloc_zero(2 * HTTP_ADDRESS_MAX);
    int status = text ? http_address_parse(base, &from, error) : -ENOMEM;

    *other_origin = false;
    if (status < 0) {
        stk_free(text);
        return text ? status : stk_error_set(error, status, "http", "out of memory");
    }
    const size_t scheme = strcspn(location, ":/?#");
    if (strlen(location) > HTTP_ADDRESS_MAX / 2)
        status = stk_error_set(error, STK_ELIMIT, "http", "the redirect's address is too long");
    else if (location[scheme] == ':' && !is_http_url(location))
        status = stk_error_set(error, STK_EPEER, "http", "the redirect to %.100s is not followed",
                               location);
    else if (is_http_url(location) || strncmp(location, "//", 2) == 0)
        status = resolve_absolute(base, &from, location, text, other_origin, error);
    else
        resolve_relative(base, &from, location, text);
    http_address_free(&from);
    if (status < 0)
        stk_free(text);
    else
        *out = text;
    return status;
}
