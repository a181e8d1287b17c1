#include "talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool verbose_on, quiet_on, terminal, colours, progress_shown;

void talk_init(bool verbose, bool quiet)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");

    verbose_on = verbose;
    quiet_on = quiet;
    terminal = isatty(STDERR_FILENO);
    colours = terminal && (no_color == NULL || *no_color == '\0') && term != NULL &&
              strcmp(term, "dumb") != 0;
}

bool talk_is_verbose(void) { return verbose_on; }
bool talk_on_terminal(void) { return terminal; }

static void line(const char *colour, const char *prefix, const char *format, va_list arguments)
{
    talk_progress_clear();
    if (colours && *colour != '\0')
        fprintf(stderr, "%s%s\033[0m", colour, prefix);
    else
        fputs(prefix, stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

#define TALK(condition, colour, prefix)                                                            \
    do {                                                                                           \
        va_list arguments;                                                                         \
                                                                                                   \
        if (!(condition))                                                                          \
            return;                                                                                \
        va_start(arguments, format);                                                               \
        line(colour, prefix, format, arguments);                                                   \
        va_end(arguments);                                                                         \
    } while (0)

void talk_error(const char *format, ...) { TALK(true, "\033[31m", "p2pcat: "); }

void talk_failure(const struct stk_error *error)
{
    if (strcmp(error->layer, "recipe") == 0)
        talk_error("%s", error->text);
    else
        talk_error("%s: %s", error->layer, error->text);
}

void talk_hint(const char *format, ...) { TALK(true, "", "  "); }
void talk_info(const char *format, ...) { TALK(!quiet_on, "", ""); }
void talk_verbose(const char *format, ...) { TALK(verbose_on, "\033[2m", "* "); }

void talk_progress(const char *format, ...)
{
    va_list arguments;

    if (!terminal)
        return;
    fputs("\r\033[K", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fflush(stderr);
    progress_shown = true;
}

void talk_progress_clear(void)
{
    if (!progress_shown)
        return;
    fputs("\r\033[K", stderr);
    progress_shown = false;
}

void talk_json_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(file, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, file);
    }
    fputc('"', file);
}

const char *talk_size(uint64_t bytes, char text[TALK_SIZE_MAX])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    snprintf(text, TALK_SIZE_MAX, unit == 0 ? "%.0f %s" : "%.3g %s", value, units[unit]);
    return text;
}
