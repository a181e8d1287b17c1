#include "side.h"

#include <stdio.h>
#include <string.h>

struct text {
    char *out;
    size_t len;
};

static void add(struct text *text, const char *more, size_t len)
{
    if (len > RECIPE_BYTES - 1 - text->len)
        len = RECIPE_BYTES - 1 - text->len;
    memcpy(text->out + text->len, more, len);
    text->out[text->len += len] = '\0';
}

static void add_text(struct text *text, const char *more) { add(text, more, strlen(more)); }

static void add_encoded(struct text *text, const char *path)
{
    for (; *path; path++) {
        if (*path == '/')
            add_text(text, "%2F");
        else
            add(text, path, 1);
    }
}

static bool is_called(const char *name, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

static void add_socket(struct text *text, const struct side *side, const char *name, size_t len)
{
    char port[16];

    add_text(text, "/ip4/");
    add_text(text, side->stage->host);
    add_text(text, "/");
    add(text, name, len);
    snprintf(port, sizeof port, "/%u", side->port);
    add_text(text, port);
}

static void add_tls(struct text *text, const struct side *side, bool listening)
{
    add_text(text, listening ? "/tls,cert=" : "/tls,sni=bench.example,ca=");
    add_encoded(text, side->stage->certificate);
}

static void add_seal(struct text *text, const struct side *side, bool listening)
{
    char key[STK_KEY_TEXT_MAX];

    add_text(text, "/seal");
    if (listening)
        return;
    add_text(text, ",peer=");
    add_text(text, stk_key_format(side->stage->receiver_key.public_key, key));
}

static void add_segment(struct text *text, const struct side *side, const char *segment, size_t len,
                        bool listening)
{
    const size_t name = strcspn(segment, ",/");

    if (is_called(segment, name, "udp") || is_called(segment, name, "tcp")) {
        add_socket(text, side, segment, name);
    } else if (is_called(segment, name, "unix")) {
        add_text(text, "/unix/");
        add_encoded(text, side->stage->unix_path);
    } else if (is_called(segment, name, "seal")) {
        add_seal(text, side, listening);
    } else if (is_called(segment, name, "tls")) {
        add_tls(text, side, listening);
    } else {
        add_text(text, "/");
        add(text, segment, name);
    }
    add(text, segment + name, len - name);
}

static const char *fill_in(const struct side *side, bool listening, char *recipe)
{
    struct text text = {recipe, 0};
    const char *at = side->name;

    recipe[0] = '\0';
    while (*at == '/') {
        const size_t len = strcspn(at + 1, "/");
        add_segment(&text, side, at + 1, len, listening);
        at += 1 + len;
    }
    return recipe;
}

const char *recipe_listen(const struct side *side, char recipe[RECIPE_BYTES])
{
    return fill_in(side, true, recipe);
}

const char *recipe_connect(const struct side *side, char recipe[RECIPE_BYTES])
{
    return fill_in(side, false, recipe);
}
