/* The convenience forms of addresses. Private to the room. */
#ifndef STK_STACK_EXPAND_H
#define STK_STACK_EXPAND_H

#include "recipe.h"

/* "host:port", ":port", "http://…", "https://…" and "-" as recipe text. STK_ESYNTAX with a text. */
int recipe_expand(const char *text, char *out, size_t size, struct stk_error *error);

#endif
