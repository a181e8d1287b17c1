/* The parser of recipes and what it looks up. Private to the room. */
#ifndef STK_STACK_RECIPE_PARSE_H
#define STK_STACK_RECIPE_PARSE_H

#include "recipe.h"

/*
 * Fills a zeroed recipe from `text`. It must have room for a segment for each slash and one more,
 * an option for each comma, and each word with its NUL. STK_ESYNTAX or STK_ESTACK.
 */
int recipe_read(const char *text, enum stk_shape bottom, struct stk_recipe *recipe,
                struct stk_error *error);

/* registry.c */
const struct stk_option_type *recipe_option_find(const struct stk_layer_type *type,
                                                 const char *name);
/* The layer that somebody who typed `name` may have meant; NULL if none is near. */
const char *recipe_nearest_name(const char *name);

#endif
