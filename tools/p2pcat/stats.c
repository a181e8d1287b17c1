#include "stats.h"

#include "talk.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

void stats_take(struct stats *stats, struct stk_conn *conn)
{
    struct stats now;

    if (stk_conn_query(conn, STK_QUERY_STATS, &now.path, sizeof now.path) == 0) {
        stats->path = now.path;
        stats->has_path = true;
    }
    if (stk_conn_query(conn, STK_QUERY_PTCP_STATS, &now.ptcp, sizeof now.ptcp) == 0) {
        stats->ptcp = now.ptcp;
        stats->has_ptcp = true;
    }
    if (stk_conn_query(conn, STK_QUERY_SEAL_STATS, &now.seal, sizeof now.seal) == 0) {
        stats->seal = now.seal;
        stats->has_seal = true;
    }
    if (stk_conn_query(conn, STK_QUERY_UDP_STATS, &now.udp, sizeof now.udp) == 0) {
        stats->udp = now.udp;
        stats->has_udp = true;
    }
    (void)stk_conn_query(conn, STK_QUERY_CIPHER, stats->cipher, sizeof stats->cipher);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) < 0)
        return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t moved(const struct stats_sums *sums)
{
    return sums->sent_bytes + sums->received_bytes;
}

static uint64_t rate(const struct stats_sums *sums)
{
    return sums->seconds > 0 ? (uint64_t)((double)moved(sums) / sums->seconds) : 0;
}

/* --- JSON ----------------------------------------------------------------------------------------
 */

static void put_text(const char *key, const char *text)
{
    fprintf(stderr, "\"%s\":", key);
    talk_json_text(stderr, text);
}

static void put(const char *key, uint64_t value)
{
    fprintf(stderr, ",\"%s\":%" PRIu64, key, value);
}

static void put_path(const struct stk_stats *s)
{
    put("rtt_us", s->rtt_us);
    put("min_rtt_us", s->min_rtt_us);
    put("cwnd_bytes", s->cwnd_bytes);
    put("delivery_bytes_per_s", s->rate_bytes_per_s);
    put("packets_sent", s->packets_sent);
    put("packets_received", s->packets_received);
    put("packets_lost", s->packets_lost);
    put("bytes_retransmitted", s->bytes_retransmitted);
    put("mtu", s->mtu);
    fputc(',', stderr);
    put_text("congestion_control", s->congestion_control);
}

static void put_ptcp(const struct stk_ptcp_stats *s)
{
    put("packets_spurious", s->packets_spurious);
    put("probe_timeouts", s->probe_timeouts);
    put("persistent_congestions", s->persistent_congestions);
    put("pacing_bytes_per_s", s->pacing_bytes_per_s);
    put("ecn_ce_sent", s->ecn_ce_sent);
    put("ecn_ce_received", s->ecn_ce_received);
    put("path_changes", s->path_changes);
}

static void put_seal(const struct stk_seal_stats *s)
{
    fputs(",\"seal\":{\"associations\":", stderr);
    fprintf(stderr, "%" PRIu64, s->associations);
    put("handshakes", s->handshakes);
    put("refused", s->refused);
    put("forged", s->forged);
    put("replayed", s->replayed);
    put("malformed", s->malformed);
    put("limited", s->limited);
    put("moved", s->moved);
    fputc('}', stderr);
}

static void put_udp(const struct stk_udp_stats *s)
{
    fprintf(stderr, ",\"udp\":{\"datagrams_sent\":%" PRIu64, s->datagrams_sent);
    put("datagrams_received", s->datagrams_received);
    put("bytes_sent", s->bytes_sent);
    put("bytes_received", s->bytes_received);
    put("send_calls", s->send_calls);
    put("receive_calls", s->receive_calls);
    put("segmented", s->segmented);
    put("coalesced", s->coalesced);
    put("unsent", s->unsent);
    put("overflowed", s->overflowed);
    put("blocked", s->blocked);
    put("fallbacks", s->fallbacks);
    put("receive_buffer_bytes", s->receive_buffer_bytes);
    put("send_buffer_bytes", s->send_buffer_bytes);
    fputc('}', stderr);
}

