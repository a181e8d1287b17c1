#include "http_file.h"

#include "http_reader.h"

#include <strings.h>

/* Decimal digits; false where there are none or too many to mean a place in a file. */
static bool parse_number(const char **at, const char *end, uint64_t *out)
{
    const char *start = *at;

    for (*out = 0; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        *out = *out * 10 + (uint64_t)(**at - '0');
    return *at > start && *at - start <= 18;
}

/* One "first-last", "first-" or "-suffix": 1 if it can be satisfied, 0 if not, -1 if it is none. */
static int parse_one(const char *at, size_t len, uint64_t size, struct http_range *out)
{
    const char *const end = at + len;
    uint64_t first, last;

    if (len > 0 && at[0] == '-') {
        at++;
        if (!parse_number(&at, end, &last) || at != end)
            return -1;
        if (last == 0 || size == 0)
            return 0;
        *out = (struct http_range){last < size ? size - last : 0, size - 1};
        return 1;
    }
    if (!parse_number(&at, end, &first) || at == end || *at++ != '-')
        return -1;
    last = size - 1;
    if (at < end && (!parse_number(&at, end, &last) || at != end || last < first))
        return -1;
    if (first >= size)
        return 0;
    *out = (struct http_range){first, last < size ? last : size - 1};
    return 1;
}

int http_range_parse(const char *text, uint64_t size, struct http_range out[HTTP_RANGES_MAX])
{
    const char *word;
    uint64_t total = 0;
    size_t len;
    int asked = 0, count = 0;

    if (strncasecmp(text, "bytes=", 6) != 0)
        return 0;
    text += 6;
    while ((word = http_list_next(&text, &len)) != NULL) {
        if (asked++ == HTTP_RANGES_MAX)
            return 0;
        const int found = parse_one(word, len, size, &out[count]);

        if (found < 0)
            return 0;
        if (found > 0) {
            total += out[count].last - out[count].first + 1;
            count++;
        }
    }
    /* Section 14.2: who asks for more than all of it in pieces gets all of it. */
    if (count > 1 && total > size)
        return 0;
    return count > 0 ? count : asked > 0 ? -1 : 0;
}
