#include "path.h"

void ptcp_path_init(struct ptcp_path *path, const struct ptcp_cc_type *cc, uint16_t overhead,
                    uint16_t max_datagram, uint16_t fixed_mtu)
{
    *path = (struct ptcp_path){.overhead = overhead};
    ptcp_rtt_init(&path->rtt);
    ptcp_mtu_init(&path->mtu, max_datagram, fixed_mtu);
    ptcp_cc_init(&path->cc, cc, path->mtu.current);
    ptcp_pacer_init(&path->pacer, path->mtu.current);
}

void ptcp_path_reset(struct ptcp_path *path, uint64_t now_us)
{
    const uint16_t fixed = path->mtu.fixed ? path->mtu.current : 0;
    const struct ptcp_path old = *path;

    ptcp_path_init(path, old.cc.type, old.overhead, old.mtu.max, fixed);
    path->validated = old.validated;
    path->since_us = now_us;
    path->delivery = old.delivery;
    path->delivery.rate = path->delivery.app_limited_until = 0;
}

void ptcp_path_resize(struct ptcp_path *path) { ptcp_cc_set_mtu(&path->cc, path->mtu.current); }

void ptcp_path_pace(struct ptcp_path *path, uint64_t now_us)
{
    const uint64_t rate = path->cc.type->pacing_rate(&path->cc, &path->rtt);

    ptcp_pacer_set(&path->pacer, now_us, rate, path->mtu.current);
}

bool ptcp_path_allows(const struct ptcp_path *path, uint64_t size)
{
    return path->validated ||
           path->unvalidated_out + size <= PTCP_AMPLIFICATION_MAX * path->unvalidated_in;
}
