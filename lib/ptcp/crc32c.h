/*
 * CRC-32C (Castagnoli; RFC 9260 appendix A): finds every burst of up to 32 damaged bits. It uses
 * the processor's instructions where there are some.
 */
#ifndef STK_PTCP_CRC32C_H
#define STK_PTCP_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t ptcp_crc32c(const void *data, size_t len);
/* The same without such instructions. */
uint32_t ptcp_crc32c_by_table(const void *data, size_t len);

#endif
