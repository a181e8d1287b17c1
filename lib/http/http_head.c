#include "http_reader.h"

#include <assert.h>
#include <ctype.h>
#include <strings.h>

/* --- Grammar ------------------------------------------------------------------------------------
 */

bool http_is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) &&
            (text[i] == '\0' || strchr("!#$%&'*+-.^_`|~", text[i]) == NULL))
            return false;
    return len > 0;
}

bool http_is_field_value(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if ((*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

static bool is_space(char c) { return c == ' ' || c == '\t'; }

const char *http_list_next(const char **cursor, size_t *len)
{
    const char *start = *cursor, *end;
    bool quoted = false;

    while (is_space(*start) || *start == ',')
        start++;
    for (end = start; *end != '\0' && (quoted || *end != ','); end++) {
        if (*end == '"')
            quoted = !quoted;
        else if (quoted && *end == '\\' && end[1] != '\0')
            end++;
    }
    *cursor = end;
    while (end > start && is_space(end[-1]))
        end--;
    *len = (size_t)(end - start);
    return end > start ? start : NULL;
}

/* --- Asking a head -------------------------------------------------------------------------------
 */

const char *stk_http_head_get(const struct stk_http_head *head, const char *name)
{
    for (int i = 0; i < head->field_count; i++)
        if (strcasecmp(head->fields[i].name, name) == 0)
            return head->fields[i].value;
    return NULL;
}

bool stk_http_head_has(const struct stk_http_head *head, const char *name, const char *token)
{
    for (int i = 0; i < head->field_count; i++) {
        const char *cursor = head->fields[i].value, *word;
        size_t len;

        if (strcasecmp(head->fields[i].name, name) != 0)
            continue;
        while ((word = http_list_next(&cursor, &len)) != NULL)
            if (len == strlen(token) && strncasecmp(word, token, len) == 0)
                return true;
    }
    return false;
}

static int count_fields(const struct stk_http_head *head, const char *name)
{
    int count = 0;

    for (int i = 0; i < head->field_count; i++)
        count += strcasecmp(head->fields[i].name, name) == 0;
    return count;
}

/* --- Parsing one
 * ---------------------------------------------------------------------------------- */

static int bad(struct http_reader *r, const char *problem)
{
    return http_reader_fail(r, 400, -EPROTO, problem);
}

/* "HTTP/1.0" or "HTTP/1.1". */
static int parse_version(struct http_reader *r, const char *text, size_t len)
{
    if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !isdigit((unsigned char)text[5]) ||
        text[6] != '.' || !isdigit((unsigned char)text[7]))
        return bad(r, "the protocol's version is malformed");
    if (text[5] != '1' || text[7] > '1')
        return http_reader_fail(r, 505, -EPROTO, "this version of HTTP is not spoken here");
    r->head.minor = text[7] - '0';
    return 0;
}

/* Finds authority and path of an absolute target. */
static int split_absolute(struct http_reader *r, char *target)
{
    char *authority = strstr(target, "://");

    if (authority == NULL ||
        (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0))
        return bad(r, "the target is malformed");
    authority += 3;
    const size_t len = strcspn(authority, "/?");
    if (len == 0 || memchr(authority, '@', len) != NULL)
        return bad(r, "the target's authority is malformed");
    if (authority[len] != '/') {
        /* "http://host?query" and "http://host": a path of "/" is meant, and has no byte here. */
        if (authority[len] == '?')
            return bad(r, "the target has no path");
        r->head.path = "/";
    } else {
        r->head.path = authority + len;
    }
    r->head.authority = authority; /* for now it goes on into the path: settle_authority() */
    return 0;
}

/* RFC 9112 section 3.2: the form of a target depends on the method. */
static int parse_target(struct http_reader *r, char *target)
{
    struct stk_http_head *head = &r->head;

    for (const unsigned char *c = (unsigned char *)target; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            return bad(r, "the target holds a byte that must be percent-encoded");
    head->target = head->path = target;
    if (strcmp(head->method, "CONNECT") == 0)
        return strchr(target, '/') || !strchr(target, ':') ? bad(r, "CONNECT needs host:port") : 0;
    if (target[0] == '/')
        return 0;
    if (strcmp(target, "*") == 0)
        return strcmp(head->method, "OPTIONS") == 0 ? 0 : bad(r, "this method needs a path");
    return split_absolute(r, target);
}

static int parse_request_line(struct http_reader *r, char *line, size_t len)
{
    char *target = memchr(line, ' ', len);
    char *version = target ? memchr(target + 1, ' ', len - (size_t)(target + 1 - line)) : NULL;
    int status;

    if (version == NULL || version == target + 1 || !http_is_token(line, (size_t)(target - line)))
        return bad(r, "the request line is malformed");
    if ((status = parse_version(r, version + 1, len - (size_t)(version + 1 - line))) < 0)
        return status;
    *target = *version = '\0';
    r->head.method = line;
    return parse_target(r, target + 1);
}

static int parse_status_line(struct http_reader *r, char *line, size_t len)
{
    int status;

    if (len < 12 || line[8] != ' ' || (len > 12 && line[12] != ' '))
        return bad(r, "the status line is malformed");
    if ((status = parse_version(r, line, 8)) < 0)
        return status;
    for (int i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)line[i]))
            return bad(r, "the status is no number");
        r->head.status = r->head.status * 10 + line[i] - '0';
    }
    if (r->head.status < 100 || r->head.status > 599)
        return bad(r, "the status is out of range");
    line[len] = '\0';
    r->head.reason = len > 13 ? line + 13 : "";
    return 0;
}

