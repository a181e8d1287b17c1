/*
 * Faults on demand: a heap that counts its blocks and fails the n-th allocation, and system calls
 * that fail with a chosen errno. A test runs its scenario for n = 1, 2, 3 … until nothing failed.
 */
#ifndef STK_TESTS_FAULT_H
#define STK_TESTS_FAULT_H

#include "alloc.h"
#include "sys.h"

#include <stdbool.h>

/* --- Heap ----------------------------------------------------------------------------------- */

enum fault_repeat { FAULT_ONCE, FAULT_FROM_THEN_ON };

/* Counts from here on; call while no block of the library's is live. Any thread may allocate. */
void fault_heap_install(void);
/* Gives the heap back to libc and returns how many blocks are still live: 0, or a leak. */
long fault_heap_remove(void);
/* The n-th allocation from now (1: the next) fails; 0: none does. */
void fault_heap_fail(long n, enum fault_repeat repeat);
/* Whether an allocation has failed since fault_heap_fail(). */
bool fault_heap_has_failed(void);
long fault_heap_live(void);
long fault_heap_calls(void); /* allocations and growths since install or fail */

/* --- System calls ---------------------------------------------------------------------------- */

enum fault_site {
    FAULT_SOCKET,
    FAULT_BIND,
    FAULT_LISTEN,
    FAULT_ACCEPT4,
    FAULT_CONNECT,
    FAULT_SHUTDOWN,
    FAULT_READV,
    FAULT_WRITEV,
    FAULT_SENDMSG,
    FAULT_RECVMSG,
    FAULT_SENDMMSG,
    FAULT_RECVMMSG,
    FAULT_EVENTFD,
    FAULT_EPOLL_CREATE1,
    FAULT_EPOLL_CTL,
    FAULT_PIDFD_OPEN,
    FAULT_WAITPID,
    FAULT_SITES, /* close() is only counted: a descriptor is gone whatever it returns */
};

/* Puts counting calls into stk_sys, and takes them out again. */
void fault_sys_install(void);
void fault_sys_remove(void);
/* The n-th call of `site` from now (1: the next) fails with `error`; 0: none does. */
void fault_sys_fail(enum fault_site site, long n, int error, enum fault_repeat repeat);
bool fault_sys_has_failed(enum fault_site site);
long fault_sys_calls(enum fault_site site); /* since install or fail */
long fault_sys_closes(void);                /* since install */

#endif
