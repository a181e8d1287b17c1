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

static void fill_tables_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fill_tables);
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
    const uint8_t *at = data;
    uint32_t crc = UINT32_MAX;

    fill_tables_once();
    for (; len >= 8; len -= 8, at += 8)
        crc = step_eight(crc, at);
    for (; len > 0; len--)
        crc = step_byte(crc, *at++);
    return ~crc;
}

/* --- By instruction ------------------------------------------------------------------------------
 *
 * One instruction follows another only after three cycles, but three can be under way. So three
 * lanes go side by side, and a table moves a sum over the bytes of the lane behind it.
 */

enum { LANE_BYTES = 448, STRIDE_BYTES = 3 * LANE_BYTES };

static uint32_t shifts[4][256]; /* what a byte of the sum becomes after LANE_BYTES zeros */

static uint32_t after_a_lane(uint32_t crc)
{
    for (int i = 0; i < LANE_BYTES; i++)
        crc = step_byte(crc, 0);
    return crc;
}

static void fill_shifts(void)
{
    fill_tables_once();
    for (int t = 0; t < 4; t++) {
        for (int bit = 0; bit < 8; bit++) {
            const uint32_t one = after_a_lane(UINT32_C(1) << (8 * t + bit));

            for (int low = 0; low < 1 << bit; low++)
                shifts[t][1 << bit | low] = shifts[t][low] ^ one;
        }
    }
}

static uint32_t shift(uint32_t crc)
{
    return shifts[0][crc & 0xff] ^ shifts[1][crc >> 8 & 0xff] ^ shifts[2][crc >> 16 & 0xff] ^
           shifts[3][crc >> 24];
}

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

#if defined(__x86_64__)

#define CRC_TARGET __attribute__((target("sse4.2")))

static int has_instructions(void) { return __builtin_cpu_supports("sse4.2"); }
CRC_TARGET static uint32_t add_word(uint32_t crc, uint64_t word)
{
    return (uint32_t)__builtin_ia32_crc32di(crc, word);
}
CRC_TARGET static uint32_t add_byte(uint32_t crc, uint8_t byte)
{
    return __builtin_ia32_crc32qi(crc, byte);
}

#elif defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#define CRC_TARGET

static int has_instructions(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
static uint32_t add_word(uint32_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    return crc;
}
static uint32_t add_byte(uint32_t crc, uint8_t byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
    return crc;
}

#else

#define CRC_TARGET

static int has_instructions(void) { return 0; }
static uint32_t add_word(uint32_t crc, uint64_t word)
{
    for (int i = 0; i < 8; i++, word >>= 8)
        crc = step_byte(crc, (uint8_t)word);
    return crc;
}
static uint32_t add_byte(uint32_t crc, uint8_t byte) { return step_byte(crc, byte); }

#endif

CRC_TARGET static uint32_t three_lanes(uint32_t crc, const uint8_t *at)
{
    uint32_t second = 0, third = 0;

    for (int i = 0; i < LANE_BYTES; i += 8) {
        crc = add_word(crc, word_at(at + i));
        second = add_word(second, word_at(at + LANE_BYTES + i));
        third = add_word(third, word_at(at + 2 * LANE_BYTES + i));
    }
    return shift(shift(crc) ^ second) ^ third;
}

CRC_TARGET static uint32_t by_instruction(const uint8_t *at, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint32_t crc = UINT32_MAX;

    if (len >= STRIDE_BYTES)
        pthread_once(&once, fill_shifts);
    for (; len >= STRIDE_BYTES; len -= STRIDE_BYTES, at += STRIDE_BYTES)
        crc = three_lanes(crc, at);
    for (; len >= 8; len -= 8, at += 8)
        crc = add_word(crc, word_at(at));
    for (; len > 0; len--)
        crc = add_byte(crc, *at++);
    return ~crc;
}

uint32_t ptcp_crc32c(const void *data, size_t len)
{
    return has_instructions() ? by_instruction(data, len) : ptcp_crc32c_by_table(data, len);
}
