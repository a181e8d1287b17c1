/*
 * One stream at full speed: runs one case and prints one line of numbers, of which bench/run makes
 * a table. A case that begins with a slash is a stack of the library (see recipe.c), any stack.
 */
#include "udp_side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPARE_S = 15, WARM_US = 300000, DATAGRAM_BYTES = 1400, LARGE_BYTES = 65000 };

struct bulk {
    uint64_t window_us;
    struct measure sender, receiver;
};

/* --- Cases --------------------------------------------------------------------------------------
 */

struct bulk_case {
    const char *name;
    side_fn *receive, *send; /* NULL: raw UDP */
    const struct cipher_type *cipher;
    size_t payload_bytes;
};

static const struct bulk_case cases[] = {
    {.name = "tcp-reference", .receive = tcp_receive, .send = tcp_send},
    {.name = "tls-reference", .receive = tls_receive, .send = tls_send},
    {.name = "udp-gso", .payload_bytes = DATAGRAM_BYTES},
    {.name = "udp-gso-openssl", .payload_bytes = DATAGRAM_BYTES, .cipher = &cipher_openssl},
    {.name = "udp-64k", .payload_bytes = LARGE_BYTES},
    {.name = "udp-64k-openssl", .payload_bytes = LARGE_BYTES, .cipher = &cipher_openssl},
#ifdef HAVE_IPSEC_MB
    {.name = "udp-gso-ipsec-mb", .payload_bytes = DATAGRAM_BYTES, .cipher = &cipher_ipsec_mb},
    {.name = "udp-64k-ipsec-mb", .payload_bytes = LARGE_BYTES, .cipher = &cipher_ipsec_mb},
#endif
};

enum { CASES = sizeof cases / sizeof cases[0] };

static const struct bulk_case any_stack = {.receive = stack_receive, .send = stack_send};

static const struct bulk_case *find_case(const char *name)
{
    for (unsigned i = 0; i < CASES; i++)
        if (strncmp(cases[i].name, name, strcspn(name, ",")) == 0 &&
            cases[i].name[strcspn(name, ",")] == '\0')
            return &cases[i];
    return name[0] == '/' ? &any_stack : NULL;
}

/* --- Sides --------------------------------------------------------------------------------------
 */

static int bulk_receive(struct side *side)
{
    const struct bulk_case *c = find_case(side->name);
    struct bulk *bulk = side->shared;

    meter_init(&side->meter, &bulk->receiver, WARM_US, bulk->window_us);
    return c->receive ? c->receive(side) : udp_receive(side, c->cipher, c->payload_bytes);
}

static int bulk_send(struct side *side)
{
    const struct bulk_case *c = find_case(side->name);
    struct bulk *bulk = side->shared;

    meter_init(&side->meter, &bulk->sender, WARM_US, bulk->window_us);
    return c->send ? c->send(side) : udp_send(side, c->cipher, c->payload_bytes);
}

/* --- Output -------------------------------------------------------------------------------------
 */

static double per_gb(uint64_t us, const struct measure *m)
{
    return m->bytes ? (double)us * 1e3 / (double)m->bytes : 0;
}

static double per_us(uint64_t amount, const struct measure *m)
{
    return (double)amount / (double)(m->time_us ? m->time_us : 1);
}

static void print_line(const char *name, const struct bulk *bulk)
{
    const struct measure *s = &bulk->sender, *r = &bulk->receiver;

    printf("%s gbit_per_s=%.3f cpu_s_per_gb=%.3f cpu_s_per_gb_sender=%.3f "
           "cpu_s_per_gb_receiver=%.3f machine_s_per_gb=%.3f peak_mib_sender=%.1f "
           "peak_mib_receiver=%.1f stolen_processors=%.2f\n",
           name, per_us(r->bytes, r) * 8e-3, per_gb(s->cpu_us, s) + per_gb(r->cpu_us, r),
           per_gb(s->cpu_us, s), per_gb(r->cpu_us, r), per_gb(r->machine_us, r),
           (double)s->peak_kib / 1024, (double)r->peak_kib / 1024, per_us(r->steal_us, r));
}

static int usage(void)
{
    fprintf(stderr,
            "usage: bulk CASE SECONDS\n       bulk --list\n"
            "A case is one that is listed (those of TCP with ,cc=NAME as well), or a stack such\n"
            "as /udp/seal/ptcp,cc=cubic\n");
    return 2;
}

static int check(const char *name, const struct bulk *bulk, bool ended_well)
{
    if (!ended_well || !bulk->sender.complete || !bulk->receiver.complete) {
        fprintf(stderr, "bench: %s failed\n", name);
        return 1;
    }
    if (bulk->sender.total_bytes != bulk->receiver.total_bytes) {
        fprintf(stderr, "bench: %s: %llu bytes were sent, %llu came\n", name,
                (unsigned long long)bulk->sender.total_bytes,
                (unsigned long long)bulk->receiver.total_bytes);
        return 1;
    }
    print_line(name, bulk);
    return 0;
}

static int run(const char *name, double seconds)
{
    struct stage stage;
    struct bulk *bulk = shared_new(sizeof *bulk);

    if (!bulk || stage_set(&stage) < 0) {
        fprintf(stderr, "bench: no memory or no temporary directory\n");
        return 1;
    }
    bulk->window_us = (uint64_t)(seconds * 1e6);
    const bool done =
        sides_run(&stage, name, bulk, bulk_receive, bulk_send, SPARE_S + (unsigned)seconds);
    stage_clear(&stage);
    return check(name, bulk, done);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (unsigned i = 0; i < CASES; i++)
            puts(cases[i].name);
        return 0;
    }
    const double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
    if (argc != 3 || !find_case(argv[1]) || !(seconds >= 0.1 && seconds <= 60))
        return usage();
    return run(argv[1], seconds);
}
