/*
 * Log lines go to one hook; without a hook they go nowhere. A library does not print.
 */
#ifndef STK_BASE_LOG_H
#define STK_BASE_LOG_H

enum stk_log_level { STK_LOG_ERROR, STK_LOG_WARN, STK_LOG_INFO, STK_LOG_DEBUG };

/* `room` is the lib/ directory that speaks; `text` is one line without a newline. */
typedef void stk_log_fn(void *context, enum stk_log_level level, const char *room,
                        const char *text);

void stk_log_hook(stk_log_fn *fn, void *context, enum stk_log_level most_verbose);
void stk_log(enum stk_log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
