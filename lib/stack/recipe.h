/*
 * Recipes: a stack of layers as one string, bottom first.
 *
 *   /ip4/127.0.0.1/tcp/443/tls,sni=example.org,alpn=h2
 *
 * Grammar (RFC 5234):
 *   recipe  = 1*( "/" name [ "/" value ] *( "," option ) )
 *   option  = key [ "=" text ]
 *   value, text = bytes with "/", ",", "=", "%" and controls percent-encoded ("=" may stand in a
 * text) Whether a name takes a value is a property of its type, so "/tcp/443/tls" has one reading
 * only.
 *
 * Parsing checks everything that can be known without running: names, values, options and their
 * ranges, and that each layer finds below it the shape it stands on. Errors point at the character.
 */
#ifndef STK_STACK_RECIPE_H
#define STK_STACK_RECIPE_H

#include "base.h"

struct stk_stream_type;
struct stk_dgram_type;

enum {
    STK_RECIPE_SEGMENTS_MAX = 24,
    STK_SEGMENT_OPTIONS_MAX = 24,
    STK_RECIPE_TEXT_MAX = 4096, /* bytes, with the NUL */
};

/* What a layer stands on, and what it offers to the one above. */
enum stk_shape {
    STK_NOTHING, /* below: a transport; above: nothing can stand on it */
    STK_STREAM,
    STK_DATAGRAMS,
    STK_HOST, /* an address prefix: ip4, ip6, dns */
};

enum stk_value_kind {
    STK_VALUE_NONE,
    STK_VALUE_OPTIONAL, /* what follows is the value unless it is the name of a layer */
    STK_VALUE_REQUIRED,
    STK_VALUE_REST, /* the rest of the text as it stands, options before it:
                       "/http,method=HEAD/a/b?c" */
};

enum stk_option_kind {
    STK_OPTION_TEXT,
    STK_OPTION_FLAG,     /* no value, or yes/no */
    STK_OPTION_NUMBER,   /* decimal */
    STK_OPTION_SIZE,     /* bytes: 64k, 10M, 1G (powers of 1024) */
    STK_OPTION_RATE,     /* bytes per second, written as SIZE */
    STK_OPTION_DURATION, /* microseconds: 250ms, 5s, 2m; a bare number is seconds */
    STK_OPTION_PERCENT,  /* parts per million: 1.5 or 1.5% is 15000 */
};

struct stk_option_type {
    const char *name; /* NULL ends a table */
    enum stk_option_kind kind;
    uint64_t min, max; /* for numbers; both 0: no bound */
    const char *help;  /* a few words for listings: what it does, and the default */
};

/* What the world knows of a layer: one const record per name. */
struct stk_layer_type {
    const char *name;
    const char *summary; /* one line for listings */
    enum stk_shape below, above;
    enum stk_value_kind value;
    const char *value_name; /* what the value is, for error texts: "port" */
    /* Checks a value beyond presence; sets the error's text only. May be NULL. */
    int (*check_value)(const char *value, struct stk_error *error);
    const struct stk_option_type *options; /* may be NULL */
    const struct stk_stream_type *stream;  /* if above is STK_STREAM */
    const struct stk_dgram_type *dgram;    /* if above is STK_DATAGRAMS */
};

struct stk_option {
    const struct stk_option_type *type;
    const char *text; /* decoded; "" for a flag without value */
    uint64_t number;  /* for every kind but TEXT */
};

struct stk_segment {
    const struct stk_layer_type *type;
    const char *value;              /* decoded; NULL if there is none */
    const struct stk_segment *host; /* the ip4, ip6 or dns segment before a transport, or NULL */
    struct stk_option *options;
    int option_count;
    int index;
    size_t offset; /* of its name in the text */
};

/* Segments, options and strings lie behind it, in its block. */
struct stk_recipe {
    struct stk_segment *segments;
    struct stk_option *options; /* of all segments, in the order of the text */
    int count, option_count;
    unsigned references;
    char *strings; /* decoded values and options */
    char *text;    /* the canonical form */
};

/*
 * Parses a recipe or one of the convenience forms: "host:port", ":port", "http://host[:port]/path",
 * "https://…", "-" (standard input and output). One reference is the caller's. STK_ESYNTAX or
 * STK_ESTACK.
 */
int stk_recipe_parse(const char *text, struct stk_recipe **out, struct stk_error *error);
/* A fragment that stands on a stream, such as "tls,sni=a.example"; for inserting. */
int stk_recipe_parse_fragment(const char *text, struct stk_recipe **out, struct stk_error *error);
struct stk_recipe *stk_recipe_ref(struct stk_recipe *recipe);
void stk_recipe_unref(struct stk_recipe *recipe);
/* Canonical text: parsing it again gives an equal recipe. */
const char *stk_recipe_text(const struct stk_recipe *recipe);
/* The shape that the topmost layer offers. */
enum stk_shape stk_recipe_shape(const struct stk_recipe *recipe);
const struct stk_segment *stk_recipe_find(const struct stk_recipe *recipe, const char *name);
/* A new recipe of the first `count` segments. */
int stk_recipe_prefix(const struct stk_recipe *recipe, int count, struct stk_recipe **out);

/* An option's value, or the fallback. */
const char *stk_segment_text(const struct stk_segment *segment, const char *name,
                             const char *fallback);
uint64_t stk_segment_number(const struct stk_segment *segment, const char *name, uint64_t fallback);
bool stk_segment_flag(const struct stk_segment *segment, const char *name, bool fallback);
/*
 * True for two segments of one type that say the same of each option, but for the one named
 * `except` (may be NULL). What is not said is not the same as its default.
 */
bool stk_segment_agrees(const struct stk_segment *a, const struct stk_segment *b,
                        const char *except);

/* Percent-encodes what the grammar reserves; returns `out`, cut at `size`. */
const char *stk_percent_encode(const char *text, char *out, size_t size);

/* The names that can stand in a recipe: the library's own, then those added. NULL at the end. */
const struct stk_layer_type *stk_layer_type_at(int index);
const struct stk_layer_type *stk_layer_type_find(const char *name);
/* Adds one of the program's own; before the first loop, from one thread. -EEXIST, -ENOSPC. */
int stk_layer_type_add(const struct stk_layer_type *type);

/* The library's own layers, NULL-terminated: the one place that knows all rooms (lib/standard.c).
 */
extern const struct stk_layer_type *const stk_standard_layers[];

#endif
