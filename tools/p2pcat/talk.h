/*
 * What p2pcat says: everything on stderr, data alone is on stdout.
 *
 * Colours and progress appear on a terminal only; NO_COLOR and TERM=dumb switch colours off.
 */
#ifndef P2PCAT_TALK_H
#define P2PCAT_TALK_H

#include "base.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* sysexits-like but short; documented in p2pcat(1). */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_OTHER = 1,     /* something that has no number of its own */
    EXIT_USAGE = 2,     /* the command line, an address or a ticket is wrong */
    EXIT_CONNECT = 3,   /* the other side can't be reached */
    EXIT_UNTRUSTED = 4, /* the other side is not who it must be, or refuses us */
    EXIT_LOST = 5,      /* the connection broke before both sides had finished */
    EXIT_LOCAL = 6,     /* reading or writing on this side failed: a full disk, a closed pipe */
    EXIT_HTTP = 7,      /* the server answered with a status of 400 or more */
    EXIT_INTERRUPTED = 130,
    EXIT_TERMINATED = 143,
};

void talk_init(bool verbose, bool quiet);
bool talk_is_verbose(void);
bool talk_on_terminal(void);
/* "p2pcat: …", always. */
void talk_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, with the layer that it comes from; what is written wrong comes from none. */
void talk_failure(const struct stk_error *error);
/* What to do next, under an error. */
void talk_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Unless -q. */
void talk_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* With -v. */
void talk_verbose(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line that replaces itself on a terminal; clear it before other lines. */
void talk_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void talk_progress_clear(void);

/* `text` as a string of JSON, in quotes. */
void talk_json_text(FILE *file, const char *text);

/* "1.5 MB", "87 kB/s" … in powers of ten; returns `text`. */
enum { TALK_SIZE_MAX = 24 };
const char *talk_size(uint64_t bytes, char text[TALK_SIZE_MAX]);

#endif
