/* Goal: no text upsets the recipe parser; what parses has a canonical text that parses to itself,
 * and so has each of its prefixes. */
#include "recipe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
    if (!held)
        abort();
}

static void check_round_trip(const struct stk_recipe *recipe)
{
    struct stk_recipe *again;

    must(stk_recipe_parse(stk_recipe_text(recipe), &again, NULL) == 0);
    must(strcmp(stk_recipe_text(recipe), stk_recipe_text(again)) == 0);
    must(recipe->count == again->count);
    for (int i = 0; i < recipe->count; i++)
        must(recipe->segments[i].type == again->segments[i].type &&
             recipe->segments[i].option_count == again->segments[i].option_count);
    stk_recipe_unref(again);
}

/* A prefix may be no recipe of its own ("/ip4/1.2.3.4"), but never another one. */
static void check_prefixes(const struct stk_recipe *recipe)
{
    for (int i = 1; i <= recipe->count; i++) {
        struct stk_recipe *prefix;

        if (stk_recipe_prefix(recipe, i, &prefix) < 0)
            continue;
        must(prefix->count == i);
        must(strncmp(stk_recipe_text(prefix), stk_recipe_text(recipe),
                     strlen(stk_recipe_text(prefix))) == 0);
        stk_recipe_unref(prefix);
    }
}

static void check_error(int status, const struct stk_error *error)
{
    must(status == error->code && error->text[0] != '\0');
    must(memchr(error->text, '\0', sizeof error->text) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stk_error error = {0};
    struct stk_recipe *recipe;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    int status = stk_recipe_parse(text, &recipe, &error);
    if (status == 0) {
        check_round_trip(recipe);
        check_prefixes(recipe);
        stk_recipe_unref(recipe);
    } else {
        check_error(status, &error);
    }
    if (stk_recipe_parse_fragment(text, &recipe, NULL) == 0)
        stk_recipe_unref(recipe);
    free(text);
    return 0;
}
