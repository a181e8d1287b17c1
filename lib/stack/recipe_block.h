/*
 * The one block of memory that a recipe is: its struct, segments, options and strings. Private to
 * the room.
 */
#ifndef STK_STACK_RECIPE_BLOCK_H
#define STK_STACK_RECIPE_BLOCK_H

#include "recipe.h"

/* With room for whatever this text can hold; not counted by references. NULL: no memory. */
struct stk_recipe *recipe_draft(const char *text);
/*
 * A copy of the draft that takes no more than it needs: there may be one for each of very many
 * connections. One reference is the caller's; the draft stays. NULL: no memory.
 */
struct stk_recipe *recipe_finish(const struct stk_recipe *draft, const char *text);

#endif