static int parse_field(struct http_reader *r, char *line, size_t len)
{
    char *colon = memchr(line, ':', len), *value, *end = line + len;

    if (colon == NULL || !http_is_token(line, (size_t)(colon - line)))
        return bad(r, "a field is malformed");
    for (value = colon + 1; value < end && is_space(*value);)
        value++;
    while (end > value && is_space(end[-1]))
        end--;
    *colon = *end = '\0';
    r->fields[r->head.field_count++] = (struct stk_http_field){line, value};
    return 0;
}

static int parse_lines(struct http_reader *r)
{
    char *at = r->block, *const end = r->block + r->len - 2;
    int status = 0;

    for (int line = 0; at < end && status == 0; line++) {
        char *cr = memchr(at, '\r', (size_t)(end - at));
        const size_t len = (size_t)(cr - at);

        if (line > 0)
            status = parse_field(r, at, len);
        else
            status = r->response ? parse_status_line(r, at, len) : parse_request_line(r, at, len);
        at = cr + 2;
    }
    return status;
}

/* --- What the fields say
 * -------------------------------------------------------------------------- */

static int read_length(struct http_reader *r)
{
    const char *text = stk_http_head_get(&r->head, "Content-Length");
    int64_t length = 0;

    r->head.content_length = -1;
    if (text == NULL)
        return 0;
    const size_t digits = strspn(text, "0123456789");
    if (count_fields(&r->head, "Content-Length") > 1 || digits == 0 || text[digits] != '\0' ||
        digits > 18)
        return bad(r, "the Content-Length is malformed");
    for (; *text != '\0'; text++)
        length = length * 10 + *text - '0';
    r->head.content_length = length;
    return 0;
}

static bool ends_chunked(const char *codings)
{
    const char *word, *last = "";
    size_t len, last_len = 0;

    while ((word = http_list_next(&codings, &len)) != NULL) {
        last = word;
        last_len = len;
    }
    return last_len == 7 && strncasecmp(last, "chunked", 7) == 0;
}

/* RFC 9112 section 6.1. A message with both a length and chunks is how requests are smuggled. */
static int read_coding(struct http_reader *r)
{
    const char *text = stk_http_head_get(&r->head, "Transfer-Encoding");

    if (text == NULL)
        return 0;
    if (r->head.minor == 0 || r->head.content_length >= 0)
        return bad(r, r->head.minor == 0 ? "HTTP/1.0 has no Transfer-Encoding"
                                         : "both a Content-Length and a Transfer-Encoding");
    if (!ends_chunked(text))
        return bad(r, "the Transfer-Encoding leaves the body's end open");
    if (count_fields(&r->head, "Transfer-Encoding") > 1 || strcasecmp(text, "chunked") != 0)
        return http_reader_fail(r, 501, -EPROTO, "this Transfer-Encoding is not understood");
    r->head.chunked = true;
    return 0;
}

static bool is_authority(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-._~!$&'()*+;=%:[]")] == '\0';
}

/* RFC 9112 section 3.2: just one Host, and an absolute target counts more. */
static int read_host(struct http_reader *r)
{
    const char *host = stk_http_head_get(&r->head, "Host");
    const int count = count_fields(&r->head, "Host");

    if (count > 1 || (count == 0 && r->head.minor == 1))
        return bad(r, count > 1 ? "more than one Host" : "the Host is missing");
    if (host != NULL && !is_authority(host))
        return bad(r, "the Host is malformed");
    if (r->head.authority == NULL)
        r->head.authority = host;
    return 0;
}

/* The authority of an absolute target is not terminated where it stands: it gets a copy. */
static int settle_authority(struct http_reader *r)
{
    const char *from = r->head.authority;
    char *copy;

    if (from == NULL)
        return 0;
    const size_t len = strcspn(from, "/?");
    if ((copy = stk_alloc(len + 1)) == NULL)
        return http_reader_fail(r, 500, -ENOMEM, "no memory for the head");
    memcpy(copy, from, len);
    copy[len] = '\0';
    if (!is_authority(copy)) {
        stk_free(copy);
        return bad(r, "the target's authority is malformed");
    }
    r->head.authority = r->authority = copy;
    return 0;
}

static int read_expectation(struct http_reader *r)
{
    const char *text = stk_http_head_get(&r->head, "Expect");

    if (text == NULL || r->head.minor == 0)
        return 0;
    if (strcasecmp(text, "100-continue") != 0)
        return http_reader_fail(r, 417, -EPROTO, "this expectation can't be met");
    r->head.expect_continue = true;
    return 0;
}

static void read_connection(struct http_reader *r)
{
    struct stk_http_head *head = &r->head;

    head->keep_alive = head->minor == 1 ? !stk_http_head_has(head, "Connection", "close")
                                        : stk_http_head_has(head, "Connection", "keep-alive");
    head->upgrade = stk_http_head_has(head, "Connection", "upgrade") &&
                    stk_http_head_get(head, "Upgrade") != NULL;
}

int http_head_parse(struct http_reader *r)
{
    int status;

    assert(r->fields == NULL && r->lines > 0);
    r->fields = stk_alloc_zero((size_t)r->lines * sizeof *r->fields);
    if (r->fields == NULL)
        return http_reader_fail(r, 500, -ENOMEM, "no memory for the head");
    r->head.fields = r->fields;
    if ((status = parse_lines(r)) < 0 || (status = read_length(r)) < 0 ||
        (status = read_coding(r)) < 0)
        return status;
    read_connection(r);
    if (r->response)
        return r->head.status == 101 ? bad(r, "nobody asked to switch protocols") : 0;
    if ((status = settle_authority(r)) < 0 || (status = read_host(r)) < 0)
        return status;
    return read_expectation(r);
}
