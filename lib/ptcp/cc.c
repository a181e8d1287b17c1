#include "cc.h"

#include <string.h>

static const struct ptcp_cc_type *const types[] = {&ptcp_bbr, &ptcp_cubic, &ptcp_reno};

const struct ptcp_cc_type *ptcp_cc_find(const char *name)
{
    if (!name)
        return types[0];
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i]->name, name) == 0)
            return types[i];
    }
    return NULL;
}

void ptcp_cc_init(struct ptcp_cc *cc, const struct ptcp_cc_type *type, uint32_t mtu)
{
    *cc = (struct ptcp_cc){.type = type,
                           .mtu = mtu,
                           .window_bytes = (uint64_t)PTCP_CC_INITIAL_PACKETS * mtu,
                           .ssthresh_bytes = UINT64_MAX};
    type->init(cc);
}

/* The window is in bytes and stays, but never below its minimum for the new size. */
void ptcp_cc_set_mtu(struct ptcp_cc *cc, uint32_t mtu)
{
    cc->mtu = mtu;
    if (cc->window_bytes < ptcp_cc_min_window(cc))
        cc->window_bytes = ptcp_cc_min_window(cc);
}

uint64_t ptcp_cc_min_window(const struct ptcp_cc *cc)
{
    return (uint64_t)PTCP_CC_MIN_PACKETS * cc->mtu;
}

/* RFC 9002 section 7.7: a little faster than the window, so that it can grow. */
uint64_t ptcp_cc_window_pacing(const struct ptcp_cc *cc, const struct ptcp_rtt *rtt)
{
    const uint64_t percent = ptcp_cc_in_slow_start(cc) ? 200 : 125;
    const uint64_t rtt_us = rtt->smoothed_us ? rtt->smoothed_us : 1;

    if (!rtt->sampled)
        return 0;
    return cc->window_bytes * percent / 100 * 1000000 / rtt_us + 1;
}

/* In slow start the last round's half has arrived. */
uint64_t ptcp_cc_window_capacity(const struct ptcp_cc *cc)
{
    return ptcp_cc_in_slow_start(cc) ? cc->window_bytes / 2 : cc->window_bytes;
}

void ptcp_cc_restart(struct ptcp_cc *cc, uint64_t now_us, uint64_t window_bytes)
{
    cc->type->init(cc);
    cc->window_bytes = cc->ssthresh_bytes = window_bytes;
    cc->reduced = true;
    cc->recovery_start_us = now_us;
}
