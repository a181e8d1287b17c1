/*
 * Control packets of several connections in one run. Connections that share an association send to
 * one place, so what a thousand of them have to acknowledge may go through the kernel, and come out
 * of it at the peer, as a few messages.
 */
#ifndef STK_PTCP_COMPANY_H
#define STK_PTCP_COMPANY_H

#include "endpoint.h"

enum {
    PTCP_COMPANY_CONTROL_BYTES = 128, /* control packets up to this are worth padding */
    PTCP_COMPANY_RANGES = 2,          /* an ACK of so many intervals surely fits */
    PTCP_COMPANY_LOOKS = 64,          /* connections that are asked for one run */
};

/*
 * Fills a run that is a lone control packet of `first`, the last of those that are ready, up with
 * those of others; all are padded to one size. `room`: bytes at run->data less the head.
 */
void ptcp_company_controls(struct ptcp_endpoint *endpoint, struct ptcp_conn *first, uint64_t now_us,
                           struct stk_run *run, size_t room);

#endif
