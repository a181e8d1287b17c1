#include "flow.h"

void ptcp_flow_init(struct ptcp_flow *flow, uint64_t window, uint64_t window_max)
{
    *flow = (struct ptcp_flow){.window = window < window_max ? window : window_max,
                               .window_max = window_max,
                               .blocked_at = UINT64_MAX};
}

static void grow(struct ptcp_flow *flow)
{
    flow->window = flow->window < flow->window_max / 2 ? flow->window * 2 : flow->window_max;
}

/* A hole may take several round trips to fill: the window is to have room for eight. */
void ptcp_flow_arrived(struct ptcp_flow *flow, uint64_t bytes, uint64_t unread, uint64_t now_us,
                       uint64_t rtt_us)
{
    flow->arrived += bytes;
    if (flow->arrived < flow->window / 8)
        return;
    if (now_us - flow->arrived_us < rtt_us && unread <= flow->window / 4) {
        grow(flow);
        flow->update = true;
    }
    flow->arrived = 0;
    flow->arrived_us = now_us;
}

void ptcp_flow_blocked(struct ptcp_flow *flow, uint64_t received, uint64_t unread, uint64_t now_us,
                       uint64_t rtt_us)
{
    if (unread > flow->window / 4 || received - flow->grown_at < flow->window / 4 ||
        now_us - flow->grown_us < rtt_us)
        return;
    flow->grown_at = received;
    flow->grown_us = now_us;
    grow(flow);
}

void ptcp_flow_consumed(struct ptcp_flow *flow, uint64_t offset, uint64_t now_us, uint64_t rtt_us)
{
    if (offset - flow->mark >= flow->window / 2) {
        /* Half a window read within two round trips: the window is what limits the peer. */
        if (now_us - flow->mark_us < 2 * rtt_us)
            grow(flow);
        flow->mark = offset;
        flow->mark_us = now_us;
    }
    /* A quarter at least, so that updates are few and no silly window arises. */
    if (offset + flow->window >= flow->granted + flow->window / 4)
        flow->update = true;
}

uint64_t ptcp_flow_grant(struct ptcp_flow *flow, uint64_t consumed)
{
    const uint64_t limit = consumed + flow->window;

    if (limit > flow->granted)
        flow->granted = limit;
    flow->update = flow->surely = false;
    return flow->granted;
}

bool ptcp_flow_raise(struct ptcp_flow *flow, uint64_t limit)
{
    if (limit <= flow->peer_limit)
        return false;
    flow->peer_limit = limit;
    return true;
}
