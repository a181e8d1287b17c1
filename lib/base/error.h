/*
 * Results and errors.
 *
 * Functions return an int: 0 or more is success, below 0 is a negated errno or one of the
 * codes here. STK_AGAIN is not a failure: it means "nothing now, an event will follow".
 */
#ifndef STK_BASE_ERROR_H
#define STK_BASE_ERROR_H

#include <errno.h>

enum stk_code {
    STK_OK = 0,
    STK_AGAIN = -EAGAIN,
    STK_ETRUNCATED = -1001, /* the peer's bytes end without the protocol's own end */
    STK_EPEER = -1002,      /* the peer is not who it must be, or refuses who we are */
    STK_ECERT = -1003,      /* a certificate does not verify */
    STK_ENAME = -1004,      /* a name does not resolve */
    STK_ESYNTAX = -1005,    /* an address, option or ticket can't be parsed */
    STK_ESTACK = -1006,     /* a recipe names layers that don't fit on one another */
    STK_ELIMIT = -1007,     /* a configured bound on size, count or time is exceeded */
    STK_EEXIT = -1008,      /* a child process ends with a status other than 0 */
    STK_ESHUTDOWN = -1009,  /* the connection is closed for writing by this side */
};

enum {
    STK_ERROR_LAYER_MAX = 16, /* bytes, with the final NUL */
    STK_ERROR_TEXT_MAX = 232,
};

/* The first error of a connection: what, where, and what to do about it. */
struct stk_error {
    int code; /* 0: no error */
    char layer[STK_ERROR_LAYER_MAX];
    char text[STK_ERROR_TEXT_MAX];
};

/* A short phrase for a code; static, never NULL. */
const char *stk_strerror(int code);

/* Sets all three parts, or nothing where `error` is NULL; long texts are cut. Returns `code`, so
 * that it can end a function. */
int stk_error_set(struct stk_error *error, int code, const char *layer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
