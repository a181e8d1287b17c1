#include "recents.h"

#include "reactor.h"

#include <string.h>

enum { RECENTS = 8 };

struct recents {
    struct stk_recipe *recipes[RECENTS]; /* the one used last comes first; then NULL */
};

static const char recents_key;

static void free_all(void *data)
{
    struct recents *recents = data;

    for (int i = 0; i < RECENTS; i++)
        stk_recipe_unref(recents->recipes[i]);
    stk_free(recents);
}

/* NULL without memory: then nothing is remembered. */
static struct recents *recents_of(struct stk_loop *loop)
{
    struct recents *recents = stk_loop_data(loop, &recents_key);

    if (recents != NULL)
        return recents;
    recents = stk_alloc_zero(sizeof *recents);
    if (recents != NULL && stk_loop_set_data(loop, &recents_key, recents, free_all) < 0) {
        stk_free(recents);
        return NULL;
    }
    return recents;
}

static void put_first(struct recents *recents, int from, struct stk_recipe *recipe)
{
    memmove(recents->recipes + 1, recents->recipes, (size_t)from * sizeof *recents->recipes);
    recents->recipes[0] = recipe;
}

/* Only what is written in the canonical way is found: so much is compared, and nothing parsed. */
static struct stk_recipe *find(struct recents *recents, const char *address)
{
    for (int i = 0; i < RECENTS && recents->recipes[i] != NULL; i++) {
        struct stk_recipe *recipe = recents->recipes[i];

        if (strcmp(stk_recipe_text(recipe), address) != 0)
            continue;
        put_first(recents, i, recipe);
        return recipe;
    }
    return NULL;
}

int recents_recipe(struct stk_loop *loop, const char *address, struct stk_recipe **out,
                   struct stk_error *error)
{
    struct recents *recents = recents_of(loop);
    struct stk_recipe *known = recents != NULL ? find(recents, address) : NULL;

    if (known != NULL) {
        *out = stk_recipe_ref(known);
        return 0;
    }
    const int status = stk_recipe_parse(address, out, error);
    if (status < 0 || recents == NULL)
        return status;
    stk_recipe_unref(recents->recipes[RECENTS - 1]);
    put_first(recents, RECENTS - 1, stk_recipe_ref(*out));
    return 0;
}
