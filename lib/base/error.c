#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *own_text(int code)
{
    switch (code) {
    case STK_OK:
        return "no error";
    case STK_AGAIN:
        return "nothing now, an event will follow";
    case STK_ETRUNCATED:
        return "the data ends too early";
    case STK_EPEER:
        return "the peer is not the expected one, or refuses us";
    case STK_ECERT:
        return "the certificate does not verify";
    case STK_ENAME:
        return "the name does not resolve";
    case STK_ESYNTAX:
        return "syntax error";
    case STK_ESTACK:
        return "these layers do not fit on one another";
    case STK_ELIMIT:
        return "a limit is exceeded";
    case STK_EEXIT:
        return "the process ended with an error";
    case STK_ESHUTDOWN:
        return "the connection is closed for writing";
    default:
        return NULL;
    }
}

/* strerror() may use one buffer for all threads; the description never does. */
static const char *errno_text(int number)
{
#ifdef __GLIBC__
    return strerrordesc_np(number);
#else
    return strerror(number);
#endif
}

const char *stk_strerror(int code)
{
    const char *text = own_text(code);

    if (!text && code < 0 && code > STK_ETRUNCATED)
        text = errno_text(-code);
    return text ? text : "unknown error";
}

int stk_error_set(struct stk_error *error, int code, const char *layer, const char *format, ...)
{
    va_list arguments;

    if (!error)
        return code;
    error->code = code;
    snprintf(error->layer, sizeof error->layer, "%s", layer);
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}
