/* The file formats of the record layer. Private to the room. */
#ifndef STK_STACK_CAPTURE_H
#define STK_STACK_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum capture_what { CAPTURE_OPEN, CAPTURE_IN, CAPTURE_OUT, CAPTURE_IN_END, CAPTURE_OUT_END };

/* What is remembered of one connection. */
struct capture {
    unsigned connection; /* from 1 */
    uint64_t in, out;    /* bytes so far */
    bool in_ended;
};

struct capture_format {
    const char *name;
    void (*begin)(FILE *file);
    /* Errors stay in the FILE's error flag. */
    void (*write)(FILE *file, struct capture *capture, uint64_t wall_us, enum capture_what what,
                  const uint8_t *data, size_t len);
};

const struct capture_format *capture_format_find(const char *name); /* NULL: unknown */

#endif
