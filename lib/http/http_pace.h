/*
 * How fast a client must be. Each time it has come to its goal, the next one is set: what its rate
 * brings in the time that it may take, or all that there is. Who is late has lost. So nobody keeps
 * a connection busy with one byte a minute, and nobody is cut off for a pause that he makes up for.
 */
#ifndef STK_HTTP_PACE_H
#define STK_HTTP_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct http_pace { /* zeroed: nobody is waited for */
    uint64_t goal_bytes, waited_us;
};

struct http_pace_rule {
    uint64_t timeout_us; /* for each goal, > 0 */
    uint64_t rate;       /* bytes per second, > 0 */
};

/*
 * To be called every `elapsed_us` while the client is waited for. `done_bytes` it has moved so far,
 * `ahead_bytes` wait for it. True: it is too slow.
 */
bool http_pace_is_lost(struct http_pace *pace, const struct http_pace_rule *rule,
                       uint64_t done_bytes, uint64_t ahead_bytes, uint64_t elapsed_us);

#endif
