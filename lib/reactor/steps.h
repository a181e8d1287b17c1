/* The steps of a deferred, for those who bring the memory themselves. Private. */
#ifndef STK_REACTOR_STEPS_H
#define STK_REACTOR_STEPS_H

#include "deferred.h"

enum { REACTOR_STEP_VALUE = 1, REACTOR_STEP_ERROR = 2 };

struct reactor_step {
    stk_callback_fn *fn;
    void *user;
    unsigned kinds; /* of outcomes that it sees */
    bool on_heap;
    struct stk_node node;
};

/* The step's memory must last until it has run. */
void reactor_deferred_add(struct stk_deferred *deferred, struct reactor_step *step);

#endif
