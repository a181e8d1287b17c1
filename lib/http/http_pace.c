#include "http_pace.h"

/* Rounded up: there is no rule that asks for nothing. */
static uint64_t step_bytes(const struct http_pace_rule *rule)
{
    return (rule->rate * rule->timeout_us + 999999) / 1000000;
}

bool http_pace_is_lost(struct http_pace *pace, const struct http_pace_rule *rule,
                       uint64_t done_bytes, uint64_t ahead_bytes, uint64_t elapsed_us)
{
    const uint64_t step = step_bytes(rule);

    if (done_bytes >= pace->goal_bytes) {
        pace->goal_bytes = done_bytes + (ahead_bytes < step ? ahead_bytes : step);
        pace->waited_us = 0;
        return false;
    }
    pace->waited_us += elapsed_us;
    return pace->waited_us >= rule->timeout_us;
}
