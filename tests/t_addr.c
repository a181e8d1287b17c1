/* Goal: addresses parse strictly, print back as they were, and compare by what they mean. */
#include "addr.h"
#include "error.h"
#include "harness.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

static struct stk_addr parsed(const char *text)
{
    struct stk_addr addr;

    memset(&addr, 0xee, sizeof addr);
    CU_ASSERT_EQUAL(stk_addr_parse(&addr, text), 0);
    return addr;
}

static void addresses_print_back_as_they_were(void)
{
    static const char *const texts[] = {
        "127.0.0.1:80",       "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[2001:db8::1]:443",
        "[::ffff:1.2.3.4]:5", "[::]:0",
    };
    char text[STK_ADDR_TEXT_MAX];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct stk_addr addr = parsed(texts[i]);

        CU_ASSERT_STRING_EQUAL(stk_addr_format(&addr, text), texts[i]);
    }
}

static void anything_that_is_no_number_is_refused(void)
{
    static const char *const texts[] = {
        "",
        ":",
        ":80",
        "localhost:80",
        "1.2.3:80",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:+1",
        "1.2.3.4: 80",
        "1.2.3.4:80 ",
        "1.2.3.4:0x50",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[1.2.3.4]:80",
        "[]:80",
        "01.2.3.4:80",
        "1.2.3.4:99999999999",
        "[::1%lo]:80",
        "[fe80::1%]:80",
        "[fe80::1%no-such-interface]:80",
        "[fe80::1%0]:80",
        "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee]:1",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct stk_addr addr = {.len = 77};

        CU_ASSERT_EQUAL(stk_addr_parse(&addr, texts[i]), STK_ESYNTAX);
        CU_ASSERT_EQUAL(addr.len, 77);
    }
}

static void link_local_addresses_carry_a_scope(void)
{
    const unsigned loopback = if_nametoindex("lo");
    char text[STK_ADDR_TEXT_MAX];
    struct stk_addr named, numbered, other;

    CU_ASSERT_EQUAL(stk_addr_parse_ip(&numbered, "fe80::1%4000000", 9), 0);
    CU_ASSERT_EQUAL(numbered.in6.sin6_scope_id, 4000000);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&numbered, text), "[fe80::1%4000000]:9");
    CU_ASSERT_EQUAL(stk_addr_parse_ip(&other, "fe80::1", 9), 0);
    CU_ASSERT_FALSE(stk_addr_equal(&numbered, &other));
    if (loopback == 0) {
        stk_test_skip("there is no interface lo");
        return;
    }
    CU_ASSERT_EQUAL(stk_addr_parse_ip(&named, "fe80::1%lo", 9), 0);
    CU_ASSERT_EQUAL(named.in6.sin6_scope_id, loopback);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&named, text), "[fe80::1%lo]:9");
    CU_ASSERT_STRING_EQUAL(stk_addr_format_ip(&named, text), "/ip6/fe80::1%lo");
}

static void ip_segments_have_no_port(void)
{
    const struct stk_addr v4 = parsed("1.2.3.4:80"), v6 = parsed("[2001:db8::1]:80");
    char text[STK_ADDR_TEXT_MAX];

    CU_ASSERT_STRING_EQUAL(stk_addr_format_ip(&v4, text), "/ip4/1.2.3.4");
    CU_ASSERT_STRING_EQUAL(stk_addr_format_ip(&v6, text), "/ip6/2001:db8::1");
}

static void unix_paths_and_abstract_names_fit_or_are_refused(void)
{
    char longest[sizeof((struct sockaddr_un *)0)->sun_path + 2], text[STK_ADDR_TEXT_MAX];
    const size_t max = sizeof((struct sockaddr_un *)0)->sun_path;
    struct stk_addr addr, same;

    CU_ASSERT_EQUAL(stk_addr_unix(&addr, "/run/x.sock"), 0);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&addr, text), "/run/x.sock");
    CU_ASSERT_STRING_EQUAL(stk_addr_format_ip(&addr, text), "");
    stk_addr_from_sockaddr(&same, &addr.any, addr.len - 1);
    CU_ASSERT_TRUE(stk_addr_equal(&addr, &same));

    CU_ASSERT_EQUAL(stk_addr_unix(&addr, "@name"), 0);
    CU_ASSERT_EQUAL(addr.un.sun_path[0], '\0');
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&addr, text), "@name");

    memset(longest, 'a', sizeof longest);
    longest[max] = '\0';
    CU_ASSERT_EQUAL(stk_addr_unix(&addr, longest), -ENAMETOOLONG);
    longest[0] = '@';
    CU_ASSERT_EQUAL(stk_addr_unix(&addr, longest), 0);
    CU_ASSERT_EQUAL(strlen(stk_addr_format(&addr, text)), max);
    longest[0] = 'a';
    longest[max - 1] = '\0';
    CU_ASSERT_EQUAL(stk_addr_unix(&addr, longest), 0);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&addr, text), longest);
}

