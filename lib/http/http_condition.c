#include "http_file.h"

#include "http_reader.h"

#include <stdio.h>

void http_validators_of(const struct stat *status, struct http_validators *out)
{
    out->modified_s = status->st_mtim.tv_sec;
    snprintf(out->etag, sizeof out->etag, "\"%llx-%llx\"", (unsigned long long)status->st_size,
             (unsigned long long)status->st_mtim.tv_sec * 1000000000ull +
                 (unsigned long long)status->st_mtim.tv_nsec);
}

/* Section 8.8.3.2: a strong comparison never takes a weak tag. */
static bool tag_matches(const char *tag, size_t len, const char *etag, bool weak_allowed)
{
    if (len > 2 && tag[0] == 'W' && tag[1] == '/') {
        if (!weak_allowed)
            return false;
        tag += 2;
        len -= 2;
    }
    return len == strlen(etag) && memcmp(tag, etag, len) == 0;
}

static bool list_matches(const struct stk_http_head *head, const char *name, const char *etag,
                         bool weak_allowed)
{
    const char *list = stk_http_head_get(head, name), *tag;
    size_t len;

    while ((tag = http_list_next(&list, &len)) != NULL)
        if ((len == 1 && tag[0] == '*') || tag_matches(tag, len, etag, weak_allowed))
            return true;
    return false;
}

static int64_t date_of(const struct stk_http_head *head, const char *name)
{
    const char *text = stk_http_head_get(head, name);

    return text ? stk_http_date_parse(text) : -1;
}

/* The order of section 13.2.2. */
int http_condition_check(const struct stk_http_head *head, const struct http_validators *v)
{
    const int64_t unmodified_since = date_of(head, "If-Unmodified-Since");
    const int64_t modified_since = date_of(head, "If-Modified-Since");

    if (stk_http_head_get(head, "If-Match") != NULL) {
        if (!list_matches(head, "If-Match", v->etag, false))
            return 412;
    } else if (unmodified_since >= 0 && v->modified_s > unmodified_since) {
        return 412;
    }
    if (stk_http_head_get(head, "If-None-Match") != NULL)
        return list_matches(head, "If-None-Match", v->etag, true) ? 304 : 0;
    return modified_since >= 0 && v->modified_s <= modified_since ? 304 : 0;
}

bool http_condition_if_range(const struct stk_http_head *head, const struct http_validators *v)
{
    const char *text = stk_http_head_get(head, "If-Range");

    if (text == NULL)
        return true;
    if (text[0] == '"' || strncmp(text, "W/", 2) == 0)
        return tag_matches(text, strlen(text), v->etag, false);
    return stk_http_date_parse(text) == v->modified_s;
}
