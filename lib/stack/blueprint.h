/*
 * A blueprint: a recipe whose stream layers are prepared, shared by a listener and its connections.
 * It knows the size of a connection's block. Private to the room.
 */
#ifndef STK_STACK_BLUEPRINT_H
#define STK_STACK_BLUEPRINT_H

#include "layer.h"

struct blueprint {
    struct stk_recipe *recipe;
    unsigned references;
    bool listening;
    int first;          /* index of the lowest stream layer: the bottom of a connection */
    size_t layers_size; /* bytes of all layers' structs */
    void *shared[STK_RECIPE_SEGMENTS_MAX];
    struct blueprint *next; /* of inserted ones */
};

/* Takes a reference on the recipe. */
int blueprint_new(struct stk_recipe *recipe, bool listening, struct blueprint **out,
                  struct stk_error *error);
struct blueprint *blueprint_ref(struct blueprint *blueprint);
void blueprint_unref(struct blueprint *blueprint);
size_t blueprint_layer_size(const struct stk_stream_type *type);

#endif
