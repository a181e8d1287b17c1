/*
 * Packets that came together and go on where the one before them ended: the next number, the next
 * stream bytes, and nothing else. What holds for all of them is looked at once. The receiver's
 * side of bulk.h; every other packet is arrival.c's.
 */
#ifndef STK_PTCP_TRAIN_H
#define STK_PTCP_TRAIN_H

#include "endpoint.h"

/* Takes such packets of a run, from the number `from` in it on: how many; maybe none. */
unsigned ptcp_train_take(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *run,
                         unsigned from);

#endif
