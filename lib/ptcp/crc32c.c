#include "crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* --- By table: eight bytes a step, each through a table of its own ------------------------------
 */

static const uint32_t polynomial = 0x82f63b78; /* reflected */
static uint32_t tables[8][256];

static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        tables[0][i] = crc;
    }
    for (int t = 1; t < 8; t++) {
        for (int i = 0; i < 256; i++)
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
    }
}

static uint32_t step_byte(uint32_t crc, uint8_t byte)
{
    return crc >> 8 ^ tables[0][(crc ^ byte) & 0xff];
}

static uint32_t step_eight(uint32_t crc, const uint8_t *at)
{
    const uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                                (uint32_t)at[3] << 24);

    return tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
           tables[4][low >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^
           tables[0][at[7]];
}

uint32_t ptcp_crc32c_by_table(const void *data, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const uint8_t *at = data;
    uint32_t crc = UINT32_MAX;

    pthread_once(&once, fill_tables);
    for (; len >= 8; len -= 8, at += 8)
        crc = step_eight(crc, at);
    for (; len > 0; len--)
        crc = step_byte(crc, *at++);
    return ~crc;
}

/* --- By instruction ------------------------------------------------------------------------------
 */

#if defined(__x86_64__)

static int has_instructions(void) { return __builtin_cpu_supports("sse4.2"); }

__attribute__((target("sse4.2"))) static uint32_t by_instruction(const uint8_t *at, size_t len)
{
    uint64_t crc = UINT32_MAX, word;

    for (; len >= 8; len -= 8, at += 8) {
        memcpy(&word, at, sizeof(word));
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; len > 0; len--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *at++);
    return ~(uint32_t)crc;
}

#elif defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

static int has_instructions(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }

static uint32_t by_instruction(const uint8_t *at, size_t len)
{
    uint32_t crc = UINT32_MAX;
    uint64_t word;

    for (; len >= 8; len -= 8, at += 8) {
        memcpy(&word, at, sizeof(word));
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    }
    for (; len > 0; len--)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(*at++));
    return ~crc;
}

#else

static int has_instructions(void) { return 0; }
static uint32_t by_instruction(const uint8_t *at, size_t len)
{
    return ptcp_crc32c_by_table(at, len);
}

#endif

uint32_t ptcp_crc32c(const void *data, size_t len)
{
    return has_instructions() ? by_instruction(data, len) : ptcp_crc32c_by_table(data, len);
}
