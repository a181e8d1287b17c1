/* Address prefixes: they carry nothing, the transport behind them reads them. */
#include "transports.h"

#include <netdb.h>
#include <string.h>

static int check_family(const char *value, int family, const char *example, struct stk_error *error)
{
    struct stk_addr addr;

    if (stk_addr_parse_ip(&addr, value, 0) < 0 || addr.any.sa_family != family)
        return stk_error_set(error, STK_ESYNTAX, "",
                             "\"%.48s\" is no %s address; expected one such as %s", value,
                             family == AF_INET ? "IPv4" : "IPv6", example);
    return 0;
}

static int check_ip4(const char *value, struct stk_error *error)
{
    return check_family(value, AF_INET, "192.0.2.1", error);
}

static int check_ip6(const char *value, struct stk_error *error)
{
    return check_family(value, AF_INET6, "2001:db8::1", error);
}

static int check_name(const char *value, struct stk_error *error)
{
    if (strlen(value) > 253 || strpbrk(value, " /:@") != NULL)
        return stk_error_set(error, STK_ESYNTAX, "", "\"%.48s\" is no host name", value);
    return 0;
}

#define HOST(ident, text, about, check, hint)                                                      \
    const struct stk_layer_type ident = {                                                          \
        .name = text,                                                                              \
        .summary = about,                                                                          \
        .below = STK_NOTHING,                                                                      \
        .above = STK_HOST,                                                                         \
        .value = STK_VALUE_REQUIRED,                                                               \
        .value_name = hint,                                                                        \
        .check_value = check,                                                                      \
    }

HOST(stk_layer_ip4, "ip4", "an IPv4 address", check_ip4, "ADDRESS");
HOST(stk_layer_ip6, "ip6", "an IPv6 address", check_ip6, "ADDRESS");
HOST(stk_layer_dns, "dns", "a host name, IPv6 and IPv4", check_name, "NAME");
HOST(stk_layer_dns4, "dns4", "a host name, IPv4 only", check_name, "NAME");
HOST(stk_layer_dns6, "dns6", "a host name, IPv6 only", check_name, "NAME");
