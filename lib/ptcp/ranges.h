/*
 * A sorted set of disjoint half-open intervals [first, end) of 64-bit numbers.
 *
 * Used for packet numbers received, stream bytes received, acknowledged and lost. Adjacent
 * intervals merge. Its memory is an array that exists only beyond PTCP_RANGES_INLINE intervals.
 */
#ifndef STK_PTCP_RANGES_H
#define STK_PTCP_RANGES_H

#include <stdbool.h>
#include <stdint.h>

enum { PTCP_RANGES_INLINE = 2 };

struct ptcp_range {
    uint64_t first, end;
};

struct ptcp_ranges {
    struct ptcp_range *spill; /* NULL while the inline ones suffice */
    uint32_t count, capacity, limit;
    struct ptcp_range fixed[PTCP_RANGES_INLINE];
};

/* `limit`: the most intervals that it may hold. */
void ptcp_ranges_init(struct ptcp_ranges *set, uint32_t limit);
void ptcp_ranges_free(struct ptcp_ranges *set); /* empty again, and usable */

static inline const struct ptcp_range *ptcp_ranges_at(const struct ptcp_ranges *set, uint32_t i)
{
    return (set->spill ? set->spill : set->fixed) + i;
}

/* 0, or -ENOMEM / STK_ELIMIT and the set is unchanged. An empty interval changes nothing. */
int ptcp_ranges_add(struct ptcp_ranges *set, uint64_t first, uint64_t end);
/* The same; cutting an interval in two may need room. */
int ptcp_ranges_remove(struct ptcp_ranges *set, uint64_t first, uint64_t end);
/* Forgets all numbers below `floor`. */
void ptcp_ranges_remove_below(struct ptcp_ranges *set, uint64_t floor);
/* Forgets the lowest interval. */
void ptcp_ranges_drop_lowest(struct ptcp_ranges *set);
bool ptcp_ranges_contains(const struct ptcp_ranges *set, uint64_t number);
/* The index of the first interval that ends above `number`; count if there is none. */
uint32_t ptcp_ranges_find(const struct ptcp_ranges *set, uint64_t number);

#endif
