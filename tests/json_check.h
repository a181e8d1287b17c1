/*
 * Is this one JSON text (RFC 8259), with UTF-8 in its strings? A checker that accepts nothing else,
 * for the tests of what the library writes.
 */
#ifndef STK_TESTS_JSON_CHECK_H
#define STK_TESTS_JSON_CHECK_H

#include <stdbool.h>
#include <string.h>

struct json_check {
    const char *at, *end;
    int depth;
};

static bool json_check_value(struct json_check *check);

static inline bool json_check_take(struct json_check *check, const char *text)
{
    const size_t len = strlen(text);

    if ((size_t)(check->end - check->at) < len || memcmp(check->at, text, len) != 0)
        return false;
    check->at += len;
    return true;
}

static inline bool json_check_digits(struct json_check *check)
{
    const char *start = check->at;

    while (check->at < check->end && *check->at >= '0' && *check->at <= '9')
        check->at++;
    return check->at > start;
}

static inline bool json_check_number(struct json_check *check)
{
    (void)json_check_take(check, "-");
    if (check->at < check->end && *check->at == '0')
        check->at++;
    else if (!json_check_digits(check))
        return false;
    return !json_check_take(check, ".") || json_check_digits(check);
}

static inline bool json_check_escape(struct json_check *check)
{
    if (check->at == check->end)
        return false;
    const char c = *check->at++;
    if (c != 'u')
        return strchr("\"\\/bfnrt", c) != NULL;
    for (int i = 0; i < 4; i++, check->at++)
        if (check->at == check->end || !strchr("0123456789abcdefABCDEF", *check->at))
            return false;
    return true;
}

static inline bool json_check_string(struct json_check *check)
{
    if (!json_check_take(check, "\""))
        return false;
    while (check->at < check->end) {
        const unsigned char c = (unsigned char)*check->at++;

        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !json_check_escape(check)))
            return false;
    }
    return false;
}

static inline bool json_check_members(struct json_check *check, bool object)
{
    const char *close = object ? "}" : "]";

    if (json_check_take(check, close))
        return true;
    do {
        if (object && !(json_check_string(check) && json_check_take(check, ":")))
            return false;
        if (!json_check_value(check))
            return false;
    } while (json_check_take(check, ","));
    return json_check_take(check, close);
}

static bool json_check_value(struct json_check *check)
{
    if (check->at == check->end || check->depth > 32)
        return false;
    check->depth++;
    const bool ok = json_check_take(check, "{")   ? json_check_members(check, true)
                    : json_check_take(check, "[") ? json_check_members(check, false)
                    : *check->at == '"'
                        ? json_check_string(check)
                        : json_check_take(check, "true") || json_check_take(check, "false") ||
                              json_check_take(check, "null") || json_check_number(check);
    check->depth--;
    return ok;
}

static inline bool json_check(const char *text, size_t len)
{
    struct json_check check = {text, text + len, 0};

    return json_check_value(&check) && check.at == check.end;
}

#endif
