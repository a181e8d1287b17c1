/* Option values as people write them: sizes, durations, percentages. Private to the room. */
#ifndef STK_STACK_OPTION_H
#define STK_STACK_OPTION_H

#include "recipe.h"

/* Reads `text` as the type says and checks its range. On failure sets the error's text,
 * STK_ESYNTAX. */
int option_parse(const struct stk_option_type *type, const char *text, uint64_t *number,
                 struct stk_error *error);

#endif
