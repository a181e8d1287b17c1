/* The addresses under which this machine may be reached, for tickets. */
#ifndef P2PCAT_LOCAL_H
#define P2PCAT_LOCAL_H

#include "base.h"

/*
 * Fills `out` with the addresses of the interfaces that are up, with `port`: global IPv6 and public
 * IPv4 first, then private ones, loopback only if there is nothing else. `family`: AF_INET,
 * AF_INET6 or AF_UNSPEC. Returns the count.
 */
int local_addresses(struct stk_addr *out, int max, int family, uint16_t port);

#endif
