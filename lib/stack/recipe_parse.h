/* The parser of recipes and what it looks up. Private to the room. */
#ifndef STK_STACK_RECIPE_PARSE_H
#define STK_STACK_RECIPE_PARSE_H

#include "recipe.h"

/*
 * Fills the segments of a zeroed recipe from `text`; `recipe->strings` must have room for each of
 * its words and their NULs. STK_ESYNTAX or STK_ESTACK.
 */
int recipe_read(const char *text, enum stk_shape bottom, struct stk_recipe *recipe,
                struct stk_error *error);

/* registry.c */
const struct stk_option_type *recipe_option_find(const struct stk_layer_type *type,
                                                 const char *name);
/* The layer that somebody who typed `name` may have meant; NULL if none is near. */
const char *recipe_nearest_name(const char *name);

#endif
