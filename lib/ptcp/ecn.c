#include "ecn.h"

enum { ECT0, ECT1, CE }; /* in the order of the frame */

void ptcp_ecn_sent(struct ptcp_ecn *ecn, struct ptcp_ecn_counts *counts, uint32_t packets)
{
    counts->sent += packets;
    if (ecn->state != PTCP_ECN_TESTING)
        return;
    if (ecn->tested + packets < PTCP_ECN_TEST_PACKETS)
        ecn->tested = (uint8_t)(ecn->tested + packets);
    else
        ecn->state = PTCP_ECN_UNKNOWN;
}

void ptcp_ecn_lost(struct ptcp_ecn *ecn)
{
    if (ecn->state == PTCP_ECN_CAPABLE || ecn->state == PTCP_ECN_FAILED)
        return;
    if (++ecn->lost >= PTCP_ECN_TEST_PACKETS)
        ecn->state = PTCP_ECN_FAILED;
}

void ptcp_ecn_timeout(struct ptcp_ecn *ecn, uint32_t count)
{
    if (count < PTCP_ECN_TIMEOUTS)
        return;
    if (ecn->state == PTCP_ECN_TESTING)
        ecn->state = PTCP_ECN_UNKNOWN;
    else if (ecn->state == PTCP_ECN_CAPABLE)
        ecn->state = PTCP_ECN_FAILED;
}

/* Counts never fall, each marked packet is in one of them, and none is in them that was not. */
static bool is_valid(const struct ptcp_ecn_counts *counts, const struct ptcp_ack *ack,
                     uint64_t marked)
{
    if (!ack->has_ecn)
        return marked == 0;
    if (ack->ecn[ECT0] < counts->ect0 || ack->ecn[CE] < counts->ce || ack->ecn[ECT1] > 0)
        return false;
    return ack->ecn[ECT0] - counts->ect0 + ack->ecn[CE] - counts->ce >= marked &&
           ack->ecn[ECT0] <= counts->sent && ack->ecn[CE] <= counts->sent - ack->ecn[ECT0];
}

void ptcp_ecn_note(struct ptcp_ecn_counts *counts, const struct ptcp_ack *ack)
{
    if (!ack->has_ecn)
        return;
    if (ack->ecn[ECT0] > counts->ect0)
        counts->ect0 = ack->ecn[ECT0];
    if (ack->ecn[CE] > counts->ce)
        counts->ce = ack->ecn[CE];
}

bool ptcp_ecn_acked(struct ptcp_ecn *ecn, struct ptcp_ecn_counts *counts,
                    const struct ptcp_ack *ack, uint64_t marked)
{
    bool congested;

    if (ecn->state != PTCP_ECN_FAILED && !is_valid(counts, ack, marked))
        ecn->state = PTCP_ECN_FAILED;
    if (ecn->state == PTCP_ECN_FAILED) {
        ptcp_ecn_note(counts, ack); /* another path may carry marks */
        return false;
    }
    if (!ack->has_ecn)
        return false;
    if (marked > 0)
        ecn->state = PTCP_ECN_CAPABLE;
    congested = ack->ecn[CE] > counts->ce;
    counts->ect0 = ack->ecn[ECT0];
    counts->ce = ack->ecn[CE];
    return congested;
}
