/*
 * Intrusive circular doubly linked list. A node that is in no list points to itself, so
 * removing twice is harmless. The owner of the struct around the node owns the memory.
 */
#ifndef STK_BASE_LIST_H
#define STK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct stk_node {
    struct stk_node *next, *prev;
};

#define STK_CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Visits nodes; the visited node may be removed, no other one. */
#define STK_LIST_EACH(node, list)                                                                  \
    for (struct stk_node *node = (list)->next, *node##_next = node->next; node != (list);          \
         node = node##_next, node##_next = node->next)

static inline void stk_list_init(struct stk_node *node) { node->next = node->prev = node; }
static inline bool stk_list_empty(const struct stk_node *list) { return list->next == list; }

static inline void stk_list_insert_before(struct stk_node *place, struct stk_node *node)
{
    node->prev = place->prev;
    node->next = place;
    place->prev->next = node;
    place->prev = node;
}

static inline void stk_list_append(struct stk_node *list, struct stk_node *node)
{
    stk_list_insert_before(list, node);
}

static inline void stk_list_prepend(struct stk_node *list, struct stk_node *node)
{
    stk_list_insert_before(list->next, node);
}

static inline void stk_list_remove(struct stk_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    stk_list_init(node);
}

/* Removes and returns the first node, NULL if there is none. */
static inline struct stk_node *stk_list_pop(struct stk_node *list)
{
    struct stk_node *first = list->next;

    if (first == list)
        return NULL;
    stk_list_remove(first);
    return first;
}

#endif
