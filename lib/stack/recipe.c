#include "recipe.h"

#include "expand.h"
#include "option.h"

#include <assert.h>
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

static int fail(struct parse *p, int code, size_t at, const char *what)
{
    return stk_error_set(p->error, code, "recipe", "at character %zu of \"%.60s\": %s", at + 1,
                         p->text, what);
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

enum { NAME_MAX_LEN = 31 };

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

/* Edit distance, two letters swapped counting as one mistake: what a typing error meant. */
static unsigned distance(const char *a, const char *b)
{
    unsigned d[NAME_MAX_LEN + 1][NAME_MAX_LEN + 1];
    const size_t m = strlen(a), n = strlen(b);

    if (m > NAME_MAX_LEN || n > NAME_MAX_LEN)
        return UINT32_MAX;
    for (size_t i = 0; i <= m; i++)
        for (size_t j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
                            d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[m][n];
}

static const char *nearest_name(const char *name)
{
    const struct stk_layer_type *type;
    const char *best = NULL;
    unsigned best_distance = 3;

    for (int i = 0; (type = stk_layer_type_at(i)) != NULL; i++) {
        const unsigned d = distance(name, type->name);

        if (d < best_distance && d < strlen(type->name)) {
            best = type->name;
            best_distance = d;
        }
    }
    return best;
}

static int unknown_name(struct parse *p, const char *name, size_t at)
{
    const char *near = nearest_name(name);
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

static const struct stk_option_type *find_option(const struct stk_layer_type *type,
                                                 const char *name)
{
    for (const struct stk_option_type *o = type->options; o != NULL && o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

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
    struct stk_option *option = &segment->options[segment->option_count];
    const size_t at = ++p->at; /* over the comma */
    const char *name;
    int status;

    if (segment->option_count == STK_SEGMENT_OPTIONS_MAX)
        return fail(p, STK_ESYNTAX, at, "too many options");
    if ((status = take_word(p, strcspn(p->text + p->at, "=,/"), &name)) < 0)
        return status;
    if ((option->type = find_option(segment->type, name)) == NULL)
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

static int parse_all(struct parse *p, enum stk_shape bottom)
{
    do {
        if (p->text[p->at] == '/')
            p->at++;
        else if (p->at != 0 || bottom == STK_NOTHING)
            return fail(p, STK_ESYNTAX, p->at, "expected '/'");

        const int status = parse_segment(p);
        if (status < 0)
            return status;
    } while (p->text[p->at] != '\0');
    return check_shapes(p, bottom);
}

/* --- The canonical text
 * ----------------------------------------------------------------------------- */

const char *stk_percent_encode(const char *text, char *out, size_t size)
{
    size_t len = 0;

    for (const unsigned char *c = (const unsigned char *)text; *c != '\0' && len + 4 <= size; c++) {
        if (*c <= ' ' || *c == 127 || strchr("/,%", *c) != NULL)
            len += (size_t)snprintf(out + len, size - len, "%%%02X", *c);
        else
            out[len++] = (char)*c;
    }
    out[len] = '\0';
    return out;
}

static size_t append(char *text, size_t len, const char *before, const char *word, bool encode)
{
    char encoded[STK_RECIPE_TEXT_MAX];

    if (encode)
        word = stk_percent_encode(word, encoded, sizeof encoded);
    if (len < STK_RECIPE_TEXT_MAX)
        len += (size_t)snprintf(text + len, STK_RECIPE_TEXT_MAX - len, "%s%s", before, word);
    return len;
}

static size_t append_options(char *text, size_t len, const struct stk_segment *segment)
{
    for (int i = 0; i < segment->option_count; i++) {
        const struct stk_option *option = &segment->options[i];

        len = append(text, len, ",", option->type->name, false);
        if (option->text[0] != '\0')
            len = append(text, len, "=", option->text, true);
    }
    return len;
}

/* Encoding may lengthen the text: then the bound is met again here. */
static int make_text(struct stk_recipe *r, struct stk_error *error)
{
    char text[STK_RECIPE_TEXT_MAX];
    size_t len = 0;

    for (int i = 0; i < r->count; i++) {
        const struct stk_segment *segment = &r->segments[i];
        const bool rest = segment->type->value == STK_VALUE_REST;

        len = append(text, len, "/", segment->type->name, false);
        if (rest)
            len = append_options(text, len, segment);
        if (segment->value != NULL)
            len = append(text, len, "/", segment->value, !rest);
        if (!rest)
            len = append_options(text, len, segment);
    }
    if (len >= sizeof text)
        return stk_error_set(error, STK_ESYNTAX, "recipe", "the address is too long");
    r->text = stk_strdup(text);
    return r->text != NULL ? 0 : stk_error_set(error, -ENOMEM, "recipe", "out of memory");
}

/* --- The public face
 * ---------------------------------------------------------------------------------- */

static int parse_text(const char *text, enum stk_shape bottom, struct stk_recipe **out,
                      struct stk_error *error)
{
    struct stk_error ignored;
    struct parse p = {.text = text, .error = error != NULL ? error : &ignored};
    const size_t len = strlen(text);
    int status;

    if (len >= STK_RECIPE_TEXT_MAX)
        return stk_error_set(p.error, STK_ESYNTAX, "recipe", "the address is longer than %d bytes",
                             STK_RECIPE_TEXT_MAX - 1);
    p.recipe = stk_alloc_zero(sizeof *p.recipe);
    if (p.recipe == NULL)
        return stk_error_set(p.error, -ENOMEM, "recipe", "out of memory");
    p.recipe->references = 1;
    p.out = p.recipe->strings = stk_alloc(2 * len + 2); /* each word and its NUL are at most that */
    if (p.out == NULL)
        status = stk_error_set(p.error, -ENOMEM, "recipe", "out of memory");
    else if ((status = parse_all(&p, bottom)) == 0)
        status = make_text(p.recipe, p.error);
    if (status < 0) {
        stk_recipe_unref(p.recipe);
        return status;
    }
    *out = p.recipe;
    return 0;
}

int stk_recipe_parse(const char *text, struct stk_recipe **out, struct stk_error *error)
{
    char expanded[STK_RECIPE_TEXT_MAX];
    struct stk_error ignored;

    if (text[0] != '/') {
        const int status =
            recipe_expand(text, expanded, sizeof expanded, error != NULL ? error : &ignored);
        if (status < 0)
            return status;
        text = expanded;
    }
    return parse_text(text, STK_NOTHING, out, error);
}

int stk_recipe_parse_fragment(const char *text, struct stk_recipe **out, struct stk_error *error)
{
    return parse_text(text, STK_STREAM, out, error);
}

int stk_recipe_prefix(const struct stk_recipe *recipe, int count, struct stk_recipe **out)
{
    char text[STK_RECIPE_TEXT_MAX];

    assert(count > 0 && count <= recipe->count);
    strcpy(text, recipe->text);
    if (count < recipe->count) {
        /* Values hold no plain slash in canonical text, so segments are counted by their slashes.
         */
        char *at = text;

        for (int i = 0; i < count; i++) {
            at = strchr(at + 1, '/');
            if (recipe->segments[i].value != NULL)
                at = strchr(at + 1, '/');
        }
        *at = '\0';
    }
    return parse_text(text, STK_NOTHING, out, NULL);
}

struct stk_recipe *stk_recipe_ref(struct stk_recipe *recipe)
{
    recipe->references++;
    return recipe;
}

void stk_recipe_unref(struct stk_recipe *recipe)
{
    if (recipe == NULL || --recipe->references > 0)
        return;
    stk_free(recipe->strings);
    stk_free(recipe->text);
    stk_free(recipe);
}

const char *stk_recipe_text(const struct stk_recipe *recipe) { return recipe->text; }

enum stk_shape stk_recipe_shape(const struct stk_recipe *recipe)
{
    return recipe->segments[recipe->count - 1].type->above;
}

const struct stk_segment *stk_recipe_find(const struct stk_recipe *recipe, const char *name)
{
    for (int i = 0; i < recipe->count; i++)
        if (strcmp(recipe->segments[i].type->name, name) == 0)
            return &recipe->segments[i];
    return NULL;
}

static const struct stk_option *option_of(const struct stk_segment *segment, const char *name)
{
    assert(find_option(segment->type, name) != NULL);
    for (int i = segment->option_count - 1; i >= 0; i--) /* the last one of a name counts */
        if (strcmp(segment->options[i].type->name, name) == 0)
            return &segment->options[i];
    return NULL;
}

const char *stk_segment_text(const struct stk_segment *segment, const char *name,
                             const char *fallback)
{
    const struct stk_option *option = option_of(segment, name);

    return option != NULL ? option->text : fallback;
}

uint64_t stk_segment_number(const struct stk_segment *segment, const char *name, uint64_t fallback)
{
    const struct stk_option *option = option_of(segment, name);

    return option != NULL ? option->number : fallback;
}

bool stk_segment_flag(const struct stk_segment *segment, const char *name, bool fallback)
{
    return stk_segment_number(segment, name, fallback) != 0;
}
