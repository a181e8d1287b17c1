/* What the files of the static file server share. */
#ifndef STK_HTTP_FILE_H
#define STK_HTTP_FILE_H

#include "http.h"

#include <sys/stat.h>

enum {
    HTTP_PATH_MAX = 4096,
    HTTP_ETAG_MAX = 48,
    HTTP_RANGES_MAX = 16,
};

/* --- Paths (http_path.c) ---------------------------------------------------------------------- */

/*
 * The path of a target as a relative file name: without query, percent-decoded. An HTTP status
 * where that must not be opened: zero bytes, encoded slashes, "." and ".." segments.
 */
int http_path_decode(const char *target, char out[HTTP_PATH_MAX]);
/* Opens for reading something that lies beneath `root`, wherever symbolic links lead: a
 * descriptor or a negated errno. */
int http_path_open(int root, const char *path);
/* The same where the kernel can't resolve beneath a directory: name by name, and through no
 * symbolic link at all. */
int http_path_walk(int root, const char *path);

/* --- Conditions (http_condition.c, RFC 9110 section 13)
 * ------------------------------------------- */

struct http_validators {
    char etag[HTTP_ETAG_MAX];
    int64_t modified_s;
};

void http_validators_of(const struct stat *status, struct http_validators *out);
/* 0: go on; else 304 or 412. */
int http_condition_check(const struct stk_http_head *head,
                         const struct http_validators *validators);
/* Whether a Range field counts. */
bool http_condition_if_range(const struct stk_http_head *head,
                             const struct http_validators *validators);

/* --- Ranges (http_range.c, RFC 9110 section 14)
 * ------------------------------------------------------ */

struct http_range {
    uint64_t first, last; /* of the bytes, both included */
};

/* How many ranges of a file of that size are asked for; 0: the field is to be ignored; -1: none of
 * them can be satisfied. */
int http_range_parse(const char *text, uint64_t size, struct http_range out[HTTP_RANGES_MAX]);

/* --- Listings (http_listing.c)
 * ------------------------------------------------------------------------- */

/* A page for the directory; takes over `fd`. NULL without memory. Caller frees. */
char *http_listing_new(int fd, const char *path, size_t *len);

#endif
