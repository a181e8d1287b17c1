/*
 * A layer that changes nothing and watches its neighbours: does the one below keep the contract of
 * layer.h, do those above? Put "probe" between the layers of a recipe.
 *
 * It may stand on chaos, which says AGAIN where there are bytes and raises events twice: what the
 * contract leaves open is not counted there.
 */
#ifndef STK_TESTS_PROBE_H
#define STK_TESTS_PROBE_H

/* Makes the name known to recipes; again does no harm. */
void probe_register(void);
/* How many rules were broken since the last call; prints the first few. */
int probe_take_violations(void);
/* Layers that live: 0 when all connections are gone. */
int probe_alive(void);

#endif
