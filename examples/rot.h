/*
 * The layer "rot": turns letters round the alphabet, as an example of a layer outside of the
 * library. docs/layers.md walks through its source.
 */
#ifndef EXAMPLES_ROT_H
#define EXAMPLES_ROT_H

#include "layer.h"

/* How many bytes passed, in both directions together: uint64_t. */
enum { QUERY_ROT_BYTES = STK_QUERY_USER + 1 };

/* For stk_layer_type_add(). In a recipe: "/rot" or "/rot,by=3". */
extern const struct stk_layer_type rot_layer;

#endif
