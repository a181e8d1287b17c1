/*
 * Memory for the records of packets sent (sent.h) of all connections of a port. It has a bound, and
 * goes from hand to hand: a ring without records gives its block back, and who sends next has one
 * that is still in the processor's cache. So a thousand connections that send in turn need as much
 * as those that have packets under way.
 */
#ifndef STK_PTCP_RECORDS_H
#define STK_PTCP_RECORDS_H

#include "spares.h"

enum {
    PTCP_RECORDS_SMALL = 16,            /* so many are free of charge: a block of these */
    PTCP_RECORDS_SIZES = 12,            /* of blocks: each has room for twice as many */
    PTCP_RECORDS_PART = 8,              /* a larger one takes such a part of what is left at most */
    PTCP_RECORDS_SPARE_BYTES = 1 << 19, /* of each size, at most */
};

struct ptcp_sent;

struct ptcp_records {
    uint32_t left; /* records that rings may still take */
    struct ptcp_spares sizes[PTCP_RECORDS_SIZES];
};

void ptcp_records_init(struct ptcp_records *records, uint64_t limit_bytes);
void ptcp_records_free(struct ptcp_records *records); /* all blocks must be back */
/* `capacity`: one of the sizes. 0, STK_ELIMIT (a small block never meets that) or -ENOMEM. */
int ptcp_records_take(struct ptcp_records *records, uint32_t capacity, struct ptcp_sent **block);
void ptcp_records_put(struct ptcp_records *records, uint32_t capacity, struct ptcp_sent *block);
/* What the last second had no use for goes back to the heap, as in spares.h. */
uint64_t ptcp_records_due_us(struct ptcp_records *records, uint64_t now_us);
void ptcp_records_trim(struct ptcp_records *records, uint64_t now_us);

#endif
