/* Slices of memory, as struct iovec of POSIX has them. */
#ifndef STK_BASE_IOV_H
#define STK_BASE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Of all `count` slices together. */
static inline size_t stk_iov_bytes(const struct iovec *iov, int count)
{
    size_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

#endif
