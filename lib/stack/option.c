#include "option.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1}, {"k", 1024}, {"M", 1024 * 1024}, {"G", 1024 * 1024 * 1024}, {NULL, 0},
};
static const struct unit duration_units[] = {
    {"", 1000000},   {"us", 1},         {"ms", 1000}, {"s", 1000000},
    {"m", 60000000}, {"h", 3600000000}, {NULL, 0},
};
static const struct unit percent_units[] = {{"", 10000}, {"%", 10000}, {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum stk_option_kind kind)
{
    switch (kind) {
    case STK_OPTION_SIZE:
    case STK_OPTION_RATE:
        return size_units;
    case STK_OPTION_DURATION:
        return duration_units;
    case STK_OPTION_PERCENT:
        return percent_units;
    default:
        return plain_units;
    }
}

static const char *example_of(enum stk_option_kind kind)
{
    switch (kind) {
    case STK_OPTION_SIZE:
    case STK_OPTION_RATE:
        return "a size such as 64k or 10M";
    case STK_OPTION_DURATION:
        return "a time such as 250ms, 5s or 2m";
    case STK_OPTION_PERCENT:
        return "a percentage such as 1.5";
    case STK_OPTION_FLAG:
        return "yes or no";
    default:
        return "a number";
    }
}

/* Digits with an optional fraction, times the unit; exact for whole numbers, and never above 2^62.
 */
static bool scaled(const char *text, const struct unit *units, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    const uint64_t whole = strtoull(text, &end, 10);
    if (errno != 0)
        return false;

    uint64_t fraction = 0, scale = 1;
    if (*end == '.') {
        if (end[1] < '0' || end[1] > '9')
            return false;
        for (end++; *end >= '0' && *end <= '9'; end++)
            if (scale < 1000000) {
                fraction = fraction * 10 + (uint64_t)(*end - '0');
                scale *= 10;
            }
    }
    for (const struct unit *u = units; u->name != NULL; u++) {
        if (strcmp(end, u->name) != 0)
            continue;
        if (whole > (UINT64_C(1) << 62) / u->factor)
            return false;
        *out = whole * u->factor + fraction * u->factor / scale;
        return scale == 1 || u->factor > 1;
    }
    return false;
}

static bool flag(const char *text, uint64_t *out)
{
    static const char *const yes[] = {"", "yes", "on", "true", "1"};
    static const char *const no[] = {"no", "off", "false", "0"};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(text, yes[i]) == 0) {
            *out = 1;
            return true;
        }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (strcasecmp(text, no[i]) == 0) {
            *out = 0;
            return true;
        }
    return false;
}

/* A bound as people would write it: in the largest unit that divides it. */
static const char *bound_text(enum stk_option_kind kind, uint64_t value, char *out, size_t size)
{
    const struct unit *best = &(const struct unit){"", 1};

    if (kind == STK_OPTION_PERCENT) {
        snprintf(out, size, "%g%%", (double)value / 10000);
        return out;
    }
    for (const struct unit *u = units_of(kind); u->name != NULL; u++)
        if (value > 0 && value % u->factor == 0 && *u->name != '\0' && u->factor >= best->factor)
            best = u;
    snprintf(out, size, "%" PRIu64 "%s", value / best->factor, best->name);
    return out;
}

static int out_of_range(const struct stk_option_type *type, const char *text,
                        struct stk_error *error)
{
    char from[32], to[32];

    return stk_error_set(error, STK_ESYNTAX, "", "%s=%s is out of range: %s to %s are allowed",
                         type->name, text, bound_text(type->kind, type->min, from, sizeof from),
                         bound_text(type->kind, type->max, to, sizeof to));
}

int option_parse(const struct stk_option_type *type, const char *text, uint64_t *number,
                 struct stk_error *error)
{
    uint64_t value = 0;

    if (type->kind == STK_OPTION_TEXT) {
        *number = 0;
        if (*text == '\0')
            return stk_error_set(error, STK_ESYNTAX, "", "%s= needs a value: %s", type->name,
                                 type->help);
        return 0;
    }
    if (type->kind == STK_OPTION_FLAG ? !flag(text, &value)
                                      : !scaled(text, units_of(type->kind), &value))
        return stk_error_set(error, STK_ESYNTAX, "", "%s=%s: expected %s", type->name, text,
                             example_of(type->kind));
    if ((type->min != 0 || type->max != 0) && (value < type->min || value > type->max))
        return out_of_range(type, text, error);
    *number = value;
    return 0;
}
