#include "log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_MAX_BYTES = 512 };

static stk_log_fn *hook;
static void *hook_context;
static enum stk_log_level hook_most_verbose;

void stk_log_hook(stk_log_fn *fn, void *context, enum stk_log_level most_verbose)
{
    hook = fn;
    hook_context = context;
    hook_most_verbose = most_verbose;
}

void stk_log(enum stk_log_level level, const char *room, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list arguments;

    if (!hook || level > hook_most_verbose)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    hook(hook_context, level, room, line);
}
