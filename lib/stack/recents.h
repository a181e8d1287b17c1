/*
 * The recipes that a loop connected by last. Whoever opens many connections to one address has one
 * recipe, parsed once. Private to the room.
 */
#ifndef STK_STACK_RECENTS_H
#define STK_STACK_RECENTS_H

#include "recipe.h"

struct stk_loop;

/* As stk_recipe_parse(). */
int recents_recipe(struct stk_loop *loop, const char *address, struct stk_recipe **out,
                   struct stk_error *error);

#endif
