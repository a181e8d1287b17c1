#include "company.h"

#include <assert.h>
#include <string.h>

static bool fits_in(const struct ptcp_conn *conn, const struct ptcp_path *path)
{
    return conn->path == path && !ptcp_conn_is_plain(conn) && conn->engine && conn->confirmed &&
           ptcp_state_is_open(conn->state) && !ptcp_durable_is_silent(conn) &&
           conn->engine->recovery.probes == 0;
}

static unsigned packets_in(const struct stk_run *run, size_t room)
{
    const size_t bytes = room < STK_RUN_BYTES_MAX ? room : STK_RUN_BYTES_MAX;
    const size_t count = bytes / run->stride;

    return count < STK_RUN_COUNT_MAX ? (unsigned)count : STK_RUN_COUNT_MAX;
}

/* All packets of a run are marked alike. */
static void mark_as(struct ptcp_conn *conn, const struct stk_run *run)
{
    conn->engine->recovery.marks = run->ecn == STK_ECN_ECT0;
}

/* Padding behind a STREAM frame would be taken for its bytes. */
static bool has_stream(const struct stk_run *run)
{
    struct ptcp_header header;
    struct ptcp_frames frames;
    struct ptcp_frame frame;
    struct ptcp_ack ack;

    if (ptcp_packet_read(run->data, run->size, false, &header, &frames) < 0 ||
        header.type != PTCP_DATA)
        return true;
    while (ptcp_frame_read(&frames, &frame, &ack) > 0)
        if (frame.type == PTCP_FRAME_STREAM)
            return true;
    return false;
}

static bool is_lone_control(const struct stk_run *run)
{
    return run->association && run->count == 1 && !run->probe && !run->gather &&
           run->size <= PTCP_COMPANY_CONTROL_BYTES && !has_stream(run);
}

/* Zeros are PADDING frames. */
static void pad(struct stk_run *run, const uint16_t *sizes, uint16_t most)
{
    for (unsigned i = 0; i < run->count; i++)
        memset(stk_run_at(run, i) + sizes[i], PTCP_FRAME_PADDING, (size_t)(most - sizes[i]));
    run->size = run->last_size = most;
}

void ptcp_company_controls(struct ptcp_endpoint *endpoint, struct ptcp_conn *first, uint64_t now_us,
                           struct stk_run *run, size_t room)
{
    struct stk_node *node = endpoint->ready.next;
    uint16_t sizes[STK_RUN_COUNT_MAX] = {run->size}, most = run->size;
    unsigned limit;

    if (node->next == &endpoint->ready || !is_lone_control(run))
        return;
    run->stride = PTCP_COMPANY_CONTROL_BYTES + first->path->overhead;
    limit = packets_in(run, room);
    for (int looks = 0; looks < PTCP_COMPANY_LOOKS && run->count < limit; looks++) {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, ready);

        node = node->next;
        if (conn == first)
            break;
        if (!fits_in(conn, first->path))
            continue;
        mark_as(conn, run);
        const size_t size = ptcp_conn_control(conn, now_us, stk_run_at(run, run->count),
                                              PTCP_COMPANY_CONTROL_BYTES);
        if (size == 0)
            continue;
        sizes[run->count++] = (uint16_t)size;
        most = size > most ? (uint16_t)size : most;
        stk_list_remove(&conn->ready);
        stk_list_append(&endpoint->ready, &conn->ready);
    }
    if (run->count > 1)
        pad(run, sizes, most);
}
