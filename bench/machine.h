/* Processor time of the whole machine since it started, as /proc/stat has it. */
#ifndef STK_BENCH_MACHINE_H
#define STK_BENCH_MACHINE_H

#include <stdint.h>

struct machine {
    uint64_t used_us;  /* of all processors, by whomever */
    uint64_t steal_us; /* what the host of a virtual machine took */
};

/* Zeros where the system does not tell. */
struct machine machine_now(void);

#endif
