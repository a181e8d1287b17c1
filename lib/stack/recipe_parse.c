#include "recipe_parse.h"

#include "option.h"

#include <ctype.h>
#include <stdio.h>

/* What the parser holds while it walks over the text. */
struct parse {
    const char *text;
    size_t at;
    char *out; /* decoded strings go here, one after the other */
    struct stk_recipe *recipe;
    struct stk_error *error;
};

/* Of a long text what stands round the place is shown. */
static int fail(struct parse *p, int code, size_t at, const char *what)
{
    enum { SHOWN_MAX = 60, SHOWN_BEFORE = 40 };
    const size_t len = strlen(p->text);
    const size_t from = len > SHOWN_MAX && at > SHOWN_BEFORE ? at - SHOWN_BEFORE : 0;

    return stk_error_set(p->error, code, "recipe", "at character %zu of \"%s%.*s%s\": %s", at + 1,
                         from > 0 ? "…" : "", SHOWN_MAX, p->text + from,
                         len - from > SHOWN_MAX ? "…" : "", what);
}

/* --- Shapes --------------------------------------------------------------------------------- */

static const char *carries(enum stk_shape shape)
{
    switch (shape) {
    case STK_STREAM:
        return "carries a stream";
    case STK_DATAGRAMS:
        return "carries datagrams";
    case STK_HOST:
        return "is an address only";
    default:
        return "carries nothing";
    }
}

static const char *needs(enum stk_shape shape)
{
    switch (shape) {
    case STK_STREAM:
        return "needs a stream";
    case STK_DATAGRAMS:
        return "needs datagrams";
    case STK_HOST:
        return "needs an address such as /ip4/127.0.0.1 before it";
    default:
        return "is a transport: it stands at the bottom";
    }
}

static int misfit(struct parse *p, const struct stk_segment *below,
                  const struct stk_segment *segment)
{
    const struct stk_layer_type *type = segment->type;
    char what[160];

    if (below == NULL)
        snprintf(what, sizeof what, "%s %s", type->name,
                 type->below == STK_STREAM
                     ? "needs a stream below it, such as /ip4/ADDRESS/tcp/PORT"
                 : type->below == STK_DATAGRAMS
                     ? "needs datagrams below it, such as /ip4/ADDRESS/udp/PORT"
                     : needs(type->below));
    else
        snprintf(what, sizeof what, "%s %s, %s %s%s", type->name, needs(type->below),
                 below->type->name, carries(below->type->above),
                 type->below == STK_STREAM && below->type->above == STK_DATAGRAMS
                     ? ": put ptcp between them"
                 : type->below == STK_DATAGRAMS && below->type->above == STK_STREAM
                     ? ": udp and unix-dgram carry datagrams"
                     : "");
    return fail(p, STK_ESTACK, segment->offset, what);
}

static int check_shapes(struct parse *p, enum stk_shape bottom)
{
    struct stk_recipe *r = p->recipe;
    enum stk_shape shape = bottom;

    for (int i = 0; i < r->count; i++) {
        struct stk_segment *segment = &r->segments[i];

        if (segment->type->below != shape)
            return misfit(p, i > 0 ? segment - 1 : NULL, segment);
        if (shape == STK_HOST)
            segment->host = segment - 1;
        shape = segment->type->above;
    }
    if (shape == STK_HOST)
        return fail(p, STK_ESTACK, p->at,
                    "an address needs a transport behind it, such as /tcp/80");
    return 0;
}

/* --- Words ------------------------------------------------------------------------------------ */

static bool is_known_name(const char *at, size_t len)
{
    char name[32];

    if (len == 0 || len >= sizeof name)
        return false;
    memcpy(name, at, len);
    name[len] = '\0';
    return stk_layer_type_find(name) != NULL;
}

/* A path that somebody typed with plain slashes goes on over those that begin no layer's name. */
static size_t word_len(const char *at, const char *stops)
{
    const bool path = at[0] == '/' || at[0] == '.';
    size_t len = 0;

    for (;; len++) {
        if (at[len] == '\0' || (at[len] != '/' && strchr(stops, at[len]) != NULL))
            return len;
        if (at[len] == '/' && (!path || is_known_name(at + len + 1, strcspn(at + len + 1, "/,"))))
            return len;
    }
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? tolower(c) - 'a' + 10
                                        : -1;
}

/* Decodes `len` bytes at the cursor into the string store. */
static int take_word(struct parse *p, size_t len, const char **out)
{
    const char *word = p->out;

    for (const size_t end = p->at + len; p->at < end; p->at++) {
        char c = p->text[p->at];

        if (c == '%') {
            const int high = hex_digit(p->text[p->at + 1]);
            const int low = high < 0 ? -1 : hex_digit(p->text[p->at + 2]);

            if (low < 0)
                return fail(p, STK_ESYNTAX, p->at, "expected two hexadecimal digits after '%'");
            c = (char)(high << 4 | low);
            if (c == '\0')
                return fail(p, STK_ESYNTAX, p->at, "a value can't hold a zero byte");
            p->at += 2;
        }
        *p->out++ = c;
    }
    *p->out++ = '\0';
    *out = word;
    return 0;
}

/* --- Names -------------------------------------------------------------------------------------
 */

static int unknown_name(struct parse *p, const char *name, size_t at)
{
    const char *near = recipe_nearest_name(name);
    char what[160];

    if (near != NULL)
        snprintf(what, sizeof what, "there is no layer \"%.32s\"; did you mean \"%s\"?", name,
                 near);
    else
        snprintf(what, sizeof what,
                 "there is no layer \"%.32s\" (a slash inside a value is written %%2F)", name);
    return fail(p, STK_ESYNTAX, at, what);
}

