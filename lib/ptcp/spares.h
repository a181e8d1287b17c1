/*
 * Blocks of one size that nobody uses for the moment, kept for whoever needs one next. What the
 * last second had no use for goes back to the heap.
 */
#ifndef STK_PTCP_SPARES_H
#define STK_PTCP_SPARES_H

#include <stddef.h>
#include <stdint.h>

enum { PTCP_SPARES_TRIM_US = 1000000 };

struct ptcp_spares {
    void *first;          /* each starts with a pointer to the next one */
    size_t size;          /* of a block, in bytes */
    uint32_t count, most; /* kept, now and at most */
    uint32_t used, high;  /* lent, and the most that were since the last trim */
    uint64_t trim_us;     /* when the next one is due; UINT64_MAX: nothing to trim */
};

void ptcp_spares_init(struct ptcp_spares *spares, size_t size, uint32_t most);
void ptcp_spares_free(struct ptcp_spares *spares); /* all blocks must be back */
/* A spare one, or a new one. NULL without memory. */
void *ptcp_spares_take(struct ptcp_spares *spares);
void ptcp_spares_put(struct ptcp_spares *spares, void *block);
/* When ptcp_spares_trim() is due. */
uint64_t ptcp_spares_due_us(struct ptcp_spares *spares, uint64_t now_us);
void ptcp_spares_trim(struct ptcp_spares *spares, uint64_t now_us);

#endif
