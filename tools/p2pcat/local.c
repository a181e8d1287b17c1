#include "local.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

enum rank { RANK_PUBLIC, RANK_PRIVATE, RANK_LOOPBACK, RANKS, RANK_NONE };

static enum rank rank_v4(uint32_t ip)
{
    if (ip >> 24 == 127)
        return RANK_LOOPBACK;
    if (ip >> 16 == 0xa9fe || ip == 0) /* link-local */
        return RANK_NONE;
    if (ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8 ||
        ip >> 22 == 0x191) /* RFC 1918, RFC 6598 */
        return RANK_PRIVATE;
    return RANK_PUBLIC;
}

static enum rank rank_v6(const struct in6_addr *ip)
{
    if (IN6_IS_ADDR_LOOPBACK(ip))
        return RANK_LOOPBACK;
    /* A link-local address needs an interface's name, which differs on the other machine. */
    if (IN6_IS_ADDR_LINKLOCAL(ip) || IN6_IS_ADDR_UNSPECIFIED(ip))
        return RANK_NONE;
    return (ip->s6_addr[0] & 0xfe) == 0xfc ? RANK_PRIVATE : RANK_PUBLIC;
}

static enum rank rank_of(const struct ifaddrs *i, int family)
{
    if (i->ifa_addr == NULL || !(i->ifa_flags & IFF_UP))
        return RANK_NONE;
    if (i->ifa_addr->sa_family == AF_INET && family != AF_INET6)
        return rank_v4(
            ntohl(((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr.s_addr));
    if (i->ifa_addr->sa_family == AF_INET6 && family != AF_INET)
        return rank_v6(&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr);
    return RANK_NONE;
}

static void take(struct stk_addr *out, const struct ifaddrs *i, uint16_t port)
{
    const socklen_t len = i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                            : sizeof(struct sockaddr_in6);

    stk_addr_from_sockaddr(out, i->ifa_addr, len);
    stk_addr_set_port(out, port);
}

int local_addresses(struct stk_addr *out, int max, int family, uint16_t port)
{
    struct ifaddrs *all;
    int count = 0;

    if (getifaddrs(&all) < 0)
        return 0;
    for (int rank = RANK_PUBLIC; rank < RANKS; rank++) {
        if (rank == RANK_LOOPBACK && count > 0)
            break;
        for (const struct ifaddrs *i = all; i != NULL && count < max; i = i->ifa_next)
            if (rank_of(i, family) == (enum rank)rank)
                take(&out[count++], i, port);
    }
    freeifaddrs(all);
    return count;
}
