#include "recipe_block.h"

#include <string.h>

/* --- The draft ----------------------------------------------------------------------------------
 */

static size_t count_of(const char *text, char c, size_t most)
{
    size_t count = 0;

    for (; *text != '\0' && count < most; text++)
        count += *text == c;
    return count;
}

/* Each layer but the first of a fragment begins with a slash, each option with a comma. */
struct stk_recipe *recipe_draft(const char *text)
{
    const size_t segments = count_of(text, '/', STK_RECIPE_SEGMENTS_MAX - 1) + 1;
    const size_t options =
        count_of(text, ',', (size_t)STK_RECIPE_SEGMENTS_MAX * STK_SEGMENT_OPTIONS_MAX);
    const size_t strings = 2 * strlen(text) + 2; /* each word and its NUL are at most that */
    struct stk_recipe *r = stk_alloc_zero(sizeof *r + segments * sizeof *r->segments +
                                          options * sizeof *r->options + strings);

    if (r == NULL)
        return NULL;
    r->segments = (struct stk_segment *)(r + 1);
    r->options = (struct stk_option *)(r->segments + segments);
    r->strings = (char *)(r->options + options);
    return r;
}

/* --- What stays ---------------------------------------------------------------------------------
 */

static size_t size_of(const char *text) { return text != NULL ? strlen(text) + 1 : 0; }

static size_t strings_size(const struct stk_recipe *r)
{
    size_t size = 0;

    for (int i = 0; i < r->count; i++)
        size += size_of(r->segments[i].value);
    for (int i = 0; i < r->option_count; i++)
        size += size_of(r->options[i].text);
    return size;
}

/* Puts a string behind those that are there. */
static char *add(char **end, const char *text)
{
    const size_t size = size_of(text);
    char *at = *end;

    if (text == NULL)
        return NULL;
    memcpy(at, text, size);
    *end += size;
    return at;
}

static void copy_segments(struct stk_recipe *r, const struct stk_recipe *draft, char **end)
{
    for (int i = 0; i < draft->option_count; i++) {
        r->options[i] = draft->options[i];
        r->options[i].text = add(end, draft->options[i].text);
    }
    for (int i = 0; i < draft->count; i++) {
        const struct stk_segment *from = &draft->segments[i];
        struct stk_segment *to = &r->segments[i];

        *to = *from;
        to->value = add(end, from->value);
        to->options = r->options + (from->options - draft->options);
        to->host = from->host != NULL ? r->segments + (from->host - draft->segments) : NULL;
    }
}

struct stk_recipe *recipe_finish(const struct stk_recipe *draft, const char *text)
{
    const size_t segments = (size_t)draft->count, options = (size_t)draft->option_count;
    struct stk_recipe *r =
        stk_alloc(sizeof *r + segments * sizeof *r->segments + options * sizeof *r->options +
                  strings_size(draft) + size_of(text));

    if (r == NULL)
        return NULL;
    *r = *draft;
    r->references = 1;
    r->segments = (struct stk_segment *)(r + 1);
    r->options = (struct stk_option *)(r->segments + segments);
    r->strings = (char *)(r->options + options);
    char *end = r->strings;
    copy_segments(r, draft, &end);
    r->text = add(&end, text);
    return r;
}
