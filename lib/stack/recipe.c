#include "recipe.h"

#include "expand.h"
#include "recipe_block.h"
#include "recipe_parse.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

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
static int make_text(const struct stk_recipe *r, char text[STK_RECIPE_TEXT_MAX],
                     struct stk_error *error)
{
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
    if (len >= STK_RECIPE_TEXT_MAX)
        return stk_error_set(error, STK_ESYNTAX, "recipe", "the address is too long");
    return 0;
}

/* --- The public face
 * ---------------------------------------------------------------------------------- */

static int parse_text(const char *text, enum stk_shape bottom, struct stk_recipe **out,
                      struct stk_error *error)
{
    const size_t len = strlen(text);
    char canonical[STK_RECIPE_TEXT_MAX];
    struct stk_error ignored;
    int status;

    if (error == NULL)
        error = &ignored;
    if (len >= STK_RECIPE_TEXT_MAX)
        return stk_error_set(error, STK_ESYNTAX, "recipe", "the address is longer than %d bytes",
                             STK_RECIPE_TEXT_MAX - 1);
    struct stk_recipe *draft = recipe_draft(text);
    if (draft == NULL)
        return stk_error_set(error, -ENOMEM, "recipe", "out of memory");
    if ((status = recipe_read(text, bottom, draft, error)) == 0)
        status = make_text(draft, canonical, error);
    struct stk_recipe *recipe = status == 0 ? recipe_finish(draft, canonical) : NULL;
    stk_free(draft);
    if (recipe != NULL)
        *out = recipe;
    else if (status == 0)
        status = stk_error_set(error, -ENOMEM, "recipe", "out of memory");
    return status;
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
    assert(recipe_option_find(segment->type, name) != NULL);
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

static bool option_agrees(const struct stk_option *a, const struct stk_option *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->type->kind == STK_OPTION_TEXT ? strcmp(a->text, b->text) == 0
                                            : a->number == b->number;
}

bool stk_segment_agrees(const struct stk_segment *a, const struct stk_segment *b,
                        const char *except)
{
    if (a->type != b->type)
        return false;
    for (const struct stk_option_type *type = a->type->options; type && type->name; type++) {
        if (except != NULL && strcmp(type->name, except) == 0)
            continue;
        if (!option_agrees(option_of(a, type->name), option_of(b, type->name)))
            return false;
    }
    return true;
}
