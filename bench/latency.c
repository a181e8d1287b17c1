/* Measures the latency of one case and prints one line of numbers. See latency.h. */
#include "latency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPARE_S = 15 };

static bool is_reference(const char *name)
{
    return strncmp(name, "tcp-reference", 13) == 0 || strncmp(name, "tls-reference", 13) == 0;
}

static void print_quantiles(const char *key, struct lapses *lapses)
{
    if (lapses->count)
        printf(" %s_p50_us=%.1f %s_p99_us=%.1f", key, lapses_quantile_us(lapses, 0.5), key,
               lapses_quantile_us(lapses, 0.99));
}

static bool is_complete(const struct latency *latency)
{
    return latency->request.count && latency->first.count == CONNECTS;
}

static int run(const char *name, double seconds)
{
    const bool tcp = is_reference(name);
    struct stage stage;
    struct latency *latency = shared_new(sizeof *latency);

    if (!latency || stage_set(&stage) < 0) {
        fprintf(stderr, "bench: no memory or no temporary directory\n");
        return 1;
    }
    latency->window_ns = (uint64_t)(seconds * 1e9);
    const bool done =
        sides_run(&stage, name, latency, tcp ? latency_tcp_answer : latency_stack_answer,
                  tcp ? latency_tcp_ask : latency_stack_ask, SPARE_S + (unsigned)seconds);
    stage_clear(&stage);
    if (!done || !is_complete(latency)) {
        fprintf(stderr, "bench: latency of %s failed\n", name);
        return 1;
    }
    printf("%s", name);
    print_quantiles("request", &latency->request);
    print_quantiles("first_byte", &latency->first);
    print_quantiles("further", &latency->further);
    puts("");
    return 0;
}

int main(int argc, char **argv)
{
    const double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;

    if (argc != 3 || !(is_reference(argv[1]) || argv[1][0] == '/') ||
        !(seconds >= 0.01 && seconds <= 20)) {
        fprintf(stderr, "usage: latency CASE SECONDS\n"
                        "A case is tcp-reference, tls-reference or a stack such as /udp/ptcp\n");
        return 2;
    }
    return run(argv[1], seconds);
}
