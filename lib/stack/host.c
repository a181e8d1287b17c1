#include "host.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

int stack_check_port(const char *value, struct stk_error *error)
{
    char *end;
    const unsigned long port = strtoul(value, &end, 10);

    if (value[0] >= '0' && value[0] <= '9' && *end == '\0' && strlen(value) <= 5 && port <= 65535)
        return 0;
    return stk_error_set(error, STK_ESYNTAX, "recipe", "a port is a number from 0 to 65535");
}

uint16_t stack_port(const struct stk_segment *segment)
{
    return segment->value ? (uint16_t)strtoul(segment->value, NULL, 10) : 0;
}

static const char *host_kind(const struct stk_segment *segment)
{
    return segment->host ? segment->host->type->name : "";
}

int stack_host_family(const struct stk_segment *segment)
{
    const char *const kind = host_kind(segment);

    if (!strcmp(kind, "ip4") || !strcmp(kind, "dns4"))
        return AF_INET;
    if (!strcmp(kind, "ip6") || !strcmp(kind, "dns6"))
        return AF_INET6;
    return AF_UNSPEC;
}

const char *stack_host_name(const struct stk_segment *segment)
{
    return segment->host && segment->host->value ? segment->host->value : "";
}

int stack_host_literal(const struct stk_segment *segment, struct stk_addr *addr)
{
    const int family = stack_host_family(segment);
    struct stk_addr found;

    if (stk_addr_parse_ip(&found, stack_host_name(segment), stack_port(segment)) < 0)
        return -ENOENT;
    if (family != AF_UNSPEC && found.any.sa_family != family)
        return -ENOENT;
    *addr = found;
    return 0;
}

int stack_host_bind(const struct stk_segment *segment, struct stk_addr *addr,
                    struct stk_error *error)
{
    const struct addrinfo hints = {.ai_family = stack_host_family(segment),
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE};
    const char *const name = stack_host_name(segment);
    struct addrinfo *list = NULL;

    if (stack_host_literal(segment, addr) == 0)
        return 0;
    const int failed = getaddrinfo(*name ? name : NULL, "0", &hints, &list);
    if (failed)
        return stk_error_set(error, STK_ENAME, segment->type->name,
                             "can't find an address of %s: %s", name, gai_strerror(failed));
    stk_addr_from_sockaddr(addr, list->ai_addr, list->ai_addrlen);
    stk_addr_set_port(addr, stack_port(segment));
    freeaddrinfo(list);
    return 0;
}

int stack_option_bind(const struct stk_segment *segment, struct stk_addr *addr,
                      struct stk_error *error)
{
    const char *const text = stk_segment_text(segment, "bind", NULL);
    struct stk_addr found = {.len = 0};

    if (text && stk_addr_parse_ip(&found, text, 0) < 0 && stk_addr_parse(&found, text) < 0)
        return stk_error_set(error, STK_ESYNTAX, segment->type->name,
                             "bind=%s is not an address: write 192.0.2.1 or 192.0.2.1:5000", text);
    /* A name may have addresses of either family, and "any" stands for both where a socket can. */
    if (found.len && !stk_addr_is_any(&found) && stack_host_family(segment) != AF_UNSPEC &&
        stack_host_family(segment) != found.any.sa_family)
        return stk_error_set(error, STK_ESYNTAX, segment->type->name,
                             "bind=%s is of another address family than %s", text,
                             stack_host_name(segment));
    *addr = found;
    return 0;
}

int stack_option_no_bind(const struct stk_segment *segment, struct stk_error *error)
{
    if (stk_segment_text(segment, "bind", NULL) == NULL)
        return 0;
    return stk_error_set(error, STK_ESYNTAX, segment->type->name,
                         "bind= is for the side that connects: this one listens on the address "
                         "before %s, %s",
                         segment->type->name, stack_host_name(segment));
}

const char *stack_net_strerror(int code)
{
    switch (-code) {
    case EADDRINUSE:
        return "another program uses this address";
    case EADDRNOTAVAIL:
        return "this machine does not have this address";
    case EACCES:
        return "not allowed (ports below 1024 may need privileges)";
    case EMFILE:
        return "this process has too many open files";
    case ENFILE:
        return "this machine has too many open files";
    case EAFNOSUPPORT:
        return "this machine does not speak this address family";
    case EINVAL:
        return "this address can't be used (a link-local one needs its interface: fe80::1%25eth0)";
    case ECONNREFUSED:
        return "connection refused: nothing listens there";
    case EHOSTUNREACH:
        return "no route to the host";
    case ENETUNREACH:
        return "no route to the network";
    case ETIMEDOUT:
        return "the host does not answer";
    case ECONNRESET:
        return "the peer reset the connection";
    default:
        return strerror(-code);
    }
}