static void show_json(const struct stats *stats, const struct stats_sums *sums)
{
    fputc('{', stderr);
    put_text("stack", sums->stack);
    if (stats->cipher[0] != '\0') {
        fputc(',', stderr);
        put_text("cipher", stats->cipher);
    }
    fprintf(stderr, ",\"seconds\":%.6f,\"cpu_seconds\":%.6f", sums->seconds, cpu_seconds());
    if (sums->handshake_us > 0)
        put("handshake_us", sums->handshake_us);
    put("sent_bytes", sums->sent_bytes);
    put("received_bytes", sums->received_bytes);
    put("rate_bytes_per_s", rate(sums));
    if (stats->has_path)
        put_path(&stats->path);
    if (stats->has_ptcp)
        put_ptcp(&stats->ptcp);
    if (stats->has_seal)
        put_seal(&stats->seal);
    if (stats->has_udp)
        put_udp(&stats->udp);
    fputs("}\n", stderr);
}

/* --- Lines ---------------------------------------------------------------------------------------
 */

static void show_path(const struct stk_stats *s)
{
    char cwnd[TALK_SIZE_MAX], again[TALK_SIZE_MAX];

    fprintf(stderr, "RTT       %.3f ms (minimum %.3f ms)\n", (double)s->rtt_us / 1e3,
            (double)s->min_rtt_us / 1e3);
    fprintf(stderr, "loss      %" PRIu64 " of %" PRIu64 " packets (%.2f %%), %s sent again\n",
            s->packets_lost, s->packets_sent,
            s->packets_sent > 0 ? 100.0 * (double)s->packets_lost / (double)s->packets_sent : 0.0,
            talk_size(s->bytes_retransmitted, again));
    fprintf(stderr, "cwnd      %s%s%s, MTU %" PRIu32 "\n", talk_size(s->cwnd_bytes, cwnd),
            s->congestion_control[0] != '\0' ? ", " : "", s->congestion_control, s->mtu);
}

static void show_ptcp(const struct stk_ptcp_stats *s)
{
    char delivery[TALK_SIZE_MAX], pacing[TALK_SIZE_MAX];

    fprintf(stderr, "rate      %s/s delivered, pace %s/s\n",
            talk_size(s->delivery_bytes_per_s, delivery), talk_size(s->pacing_bytes_per_s, pacing));
    fprintf(stderr, "recovery  %" PRIu64 " losses spurious, %" PRIu64 " probe time-outs\n",
            s->packets_spurious, s->probe_timeouts);
    fprintf(stderr,
            "path      %" PRIu64 " changes, ECN marks: %" PRIu64 " on ours, %" PRIu64
            " on the peer's packets\n",
            s->path_changes, s->ecn_ce_sent, s->ecn_ce_received);
}

static void show_cpu(const struct stats_sums *sums)
{
    const double cpu = cpu_seconds();

    fprintf(stderr, "CPU       %.3f s", cpu);
    if (moved(sums) >= 1000000)
        fprintf(stderr, ", %.2f s for each GB", cpu * 1e9 / (double)moved(sums));
    fputc('\n', stderr);
}

static void show_lines(const struct stats *stats, const struct stats_sums *sums)
{
    char sent[TALK_SIZE_MAX], received[TALK_SIZE_MAX], goodput[TALK_SIZE_MAX];

    fprintf(stderr, "stack     %s\n", sums->stack);
    if (stats->cipher[0] != '\0')
        fprintf(stderr, "cipher    %s\n", stats->cipher);
    fprintf(stderr, "moved     %s sent, %s received in %.3f s: %s/s\n",
            talk_size(sums->sent_bytes, sent), talk_size(sums->received_bytes, received),
            sums->seconds, talk_size(rate(sums), goodput));
    if (sums->handshake_us > 0)
        fprintf(stderr, "opening   %.3f ms\n", (double)sums->handshake_us / 1e3);
    if (stats->has_path)
        show_path(&stats->path);
    if (stats->has_ptcp)
        show_ptcp(&stats->ptcp);
    if (stats->has_udp && stats->udp.overflowed > 0)
        fprintf(stderr, "dropped   %" PRIu32 " datagrams by this machine, for want of room\n",
                stats->udp.overflowed);
    show_cpu(sums);
}

void stats_show(const struct stats *stats, const struct stats_sums *sums, bool json)
{
    if (json)
        show_json(stats, sums);
    else
        show_lines(stats, sums);
}

const char *stats_brief(const struct stats *stats, char text[STATS_BRIEF_MAX])
{
    char cwnd[TALK_SIZE_MAX];

    text[0] = '\0';
    if (stats->has_path)
        snprintf(text, STATS_BRIEF_MAX, "RTT %.3g ms  cwnd %s  %" PRIu64 " lost",
                 (double)stats->path.rtt_us / 1e3, talk_size(stats->path.cwnd_bytes, cwnd),
                 stats->path.packets_lost);
    return text;
}
