#include "blueprint.h"

#include <assert.h>

static size_t rounded(size_t size) { return (size + 15) & ~(size_t)15; }

size_t blueprint_timer_offset(const struct stk_stream_type *type) { return rounded(type->size); }

static size_t layer_bytes(const struct stk_stream_type *type)
{
    assert(type->size >= sizeof(struct stk_layer));
    return type->on_timer != NULL ? rounded(type->size) + sizeof(struct layer_timer) : type->size;
}

size_t blueprint_layer_size(const struct stk_stream_type *type)
{
    return rounded(layer_bytes(type));
}

static int find_bottom(const struct stk_recipe *recipe)
{
    for (int i = 0; i < recipe->count; i++)
        if (recipe->segments[i].type->above == STK_STREAM)
            return i;
    return -1;
}

static int prepare_layer(struct blueprint *b, int index, struct stk_error *error)
{
    const struct stk_segment *segment = &b->recipe->segments[index];
    const struct stk_stream_type *type = segment->type->stream;

    /* Nothing stands behind the last one. */
    b->layers_size = rounded(b->layers_size) + layer_bytes(type);
    if (type->prepare == NULL)
        return 0;
    return type->prepare(segment, b->listening, &b->shared[index], error);
}

int blueprint_new(struct stk_recipe *recipe, bool listening, struct blueprint **out,
                  struct stk_error *error)
{
    const int first = find_bottom(recipe);

    if (first < 0 || stk_recipe_shape(recipe) != STK_STREAM)
        return stk_error_set(error, STK_ESTACK, "recipe", "%s does not end in a stream%s",
                             stk_recipe_text(recipe),
                             stk_recipe_shape(recipe) == STK_DATAGRAMS ? ": put ptcp on top" : "");
    /* A fragment to insert stands on a stream that was accepted already. */
    if (listening && recipe->segments[first].type->below != STK_STREAM &&
        recipe->segments[first].type->stream->listen == NULL)
        return stk_error_set(error, STK_ESTACK, "recipe", "%s can't listen",
                             recipe->segments[first].type->name);

    struct blueprint *b = stk_alloc_zero(sizeof *b + (size_t)recipe->count * sizeof *b->shared);
    if (b == NULL)
        return stk_error_set(error, -ENOMEM, "recipe", "out of memory");
    b->recipe = stk_recipe_ref(recipe);
    b->references = 1;
    b->listening = listening;
    b->first = first;
    for (int i = first; i < recipe->count; i++) {
        const int status = prepare_layer(b, i, error);

        if (status < 0) {
            blueprint_unref(b);
            return status;
        }
    }
    *out = b;
    return 0;
}

struct blueprint *blueprint_ref(struct blueprint *blueprint)
{
    blueprint->references++;
    return blueprint;
}

void blueprint_unref(struct blueprint *blueprint)
{
    if (--blueprint->references > 0)
        return;
    for (int i = blueprint->first; i < blueprint->recipe->count; i++) {
        const struct stk_stream_type *type = blueprint->recipe->segments[i].type->stream;

        if (blueprint->shared[i] != NULL && type->unprepare != NULL)
            type->unprepare(blueprint->shared[i]);
    }
    stk_recipe_unref(blueprint->recipe);
    stk_free(blueprint);
}
