/*
 * Socket addresses: IPv4, IPv6 and Unix in one value type of fixed size.
 */
#ifndef STK_BASE_ADDR_H
#define STK_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct stk_addr {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len; /* bytes in use; 0: no address */
};

enum { STK_ADDR_TEXT_MAX = 160 }; /* bytes that any stk_addr_format() needs, with the NUL */

/* Numeric only: "127.0.0.1", "::1", "fe80::1%eth0". Returns 0 or STK_ESYNTAX. Port in host order.
 */
int stk_addr_parse_ip(struct stk_addr *addr, const char *ip, uint16_t port);
/* "1.2.3.4:80", "[::1]:80". */
int stk_addr_parse(struct stk_addr *addr, const char *text);
/* A leading '@' names the abstract namespace. Returns 0 or -ENAMETOOLONG. */
int stk_addr_unix(struct stk_addr *addr, const char *path);
void stk_addr_from_sockaddr(struct stk_addr *addr, const struct sockaddr *sa, socklen_t len);

/* "1.2.3.4:80", "[::1]:80", "/run/x.sock"; returns `text`. */
const char *stk_addr_format(const struct stk_addr *addr, char text[STK_ADDR_TEXT_MAX]);
/* The same as recipe segments without transport: "/ip4/1.2.3.4". Empty for Unix addresses. */
const char *stk_addr_format_ip(const struct stk_addr *addr, char text[STK_ADDR_TEXT_MAX]);

uint16_t stk_addr_port(const struct stk_addr *addr); /* 0 where there is none */
void stk_addr_set_port(struct stk_addr *addr, uint16_t port);
/* IPv4-mapped IPv6 equals IPv4; scope ids count for link-local addresses only. */
bool stk_addr_equal(const struct stk_addr *a, const struct stk_addr *b);
uint64_t stk_addr_hash(const struct stk_addr *addr, uint64_t seed);
bool stk_addr_is_loopback(const struct stk_addr *addr);
bool stk_addr_is_any(const struct stk_addr *addr);
/* ::ffff:1.2.3.4 becomes 1.2.3.4; others are unchanged. */
void stk_addr_unmap(struct stk_addr *addr);

#endif
