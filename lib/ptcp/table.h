/* Connections and what remains of them, by their local id: a hash table that grows. */
#ifndef STK_PTCP_TABLE_H
#define STK_PTCP_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct ptcp_slot {
    uint64_t id; /* random, so its low bits are the hash */
    struct ptcp_slot *next;
    bool over; /* a struct ptcp_timewait, else a struct ptcp_conn */
};

struct ptcp_table {
    struct ptcp_slot **buckets;
    uint32_t capacity; /* a power of two */
    uint32_t count;
};

/* 0 or -ENOMEM. */
int ptcp_table_init(struct ptcp_table *table);
void ptcp_table_free(struct ptcp_table *table);
/* Where a search begins for ids with these low 32 bits; NULL: it would find nothing. */
struct ptcp_slot *ptcp_table_first(const struct ptcp_table *table, uint32_t low);
/* The first with these low 32 bits of its id: nearly always the only one. */
struct ptcp_slot *ptcp_table_find_low(const struct ptcp_table *table, uint32_t low);
struct ptcp_slot *ptcp_table_find(const struct ptcp_table *table, uint64_t id);
/* The id must be new. Without memory to grow, chains get longer. */
void ptcp_table_add(struct ptcp_table *table, struct ptcp_slot *slot);
void ptcp_table_remove(struct ptcp_table *table, struct ptcp_slot *slot);

#endif
