/* Shortening a list of slices: for layers that take less than they are offered. Private to the
 * room. */
#ifndef STK_STACK_CLIP_H
#define STK_STACK_CLIP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { CLIP_MAX = 16 };

/* Copies slices until `limit` bytes or CLIP_MAX slices are reached; `*used` of them. Returns their
 * bytes. */
static inline size_t clip_iov(struct iovec out[CLIP_MAX], const struct iovec *iov, int count,
                              uint64_t limit, int *used)
{
    size_t total = 0;
    int n = 0;

    for (; n < count && n < CLIP_MAX && total < limit; n++) {
        const size_t room = (size_t)(limit - total);
        const size_t len = iov[n].iov_len < room ? iov[n].iov_len : room;

        out[n] = (struct iovec){iov[n].iov_base, len};
        total += len;
    }
    *used = n;
    return total;
}

#endif
