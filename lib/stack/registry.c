#include "recipe.h"

enum { ADDED_MAX = 64 };

static const struct stk_layer_type *added[ADDED_MAX];
static int added_count;

static int standard_count(void)
{
    static int count;

    if (count == 0)
        while (stk_standard_layers[count] != NULL)
            count++;
    return count;
}

const struct stk_layer_type *stk_layer_type_at(int index)
{
    const int standard = standard_count();

    if (index < 0 || index >= standard + added_count)
        return NULL;
    return index < standard ? stk_standard_layers[index] : added[index - standard];
}

const struct stk_layer_type *stk_layer_type_find(const char *name)
{
    const struct stk_layer_type *type;

    for (int i = 0; (type = stk_layer_type_at(i)) != NULL; i++)
        if (strcmp(type->name, name) == 0)
            return type;
    return NULL;
}

int stk_layer_type_add(const struct stk_layer_type *type)
{
    if (stk_layer_type_find(type->name) != NULL)
        return -EEXIST;
    if (added_count == ADDED_MAX)
        return -ENOSPC;
    added[added_count++] = type;
    return 0;
}