/* --- Options ------------------------------------------------------------------------------------
 */

static int unknown_option(struct parse *p, const struct stk_layer_type *type, const char *name,
                          size_t at)
{
    char what[176];
    int len = snprintf(what, sizeof what, "%s has no option \"%.24s\"; it has", type->name, name);

    for (const struct stk_option_type *o = type->options; o != NULL && o->name != NULL; o++)
        if (len < (int)sizeof what)
            len += snprintf(what + len, sizeof what - (size_t)len, " %s", o->name);
    if (type->options == NULL || type->options->name == NULL)
        snprintf(what + len, sizeof what - (size_t)len, " none");
    return fail(p, STK_ESYNTAX, at, what);
}

static int parse_option(struct parse *p, struct stk_segment *segment)
{
    struct stk_option *option = &p->recipe->options[p->recipe->option_count];
    const size_t at = ++p->at; /* over the comma */
    const char *name;
    int status;

    if (segment->option_count == STK_SEGMENT_OPTIONS_MAX)
        return fail(p, STK_ESYNTAX, at, "too many options");
    if ((status = take_word(p, strcspn(p->text + p->at, "=,/"), &name)) < 0)
        return status;
    if ((option->type = recipe_option_find(segment->type, name)) == NULL)
        return unknown_option(p, segment->type, name, at);
    option->text = "";
    if (p->text[p->at] == '=') {
        p->at++;
        if ((status = take_word(p, word_len(p->text + p->at, ","), &option->text)) < 0)
            return status;
    }

    struct stk_error wrong = {0};
    if (option_parse(option->type, option->text, &option->number, &wrong) < 0)
        return fail(p, STK_ESYNTAX, at, wrong.text);
    segment->option_count++;
    p->recipe->option_count++;
    return 0;
}

static int parse_options(struct parse *p, struct stk_segment *segment)
{
    while (p->text[p->at] == ',') {
        const int status = parse_option(p, segment);

        if (status < 0)
            return status;
    }
    return 0;
}

/* --- Segments ------------------------------------------------------------------------------------
 */

static int missing_value(struct parse *p, const struct stk_layer_type *type)
{
    char what[96];

    snprintf(what, sizeof what, "expected %s: /%s/%s", type->value_name, type->name,
             type->value_name);
    return fail(p, STK_ESYNTAX, p->at, what);
}

/* True if what follows the name is this segment's value. */
static bool has_value(const struct parse *p, const struct stk_layer_type *type)
{
    const char *at = p->text + p->at;

    if (*at != '/' || type->value == STK_VALUE_NONE)
        return false;
    return type->value != STK_VALUE_OPTIONAL ||
           (at[1] != '\0' && !is_known_name(at + 1, strcspn(at + 1, "/,")));
}

static int parse_value(struct parse *p, struct stk_segment *segment)
{
    const struct stk_layer_type *type = segment->type;
    struct stk_error wrong = {0};
    int status;

    if (!has_value(p, type))
        return type->value == STK_VALUE_REQUIRED ? missing_value(p, type) : 0;

    const size_t at = ++p->at;
    if (type->value == STK_VALUE_REST) {
        segment->value = strcpy(p->out, p->text + at);
        p->out += strlen(p->out) + 1;
        p->at += strlen(p->text + at);
    } else if ((status = take_word(p, word_len(p->text + at, ","), &segment->value)) < 0) {
        return status;
    }
    if (segment->value[0] == '\0' && type->value == STK_VALUE_REQUIRED)
        return missing_value(p, type);
    if (type->check_value != NULL && type->check_value(segment->value, &wrong) < 0)
        return fail(p, STK_ESYNTAX, at, wrong.text);
    return 0;
}

static int parse_segment(struct parse *p)
{
    struct stk_recipe *r = p->recipe;
    struct stk_segment *segment = &r->segments[r->count];
    const char *name;
    int status;

    if (r->count == STK_RECIPE_SEGMENTS_MAX)
        return fail(p, STK_ESYNTAX, p->at, "too many layers");
    segment->index = r->count;
    segment->options = &r->options[r->option_count];
    segment->offset = p->at;
    const size_t len = strcspn(p->text + p->at, "/,");
    if (len == 0)
        return fail(p, STK_ESYNTAX, p->at, "expected the name of a layer");
    if ((status = take_word(p, len, &name)) < 0)
        return status;
    if ((segment->type = stk_layer_type_find(name)) == NULL)
        return unknown_name(p, name, segment->offset);

    if (segment->type->value == STK_VALUE_REST && (status = parse_options(p, segment)) < 0)
        return status;
    if ((status = parse_value(p, segment)) < 0 || (status = parse_options(p, segment)) < 0)
        return status;
    r->count++;
    if (p->text[p->at] == '/' || p->text[p->at] == '\0')
        return 0;
    return fail(p, STK_ESYNTAX, p->at, "expected '/', ',' or the end");
}

int recipe_read(const char *text, enum stk_shape bottom, struct stk_recipe *recipe,
                struct stk_error *error)
{
    struct parse p = {.text = text, .out = recipe->strings, .recipe = recipe, .error = error};

    do {
        if (text[p.at] == '/')
            p.at++;
        else if (p.at != 0 || bottom == STK_NOTHING)
            return fail(&p, STK_ESYNTAX, p.at, "expected '/'");

        const int status = parse_segment(&p);
        if (status < 0)
            return status;
    } while (text[p.at] != '\0');
    return check_shapes(&p, bottom);
}
