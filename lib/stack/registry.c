#include "recipe_parse.h"

#include <string.h>

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

const struct stk_option_type *recipe_option_find(const struct stk_layer_type *type,
                                                 const char *name)
{
    for (const struct stk_option_type *o = type->options; o != NULL && o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

/* --- Typing errors ------------------------------------------------------------------------------
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

const char *recipe_nearest_name(const char *name)
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
