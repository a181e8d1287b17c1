#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Days since 1970-01-01 of a day in the Gregorian calendar; month from 0. */
static int64_t days_since_epoch(int64_t year, int month, int day)
{
    /* The year begins in March here, so that the leap day is its last one. */
    const int64_t y = month < 2 ? year - 1 : year;
    const int64_t shifted = (month + 10) % 12;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * shifted + 2) / 5 + day - 1 - 719468;
}

static int month_of(const char *name)
{
    for (int i = 0; i < 12; i++)
        if (memcmp(name, months[i], 3) == 0)
            return i;
    return -1;
}

static int64_t combine(int year, const char *month_name, int day, int hour, int minute, int second)
{
    const int month = month_of(month_name);

    if (month < 0 || year < 1970 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60)
        return -1;
    return days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

/* RFC 9110 section 5.6.7: two digits mean the past when they seem to be 50 years ahead. */
static int full_year(int two_digits)
{
    const time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    const int this_year = tm.tm_year + 1900;
    const int year = this_year - this_year % 100 + two_digits;
    return year > this_year + 50 ? year - 100 : year;
}

int64_t stk_http_date_parse(const char *text)
{
    char month[4] = "";
    int day, year, hour, minute, second, used = 0;

    if (strlen(text) > 40)
        return -1;
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month, &year, &hour,
               &minute, &second, &used) == 6 &&
        used > 0 && text[used] == '\0')
        return combine(year, month, day, hour, minute, second);
    if (sscanf(text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &day, month, &year, &hour,
               &minute, &second, &used) == 6 &&
        used > 0 && text[used] == '\0')
        return combine(full_year(year), month, day, hour, minute, second);
    if (sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &day, &hour, &minute,
               &second, &year, &used) == 6 &&
        used > 0 && text[used] == '\0')
        return combine(year, month, day, hour, minute, second);
    return -1;
}

const char *stk_http_date_format(int64_t seconds, char text[STK_HTTP_DATE_MAX])
{
    const time_t time = (time_t)(seconds < 0 ? 0 : seconds);
    struct tm tm;

    gmtime_r(&time, &tm);
    snprintf(text, STK_HTTP_DATE_MAX, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7],
             tm.tm_mday % 100, months[tm.tm_mon % 12], (tm.tm_year + 1900) % 10000,
             tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
    return text;
}
