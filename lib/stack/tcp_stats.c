#include "tcp.h"

#include <linux/tcp.h>

int stack_tcp_stats(int fd, struct stk_stats *stats)
{
    struct tcp_info info = {.tcpi_state = 0};
    socklen_t len = sizeof info;

    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return -ENOENT;
    /* An older kernel fills less; the rest stays 0, which is "unknown". */
    *stats = (struct stk_stats){
        .rtt_us = info.tcpi_rtt,
        .min_rtt_us = info.tcpi_min_rtt == UINT32_MAX ? 0 : info.tcpi_min_rtt,
        .rtt_variance_us = info.tcpi_rttvar,
        .cwnd_bytes = (uint64_t)info.tcpi_snd_cwnd * info.tcpi_snd_mss,
        .rate_bytes_per_s = info.tcpi_delivery_rate,
        .bytes_sent = info.tcpi_bytes_sent - info.tcpi_bytes_retrans,
        .bytes_received = info.tcpi_bytes_received,
        .packets_sent = info.tcpi_segs_out,
        .packets_received = info.tcpi_segs_in,
        .packets_lost = info.tcpi_total_retrans,
        .bytes_retransmitted = info.tcpi_bytes_retrans,
        .ecn_ce = info.tcpi_delivered_ce,
        .mtu = info.tcpi_pmtu,
    };
    len = sizeof stats->congestion_control - 1;
    (void)getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, stats->congestion_control, &len);
    return 0;
}
