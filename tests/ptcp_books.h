/*
 * The accounts of an endpoint, counted anew from all that it has: what is in flight, who waits for
 * a turn, what is granted and what is lent.
 */
#ifndef PTCP_BOOKS_H
#define PTCP_BOOKS_H

#include "endpoint.h"

struct books {
    uint64_t windows, chunks, senders, records, connections, suspended;
    const char *wrong; /* the first that does not balance */
};

static inline void books_want(struct books *books, bool right, const char *what)
{
    if (!right && !books->wrong)
        books->wrong = what;
}

static inline uint32_t books_charge(uint32_t capacity)
{
    return capacity > PTCP_RECORDS_SMALL ? capacity : 0;
}

static inline void books_check_flight(struct books *books, const struct ptcp_recovery *recovery)
{
    uint64_t here = 0, elsewhere = 0;

    for (const struct ptcp_sent *record = ptcp_sent_oldest(&recovery->ring); record;
         record = ptcp_sent_after(&recovery->ring, record))
        if (record->state == PTCP_SENT_OUTSTANDING)
            *(record->packet < recovery->elsewhere_end ? &elsewhere : &here) +=
                ptcp_sent_bytes(record);
    books_want(books, recovery->elsewhere == elsewhere, "bytes under way elsewhere");
    books_want(books, ptcp_recovery_here(recovery) == here, "bytes of packets under way");
}

static inline void books_add(struct books *books, const struct ptcp_conn *conn)
{
    const struct ptcp_engine *engine = conn->engine;

    books->suspended += conn->durable && conn->durable->lost;
    if (!engine)
        return;
    books->windows += engine->flow.window;
    books->chunks += engine->in.store.held + engine->out.store.held;
    books->senders += engine->out.store.held > 0;
    books->records += books_charge(engine->recovery.ring.capacity);
    books_check_flight(books, &engine->recovery);
    books_want(books, engine->out.una <= engine->out.next && engine->out.next <= engine->out.end,
               "offsets of what is sent");
    books_want(books,
               conn->state == PTCP_STATE_SYN_SENT || conn->buried ||
                   engine->out.next <= engine->flow.peer_limit,
               "what is sent, within the grant");
    books_want(books,
               engine->in.consumed <= engine->in.contiguous &&
                   engine->in.contiguous <= engine->flow.granted,
               "what came, within the grant");
}

static inline void books_check_path(struct books *books, const struct ptcp_path *path)
{
    uint32_t count = 0, asked = 0, busy = 0;
    uint64_t in_flight = 0;

    STK_LIST_EACH(node, &path->connections)
    {
        const struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, on_path);

        count += conn->turn.state == PTCP_TURN_WAITS;
        asked += conn->turn.state == PTCP_TURN_ASKS;
        busy += conn->turn.state != PTCP_TURN_IDLE;
        in_flight += conn->engine ? ptcp_recovery_here(&conn->engine->recovery) : 0;
        books_want(books, conn->path == path, "whose path it is");
    }
    books_want(books, path->delivery.in_flight == in_flight, "bytes in flight");
    books_want(books,
               path->turns.count == count && path->turns.asked == asked && path->turns.busy == busy,
               "turns");
}

/* `records`: what the endpoint had for records of packets when it was new. NULL: all balances. */
static inline const char *books_wrong(const struct ptcp_endpoint *end, uint32_t records)
{
    struct books books = {.wrong = NULL};

    for (uint32_t i = 0; i < end->table.capacity; i++) {
        for (struct ptcp_slot *slot = end->table.buckets[i]; slot; slot = slot->next) {
            const struct ptcp_conn *conn = STK_CONTAINER(slot, struct ptcp_conn, slot);

            if (slot->over)
                continue;
            books.connections++;
            books_add(&books, conn);
            books_check_path(&books, conn->path);
        }
    }
    STK_LIST_EACH(node, &end->buried)
    books_add(&books, STK_CONTAINER(node, struct ptcp_conn, queue));
    books_want(&books, books.connections == end->connections, "connections");
    books_want(&books, books.windows == end->windows, "windows");
    books_want(&books, books.chunks == end->pool.chunks.used, "chunks");
    books_want(&books, books.senders == end->pool.senders, "senders");
    books_want(&books, books.records + end->records.left == records, "records");
    books_want(&books, books.suspended == end->suspended, "suspended");
    return books.wrong;
}

#endif
