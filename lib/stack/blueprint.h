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
    int first;              /* index of the lowest stream layer: the bottom of a connection */
    size_t layers_size;     /* bytes of all layers' structs */
    struct blueprint *next; /* of inserted ones */
    void *shared[];         /* one for each segment */
};

/* Takes a reference on the recipe. */
int blueprint_new(struct stk_recipe *recipe, bool listening, struct blueprint **out,
                  struct stk_error *error);
struct blueprint *blueprint_ref(struct blueprint *blueprint);
void blueprint_unref(struct blueprint *blueprint);

/* Behind the struct of a layer that has on_timer(). */
struct layer_timer {
    struct stk_timer timer;
    struct stk_layer *layer;
};

/* Bytes of a layer's struct, and where its timer stands, if it has one. */
size_t blueprint_layer_size(const struct stk_stream_type *type);
size_t blueprint_timer_offset(const struct stk_stream_type *type);

#endif
