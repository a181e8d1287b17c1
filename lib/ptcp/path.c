#include "path.h"

enum { ACK_DELAY_MIN_US = 1000, ACK_DELAY_MAX_US = 25000 };

static void know_nothing(struct ptcp_path *path, const struct ptcp_cc_type *cc, uint16_t max,
                         uint16_t fixed_mtu)
{
    ptcp_rtt_init(&path->rtt);
    ptcp_mtu_init(&path->mtu, max, fixed_mtu);
    ptcp_cc_init(&path->cc, cc, path->mtu.current);
    ptcp_pacer_init(&path->pacer, path->mtu.current);
    path->reduction = (struct ptcp_reduction){0};
    path->ecn = (struct ptcp_ecn){0};
    ptcp_careful_init(path, path->careful.off);
}

void ptcp_path_init(struct ptcp_path *path, const struct ptcp_cc_type *cc, uint16_t overhead,
                    uint16_t max_datagram, uint16_t fixed_mtu)
{
    *path = (struct ptcp_path){.overhead = overhead};
    know_nothing(path, cc, max_datagram, fixed_mtu);
    stk_list_init(&path->connections);
    ptcp_turns_init(&path->turns);
}

void ptcp_path_reset(struct ptcp_path *path, uint64_t now_us, uint64_t since_us)
{
    const uint16_t fixed = path->mtu.fixed ? path->mtu.current : 0;

    know_nothing(path, path->cc.type, path->mtu.max, fixed);
    path->since_us = since_us;
    ptcp_delivery_restart(&path->delivery, now_us);
}

bool ptcp_path_is_open(struct ptcp_path *path, uint64_t now_us, uint64_t *wait_us)
{
    *wait_us = UINT64_MAX;
    if (path->delivery.in_flight + path->mtu.current > path->cc.window_bytes)
        return false;
    const uint64_t next_us = ptcp_pacer_next_us(&path->pacer, now_us);
    if (next_us > now_us)
        *wait_us = next_us;
    return next_us <= now_us;
}

uint64_t ptcp_path_ack_delay_us(const struct ptcp_path *path)
{
    const uint64_t quarter_us = path->rtt.smoothed_us / 4;

    return quarter_us < ACK_DELAY_MIN_US   ? ACK_DELAY_MIN_US
           : quarter_us < ACK_DELAY_MAX_US ? quarter_us
                                           : ACK_DELAY_MAX_US;
}

void ptcp_path_resize(struct ptcp_path *path) { ptcp_cc_set_mtu(&path->cc, path->mtu.current); }

void ptcp_path_pace(struct ptcp_path *path, uint64_t now_us)
{
    const uint64_t rate = path->cc.type->pacing_rate(&path->cc, &path->rtt);

    ptcp_pacer_set(&path->pacer, now_us, ptcp_careful_rate(path, rate), path->mtu.current);
    ptcp_turns_pace(&path->turns, path->pacer.rate);
}
