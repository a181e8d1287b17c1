/* The small layers of this room that stand on any stream. */
#ifndef STK_STACK_WRAPPERS_H
#define STK_STACK_WRAPPERS_H

#include "recipe.h"

extern const struct stk_layer_type stk_layer_limit;
extern const struct stk_layer_type stk_layer_idle;
extern const struct stk_layer_type stk_layer_record;
extern const struct stk_layer_type stk_layer_chaos;

#endif
