/*
 * Goal: recipes have one reading, errors point at the character and say what was expected, and the
 * canonical text parses to an equal recipe.
 * Method: tables of good and bad texts, and seeded recipes made from the layers' own tables.
 */
#include "fault.h"
#include "harness.h"
#include "prng.h"
#include "recipe.h"

#include <string.h>

static struct stk_error error;

static struct stk_recipe *parse(const char *text)
{
    struct stk_recipe *recipe = NULL;

    memset(&error, 0, sizeof error);
    const int status = stk_recipe_parse(text, &recipe, &error);
    CU_ASSERT_EQUAL(status, error.code);
    if (status < 0)
        CU_ASSERT_PTR_NULL(recipe);
    return recipe;
}

static void expect_text(const char *text, const char *canonical)
{
    struct stk_recipe *recipe = parse(text);

    if (recipe == NULL || strcmp(stk_recipe_text(recipe), canonical) != 0)
        printf("\n    %s gives %s\n", text, recipe != NULL ? stk_recipe_text(recipe) : error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(recipe);
    CU_ASSERT_STRING_EQUAL(stk_recipe_text(recipe), canonical);
    stk_recipe_unref(recipe);
}

/* The text must begin with the place and hold the words. */
static void expect_error(const char *text, int code, unsigned character, const char *words)
{
    char place[40];
    struct stk_recipe *recipe = parse(text);

    snprintf(place, sizeof place, "at character %u of ", character);
    const bool right = recipe == NULL && error.code == code && strstr(error.text, words) != NULL &&
                       (character == 0 || strncmp(error.text, place, strlen(place)) == 0);
    if (!right)
        printf("\n    %s: %d %s\n", text, error.code, error.text);
    CU_ASSERT_TRUE(right);
    stk_recipe_unref(recipe);
}

static void recipes_read_from_bottom_to_top(void)
{
    struct stk_recipe *recipe =
        parse("/ip4/127.0.0.1/tcp/443,nodelay=no/tls,sni=a.example,alpn=h2+http%2F1.1");

    CU_ASSERT_PTR_NOT_NULL_FATAL(recipe);
    CU_ASSERT_EQUAL(recipe->count, 3);
    CU_ASSERT_STRING_EQUAL(recipe->segments[1].type->name, "tcp");
    CU_ASSERT_STRING_EQUAL(recipe->segments[1].value, "443");
    CU_ASSERT_PTR_EQUAL(recipe->segments[1].host, &recipe->segments[0]);
    CU_ASSERT_FALSE(stk_segment_flag(&recipe->segments[1], "nodelay", true));
    const struct stk_segment *tls = stk_recipe_find(recipe, "tls");
    CU_ASSERT_PTR_EQUAL_FATAL(tls, &recipe->segments[2]);
    CU_ASSERT_PTR_NULL(tls->value);
    CU_ASSERT_STRING_EQUAL(stk_segment_text(tls, "sni", ""), "a.example");
    CU_ASSERT_STRING_EQUAL(stk_segment_text(tls, "alpn", ""), "h2+http/1.1");
    CU_ASSERT_STRING_EQUAL(stk_segment_text(tls, "ca", "none"), "none");
    CU_ASSERT_EQUAL(stk_recipe_shape(recipe), STK_STREAM);
    CU_ASSERT_PTR_NULL(stk_recipe_find(recipe, "udp"));
    stk_recipe_unref(recipe);
}

static void the_last_option_of_a_name_counts(void)
{
    struct stk_recipe *recipe = parse("/memory/x,quota=1k,quota=2M");

    CU_ASSERT_PTR_NOT_NULL_FATAL(recipe);
    CU_ASSERT_EQUAL(stk_segment_number(&recipe->segments[0], "quota", 0), 2 << 20);
    stk_recipe_unref(recipe);
}

static void values_are_percent_encoded(void)
{
    expect_text("/unix/%2frun%2Fx.sock", "/unix/%2Frun%2Fx.sock");
    expect_text("/memory/a%2Cb%25c%20d", "/memory/a%2Cb%25c%20d");
    expect_text("/m%65mory/%41", "/memory/A");
    expect_text("/memory/x/record,file=a=b", "/memory/x/record,file=a=b");
    expect_error("/memory/a%4", STK_ESYNTAX, 10, "two hexadecimal digits");
    expect_error("/memory/a%zz", STK_ESYNTAX, 10, "two hexadecimal digits");
    expect_error("/memory/a%00", STK_ESYNTAX, 10, "zero byte");
    expect_error("/memory/%4/tls", STK_ESYNTAX, 9, "two hexadecimal digits");
}

static void a_typed_path_may_hold_slashes(void)
{
    expect_text("/unix//run/a/x.sock", "/unix/%2Frun%2Fa%2Fx.sock");
    expect_text("/unix/./x.sock", "/unix/.%2Fx.sock");
    expect_text("/unix//run/x.sock/tls", "/unix/%2Frun%2Fx.sock/tls");
    expect_text("/unix//run/x.sock,mode=600/tls,ca=/etc/ca.crt/idle",
                "/unix/%2Frun%2Fx.sock,mode=600/tls,ca=%2Fetc%2Fca.crt/idle");
    /* A directory that is called like a layer must be written with %2F. */
    expect_error("/unix//run/tls/x", STK_ESYNTAX, 16, "no layer \"x\"");
    expect_text("/unix//run%2Ftls/x", "/unix/%2Frun%2Ftls%2Fx");
}

static void short_forms_stand_for_recipes(void)
{
    expect_text("a.example:80", "/dns/a.example/tcp/80");
    expect_text("127.0.0.1:80", "/ip4/127.0.0.1/tcp/80");
    expect_text("[::1]:80", "/ip6/::1/tcp/80");
    expect_text(":80", "/ip6/::/tcp/80");
    expect_text("-", "/stdio");
    expect_text("http://a.example", "/dns/a.example/tcp/80/http/");
    expect_text("http://a.example:8080/p?q=1,2#part", "/dns/a.example/tcp/8080/http/p?q=1,2");
    expect_text("HTTPS://[::1]/x/y", "/ip6/::1/tcp/443/tls,alpn=http%2F1.1/http/x/y");
    expect_text("http://127.0.0.1?q", "/ip4/127.0.0.1/tcp/80/http/?q");
}

static void what_is_no_address_is_told_so(void)
{
    static const char *const wrong[] = {
        "",   "x",     "::1",  "[::1]",          "a:b",    "a:70000",
        "a:", "a:1:2", "[::1", "[a.example]:80", "a/b:80",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_error(wrong[i], STK_ESYNTAX, 0, "is no address");
    expect_error("http://", STK_ESYNTAX, 0, "expected http://HOST");
    expect_error("http://u@h/", STK_ESYNTAX, 0, "without user names");
    expect_error("https://h:99999/", STK_ESYNTAX, 0, "expected http://HOST");
}

static void impossible_stacks_say_what_is_missing(void)
{
    expect_error("/ip4/1.2.3.4/udp/1/tls", STK_ESTACK, 20,
                 "tls needs a stream, udp carries datagrams: put ptcp between them");
    expect_error("/tls", STK_ESTACK, 2, "tls needs a stream below it");
    expect_error("/ptcp", STK_ESTACK, 2, "ptcp needs datagrams below it");
    expect_error("/tcp/80", STK_ESTACK, 2, "needs an address such as /ip4/127.0.0.1 before it");
    expect_error("/ip4/1.2.3.4", STK_ESTACK, 13, "needs a transport behind it");
    expect_error("/ip4/1.2.3.4/tls", STK_ESTACK, 14, "ip4 is an address only");
    expect_error("/memory/x/memory/y", STK_ESTACK, 11, "it stands at the bottom");
    expect_error("/memory/x/ptcp", STK_ESTACK, 11,
                 "needs datagrams, memory carries a stream: udp and unix-dgram carry datagrams");
    expect_error("/ip4/1.2.3.4/tcp/1/ip4/1.2.3.4", STK_ESTACK, 20, "stands at the bottom");
}

static void unknown_names_get_a_suggestion(void)
{
    expect_error("/memry/x", STK_ESYNTAX, 2, "did you mean \"memory\"?");
    expect_error("/memory/x/tlss", STK_ESYNTAX, 11, "did you mean \"tls\"?");
    expect_error("/ip4/1.2.3.4/tpc/1", STK_ESYNTAX, 14, "did you mean \"tcp\"?");
    expect_error("/memory/x/nothing-like-it", STK_ESYNTAX, 11,
                 "no layer \"nothing-like-it\" (a slash inside a value is written %2F)");
    expect_error("/memory/x/limit,raet=1", STK_ESYNTAX, 17,
                 "limit has no option \"raet\"; it has rate recv send burst");
    expect_error("/stdio,x", STK_ESYNTAX, 8, "stdio has no option \"x\"; it has none");
}

static void of_a_long_text_the_place_is_shown(void)
{
    expect_error(
        "/ip4/127.0.0.1/udp/4001/seal,peer=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,"
        "alow=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/ptcp",
        STK_ESYNTAX, 88,
        "of \"…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,alow=bbbbbbbbbbbbbbb…\": seal has no");
    expect_error("/memory/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/x",
                 STK_ESYNTAX, 69, "aaa/x\": there is no layer");
}

static void values_are_asked_for_and_checked(void)
{
    expect_error("/memory", STK_ESYNTAX, 8, "expected NAME: /memory/NAME");
    expect_error("/memory/", STK_ESYNTAX, 9, "expected NAME: /memory/NAME");
    expect_error("/ip4/1.2.3.4/tcp", STK_ESYNTAX, 17, "expected ");
    expect_error("/ip4/1.2.3/tcp/1", STK_ESYNTAX, 6, "\"1.2.3\" is no IPv4 address");
    expect_error("/ip6/1.2.3.4/tcp/1", STK_ESYNTAX, 6, "is no IPv6 address");
    expect_error("/ip4/1.2.3.4/tcp/65536", STK_ESYNTAX, 18, "65535");
    expect_error("/ip4/1.2.3.4/tcp/x", STK_ESYNTAX, 18, "");
    expect_error("/", STK_ESYNTAX, 2, "expected the name of a layer");
    expect_error("//", STK_ESYNTAX, 2, "expected the name of a layer");
    expect_error("/memory/x/", STK_ESYNTAX, 11, "expected the name of a layer");
}

static void options_are_checked_against_their_kind_and_range(void)
{
    expect_error("/memory/x/limit,rate=fast", STK_ESYNTAX, 17,
                 "rate=fast: expected a size such as 64k or 10M");
    expect_error("/memory/x/limit,rate=0", STK_ESYNTAX, 17, "out of range: 1 to 1024G are allowed");
    expect_error("/memory/x/limit,burst=2M", STK_ESYNTAX, 17, "out of range: 1 to 1M are allowed");
    expect_error("/memory/x/idle,timeout=0.1ms", STK_ESYNTAX, 16, "out of range: 1ms to 720h");
    expect_error("/memory/x/idle,timeout=5x", STK_ESYNTAX, 16, "expected a time such as 250ms");
    expect_error("/memory/x/chaos,again=100", STK_ESYNTAX, 17, "out of range: 0% to 99% are");
    expect_error("/memory/x/chaos,again=-1", STK_ESYNTAX, 17, "expected a percentage");
    expect_error("/memory/x/chaos,again=1.", STK_ESYNTAX, 17, "expected a percentage");
    expect_error("/memory/x/chaos,seed=1.5", STK_ESYNTAX, 17, "expected a number");
    expect_error("/memory/x/chaos,seed=99999999999999999999", STK_ESYNTAX, 17, "expected a number");
    expect_error("/ip4/1.2.3.4/tcp/1,nodelay=maybe", STK_ESYNTAX, 20, "expected yes or no");
    expect_error("/ip4/1.2.3.4/tcp/1,backlog=0", STK_ESYNTAX, 20, "1 to 65535 are allowed");
    expect_error("/memory/x/record,file", STK_ESYNTAX, 18, "file= needs a value");
    expect_error("/memory/x/record,file=", STK_ESYNTAX, 18, "file= needs a value");
}

static uint64_t number_of(const char *text, const char *layer, const char *option)
{
    struct stk_recipe *recipe = parse(text);

    CU_ASSERT_PTR_NOT_NULL_FATAL(recipe);
    const uint64_t number = stk_segment_number(stk_recipe_find(recipe, layer), option, 77);
    stk_recipe_unref(recipe);
    return number;
}

static void numbers_carry_units(void)
{
    CU_ASSERT_EQUAL(number_of("/memory/x/limit,rate=1.5k", "limit", "rate"), 1536);
    CU_ASSERT_EQUAL(number_of("/memory/x/limit,rate=3", "limit", "rate"), 3);
    CU_ASSERT_EQUAL(number_of("/memory/x/limit,rate=2G", "limit", "rate"), UINT64_C(2) << 30);
    CU_ASSERT_EQUAL(number_of("/memory/x/limit", "limit", "rate"), 77);
    CU_ASSERT_EQUAL(number_of("/memory/x/idle,timeout=2", "idle", "timeout"), 2000000);
    CU_ASSERT_EQUAL(number_of("/memory/x/idle,timeout=250ms", "idle", "timeout"), 250000);
    CU_ASSERT_EQUAL(number_of("/memory/x/idle,timeout=1.5s", "idle", "timeout"), 1500000);
    CU_ASSERT_EQUAL(number_of("/memory/x/idle,timeout=2m", "idle", "timeout"), 120000000);
    CU_ASSERT_EQUAL(number_of("/memory/x/idle,timeout=5000us", "idle", "timeout"), 5000);
    CU_ASSERT_EQUAL(number_of("/memory/x/chaos,again=1.5", "chaos", "again"), 15000);
    CU_ASSERT_EQUAL(number_of("/memory/x/chaos,again=50%25", "chaos", "again"), 500000);
    CU_ASSERT_EQUAL(number_of("/ip4/1.2.3.4/tcp/1,nodelay", "tcp", "nodelay"), 1);
    CU_ASSERT_EQUAL(number_of("/ip4/1.2.3.4/tcp/1,nodelay=Off", "tcp", "nodelay"), 0);
}

static void lengths_are_bounded(void)
{
    char text[STK_RECIPE_TEXT_MAX + 8] = "/memory/x";
    struct stk_recipe *recipe;

    memset(text + 9, 'y', sizeof text - 10);
    expect_error(text, STK_ESYNTAX, 0, "longer than 4095 bytes");
    strcpy(text, "/memory/x");
    for (int i = 1; i <= STK_RECIPE_SEGMENTS_MAX; i++)
        strcat(text, "/idle");
    expect_error(text, STK_ESYNTAX, 0, "too many layers");
    text[strlen(text) - 5] = '\0';
    expect_text(text, text);
    strcat(text, "/idle");
    strcpy(text, "/memory/x");
    for (int i = 0; i <= STK_SEGMENT_OPTIONS_MAX; i++)
        strcat(text, ",quota=1");
    expect_error(text, STK_ESYNTAX, 0, "too many options");
    /* Short enough as it is typed, too long once it is encoded. */
    strcpy(text, "/unix//");
    for (int i = 0; i < 1600; i++)
        strcat(text, "a/");
    CU_ASSERT_TRUE(stk_recipe_parse(text, &recipe, &error) < 0);
    strcpy(text, "/memory/");
    memset(text + 8, 'n', 64);
    text[72] = '\0';
    expect_error(text, STK_ESYNTAX, 9, "longer than 63 bytes");
}

static void fragments_stand_on_a_stream(void)
{
    struct stk_recipe *recipe;

    CU_ASSERT_EQUAL_FATAL(stk_recipe_parse_fragment("tls,sni=a.example/idle", &recipe, NULL), 0);
    CU_ASSERT_STRING_EQUAL(stk_recipe_text(recipe), "/tls,sni=a.example/idle");
    stk_recipe_unref(recipe);
    CU_ASSERT_EQUAL_FATAL(stk_recipe_parse_fragment("/idle", &recipe, NULL), 0);
    stk_recipe_unref(recipe);
    CU_ASSERT_EQUAL(stk_recipe_parse_fragment("memory/x", &recipe, &error), STK_ESTACK);
    CU_ASSERT_EQUAL(stk_recipe_parse_fragment("ptcp", &recipe, &error), STK_ESTACK);
    CU_ASSERT_EQUAL(stk_recipe_parse_fragment("", &recipe, &error), STK_ESYNTAX);
    CU_ASSERT_EQUAL(stk_recipe_parse("tls", &recipe, &error), STK_ESYNTAX);
}

static void a_prefix_is_a_recipe_of_its_own(void)
{
    struct stk_recipe *recipe =
        parse("/ip4/1.2.3.4/udp/1,bind=:7/ptcp,mtu=1400/tls/http,host=a/x/y");
    static const char *const prefixes[] = {
        "/ip4/1.2.3.4/udp/1,bind=:7",
        "/ip4/1.2.3.4/udp/1,bind=:7/ptcp,mtu=1400",
        "/ip4/1.2.3.4/udp/1,bind=:7/ptcp,mtu=1400/tls",
        "/ip4/1.2.3.4/udp/1,bind=:7/ptcp,mtu=1400/tls/http,host=a/x/y",
    };

    CU_ASSERT_PTR_NOT_NULL_FATAL(recipe);
    for (int i = 0; i < 4; i++) {
        struct stk_recipe *prefix;

        CU_ASSERT_EQUAL_FATAL(stk_recipe_prefix(recipe, i + 2, &prefix), 0);
        CU_ASSERT_STRING_EQUAL(stk_recipe_text(prefix), prefixes[i]);
        stk_recipe_unref(prefix);
    }
    stk_recipe_unref(recipe);
}

/* --- Made up ------------------------------------------------------------------------------------
 */

static void encode_byte(char *out, unsigned char byte)
{
    char raw[2] = {(char)byte, '\0'};

    stk_percent_encode(raw, out + strlen(out), 8);
}

static void make_word(struct stk_prng *prng, char *out)
{
    static const char bytes[] = "abz09 .:;=+-_/,%\x7f\x01\xc3\xa4?#[]";
    const size_t len = 1 + (size_t)stk_prng_below(prng, 12);

    for (size_t i = 0; i < len; i++)
        encode_byte(out, (unsigned char)bytes[stk_prng_below(prng, sizeof bytes - 1)]);
}

static void make_option(struct stk_prng *prng, const struct stk_option_type *type, char *out)
{
    static const char *const units[] = {[STK_OPTION_NUMBER] = "",
                                        [STK_OPTION_SIZE] = "",
                                        [STK_OPTION_RATE] = "",
                                        [STK_OPTION_DURATION] = "us",
                                        [STK_OPTION_PERCENT] = ""};
    uint64_t number = type->min;

    if (type->max > type->min)
        number += stk_prng_below(prng, type->max - type->min < 1000000 ? type->max - type->min + 1
                                                                       : 1000000);
    sprintf(out + strlen(out), ",%s", type->name);
    if (type->kind == STK_OPTION_FLAG)
        strcat(out, stk_prng_below(prng, 2) ? "" : "=no");
    else if (type->kind == STK_OPTION_TEXT)
        strcat(out, "="), make_word(prng, out);
    else
        sprintf(out + strlen(out), "=%llu%s",
                (unsigned long long)(type->kind == STK_OPTION_PERCENT ? number / 10000 : number),
                units[type->kind]);
}

static int option_count(const struct stk_layer_type *type)
{
    int n = 0;

    while (type->options != NULL && type->options[n].name != NULL)
        n++;
    return n;
}

static void make_layer(struct stk_prng *prng, const struct stk_layer_type *type, char *out)
{
    const int options = option_count(type);

    sprintf(out + strlen(out), "/%s", type->name);
    if (type->value == STK_VALUE_REQUIRED)
        strcat(out, "/"), make_word(prng, out);
    for (uint64_t n = options > 0 ? stk_prng_below(prng, 4) : 0; n > 0; n--)
        make_option(prng, &type->options[stk_prng_below(prng, (uint64_t)options)], out);
}

static void make_recipe(struct stk_prng *prng, char *out)
{
    enum stk_shape shape = STK_NOTHING;
    int count = 0;

    for (int i = 0; stk_layer_type_at(i) != NULL; i++)
        count++;
    strcpy(out, "");
    for (int tries = 0; tries < 60 && strlen(out) < 600; tries++) {
        const struct stk_layer_type *type =
            stk_layer_type_at((int)stk_prng_below(prng, (uint64_t)count));

        if (type->below != shape)
            continue;
        make_layer(prng, type, out);
        shape = type->above;
    }
}

static bool equal(const struct stk_recipe *a, const struct stk_recipe *b)
{
    bool same = a->count == b->count;

    for (int i = 0; same && i < a->count; i++) {
        const struct stk_segment *x = &a->segments[i], *y = &b->segments[i];

        same = x->type == y->type && x->option_count == y->option_count &&
               (x->value == NULL) == (y->value == NULL) &&
               (x->value == NULL || strcmp(x->value, y->value) == 0);
        for (int k = 0; same && k < x->option_count; k++)
            same = x->options[k].type == y->options[k].type &&
                   x->options[k].number == y->options[k].number &&
                   strcmp(x->options[k].text, y->options[k].text) == 0;
    }
    return same;
}

static void canonical_text_parses_to_an_equal_recipe(void)
{
    char text[2048];
    struct stk_prng prng;
    unsigned parsed = 0;

    stk_prng_seed(&prng, 20);
    for (unsigned round = 0; round < 20000; round++) {
        struct stk_recipe *first, *second = NULL;

        make_recipe(&prng, text);
        if (stk_recipe_parse(text, &first, NULL) < 0)
            continue; /* a value that its layer refuses */
        parsed++;
        if (stk_recipe_parse(stk_recipe_text(first), &second, &error) < 0 ||
            !equal(first, second) || strcmp(stk_recipe_text(first), stk_recipe_text(second)) != 0) {
            printf("\n    %s\n    %s\n", text, stk_recipe_text(first));
            CU_FAIL("canonical text does not come back");
        }
        stk_recipe_unref(first);
        stk_recipe_unref(second);
    }
    CU_ASSERT_TRUE(parsed > 1000);
}

static void every_allocation_may_fail(void)
{
    fault_heap_install();
    for (long n = 1; n < 100; n++) {
        struct stk_recipe *recipe = NULL;

        fault_heap_fail(n, FAULT_ONCE);
        const int status = stk_recipe_parse("/ip4/1.2.3.4/tcp/1/tls", &recipe, NULL);
        const bool failed = fault_heap_has_failed();
        CU_ASSERT_EQUAL(status, failed ? -ENOMEM : 0);
        stk_recipe_unref(recipe);
        if (!failed)
            break;
    }
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static CU_TestInfo tests[] = {
    {"recipes read from bottom to top", recipes_read_from_bottom_to_top},
    {"the last option of a name counts", the_last_option_of_a_name_counts},
    {"values are percent-encoded", values_are_percent_encoded},
    {"a typed path may hold slashes", a_typed_path_may_hold_slashes},
    {"short forms stand for recipes", short_forms_stand_for_recipes},
    {"what is no address is told so", what_is_no_address_is_told_so},
    {"impossible stacks say what is missing", impossible_stacks_say_what_is_missing},
    {"unknown names get a suggestion", unknown_names_get_a_suggestion},
    {"of a long text the place is shown", of_a_long_text_the_place_is_shown},
    {"values are asked for and checked", values_are_asked_for_and_checked},
    {"options are checked against their kind and range",
     options_are_checked_against_their_kind_and_range},
    {"numbers carry units", numbers_carry_units},
    {"lengths are bounded", lengths_are_bounded},
    {"fragments stand on a stream", fragments_stand_on_a_stream},
    {"a prefix is a recipe of its own", a_prefix_is_a_recipe_of_its_own},
    {"canonical text parses to an equal recipe", canonical_text_parses_to_an_equal_recipe},
    {"every allocation may fail", every_allocation_may_fail},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("recipe", tests)