static void ports_are_read_and_set(void)
{
    struct stk_addr v4 = parsed("1.2.3.4:80"), v6 = parsed("[::1]:81"), un;

    CU_ASSERT_EQUAL(stk_addr_port(&v4), 80);
    CU_ASSERT_EQUAL(stk_addr_port(&v6), 81);
    stk_addr_set_port(&v4, 443);
    stk_addr_set_port(&v6, 444);
    CU_ASSERT_EQUAL(stk_addr_port(&v4), 443);
    CU_ASSERT_EQUAL(stk_addr_port(&v6), 444);
    CU_ASSERT_EQUAL(stk_addr_unix(&un, "/x"), 0);
    stk_addr_set_port(&un, 1);
    CU_ASSERT_EQUAL(stk_addr_port(&un), 0);
    CU_ASSERT_STRING_EQUAL(un.un.sun_path, "/x");
}

static void a_mapped_address_equals_and_hashes_like_its_ipv4(void)
{
    struct stk_addr v4 = parsed("1.2.3.4:80"), mapped = parsed("[::ffff:1.2.3.4]:80");
    const struct stk_addr other = parsed("1.2.3.4:81");

    mapped.in6.sin6_flowinfo = 7;
    CU_ASSERT_TRUE(stk_addr_equal(&v4, &mapped));
    CU_ASSERT_EQUAL(stk_addr_hash(&v4, 1), stk_addr_hash(&mapped, 1));
    CU_ASSERT_NOT_EQUAL(stk_addr_hash(&v4, 1), stk_addr_hash(&v4, 2));
    CU_ASSERT_NOT_EQUAL(stk_addr_hash(&v4, 1), stk_addr_hash(&other, 1));
    CU_ASSERT_FALSE(stk_addr_equal(&v4, &other));
    stk_addr_unmap(&mapped);
    CU_ASSERT_EQUAL(mapped.any.sa_family, AF_INET);
    CU_ASSERT_EQUAL(mapped.len, sizeof mapped.in);
    CU_ASSERT_EQUAL(stk_addr_port(&mapped), 80);
    stk_addr_unmap(&v4);
    CU_ASSERT_TRUE(stk_addr_equal(&v4, &mapped));
}

static void loopback_and_any_are_known(void)
{
    const struct stk_addr loop4 = parsed("127.1.2.3:1"), loop6 = parsed("[::1]:1"),
                          loop_mapped = parsed("[::ffff:127.0.0.1]:1"), any4 = parsed("0.0.0.0:1"),
                          any6 = parsed("[::]:1"), host = parsed("10.0.0.1:1");

    CU_ASSERT_TRUE(stk_addr_is_loopback(&loop4) && stk_addr_is_loopback(&loop6));
    CU_ASSERT_TRUE(stk_addr_is_loopback(&loop_mapped));
    CU_ASSERT_FALSE(stk_addr_is_loopback(&host) || stk_addr_is_loopback(&any4));
    CU_ASSERT_TRUE(stk_addr_is_any(&any4) && stk_addr_is_any(&any6));
    CU_ASSERT_FALSE(stk_addr_is_any(&host) || stk_addr_is_any(&loop6));
}

static void no_address_is_empty_everywhere(void)
{
    struct stk_addr none, one = parsed("1.2.3.4:5");
    char text[STK_ADDR_TEXT_MAX];

    stk_addr_from_sockaddr(&none, NULL, 0);
    CU_ASSERT_EQUAL(none.len, 0);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&none, text), "");
    CU_ASSERT_EQUAL(stk_addr_port(&none), 0);
    CU_ASSERT_FALSE(stk_addr_equal(&none, &one));
    CU_ASSERT_TRUE(stk_addr_equal(&none, &none));
    stk_addr_from_sockaddr(&none, &one.any, 10000);
    CU_ASSERT_EQUAL(none.len, 0);
}

static CU_TestInfo tests[] = {
    {"addresses print back as they were", addresses_print_back_as_they_were},
    {"anything that is no number is refused", anything_that_is_no_number_is_refused},
    {"link-local addresses carry a scope", link_local_addresses_carry_a_scope},
    {"IP segments have no port", ip_segments_have_no_port},
    {"Unix paths and abstract names fit or are refused",
     unix_paths_and_abstract_names_fit_or_are_refused},
    {"ports are read and set", ports_are_read_and_set},
    {"a mapped address equals and hashes like its IPv4",
     a_mapped_address_equals_and_hashes_like_its_ipv4},
    {"loopback and any are known", loopback_and_any_are_known},
    {"no address is empty everywhere", no_address_is_empty_everywhere},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("addr", tests)
