#include "json.h"

#include <string.h>

enum { DIGITS_MAX = 20 };

/* I-JSON (RFC 7493): readers may take numbers for doubles. */
static const uint64_t NUMBER_MAX = (UINT64_C(1) << 53) - 1;

void ptcp_json_raw(struct ptcp_json *json, const char *bytes, size_t len)
{
    if (json->failed || len > ptcp_json_left(json)) {
        json->failed = true;
        return;
    }
    memcpy(json->at, bytes, len);
    json->at += len;
}

static void put(struct ptcp_json *json, char c) { ptcp_json_raw(json, &c, 1); }

static void begin(struct ptcp_json *json, const char *key)
{
    if (json->comma)
        put(json, ',');
    json->comma = true;
    if (!key)
        return;
    put(json, '"');
    ptcp_json_raw(json, key, strlen(key));
    ptcp_json_raw(json, "\":", 2);
}

void ptcp_json_open(struct ptcp_json *json, const char *key, char bracket)
{
    begin(json, key);
    put(json, bracket);
    json->comma = false;
}

void ptcp_json_close(struct ptcp_json *json, char bracket)
{
    put(json, bracket);
    json->comma = true;
}

/* --- Text ----------------------------------------------------------------------------------------
 */

/* Bytes of the well-formed UTF-8 sequence at `text` (RFC 3629), 0 if there is none. */
static size_t sequence_len(const uint8_t *text)
{
    const uint8_t first = text[0];
    const size_t len = first < 0x80                     ? 1
                       : first >= 0xc2 && first <= 0xdf ? 2
                       : (first & 0xf0) == 0xe0         ? 3
                       : first >= 0xf0 && first <= 0xf4 ? 4
                                                        : 0;

    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

static void put_escaped(struct ptcp_json *json, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";

    if (c == '"' || c == '\\') {
        put(json, '\\');
        put(json, (char)c);
    } else {
        ptcp_json_raw(json, "\\u00", 4);
        put(json, hex[c >> 4]);
        put(json, hex[c & 15]);
    }
}

void ptcp_json_text(struct ptcp_json *json, const char *key, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;

    begin(json, key);
    put(json, '"');
    while (*at) {
        const size_t len = sequence_len(at);

        if (len == 0)
            ptcp_json_raw(json, "\xef\xbf\xbd", 3);
        else if (*at < 0x20 || *at == '"' || *at == '\\' || *at == 0x7f)
            put_escaped(json, *at);
        else
            ptcp_json_raw(json, (const char *)at, len);
        at += len ? len : 1;
    }
    put(json, '"');
}

/* --- Numbers -------------------------------------------------------------------------------------
 */

static void put_number(struct ptcp_json *json, uint64_t value, size_t least)
{
    char digits[DIGITS_MAX];
    size_t len = 0;

    do
        digits[DIGITS_MAX - ++len] = (char)('0' + value % 10);
    while ((value /= 10) > 0 || len < least);
    ptcp_json_raw(json, digits + DIGITS_MAX - len, len);
}

void ptcp_json_number(struct ptcp_json *json, const char *key, uint64_t value)
{
    begin(json, key);
    if (value > NUMBER_MAX)
        put(json, '"');
    put_number(json, value, 1);
    if (value > NUMBER_MAX)
        put(json, '"');
}

void ptcp_json_ms(struct ptcp_json *json, const char *key, uint64_t value_us)
{
    begin(json, key);
    put_number(json, value_us / 1000, 1);
    put(json, '.');
    put_number(json, value_us % 1000, 3);
}

void ptcp_json_bool(struct ptcp_json *json, const char *key, bool value)
{
    begin(json, key);
    if (value)
        ptcp_json_raw(json, "true", 4);
    else
        ptcp_json_raw(json, "false", 5);
}

void ptcp_json_hex(struct ptcp_json *json, const char *key, uint64_t value)
{
    static const char hex[] = "0123456789abcdef";
    char text[18] = {'"'};

    for (int i = 0; i < 16; i++)
        text[1 + i] = hex[value >> (60 - 4 * i) & 15];
    text[17] = '"';
    begin(json, key);
    ptcp_json_raw(json, text, sizeof text);
}
