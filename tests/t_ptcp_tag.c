/*
 * Goal: the tag at the end of plain packets finds damage and keeps out who does not know both ids.
 * Method: the published check value of CRC-32C, both ways to compute it against each other, and
 * every single bit of packets flipped.
 */
#include "crc32c.h"
#include "packet.h"
#include "tag.h"

#include "bytes.h"
#include "harness.h"
#include "prng.h"

static void crc32c_has_its_published_check_value(void)
{
    uint8_t zeros[32] = {0};

    CU_ASSERT_EQUAL(ptcp_crc32c("123456789", 9), 0xE3069283);
    CU_ASSERT_EQUAL(ptcp_crc32c_by_table("123456789", 9), 0xE3069283);
    CU_ASSERT_EQUAL(ptcp_crc32c(zeros, sizeof(zeros)), 0x8A9136AA); /* RFC 3720 B.4 */
    CU_ASSERT_EQUAL(ptcp_crc32c("", 0), 0);
    CU_ASSERT_EQUAL(ptcp_crc32c_by_table("", 0), 0);
}

static void instructions_and_tables_agree_at_every_length_and_place(void)
{
    uint8_t bytes[300];
    struct stk_prng prng;

    stk_prng_seed(&prng, 1);
    stk_prng_bytes(&prng, bytes, sizeof(bytes));
    for (size_t from = 0; from < 16; from++)
        for (size_t len = 0; len < 280; len++)
            CU_ASSERT_EQUAL(ptcp_crc32c(bytes + from, len),
                            ptcp_crc32c_by_table(bytes + from, len));
}

/* Long texts go in lanes side by side: at every edge of one, two and many rounds of them. */
static void lanes_and_tables_agree_around_every_edge(void)
{
    static const size_t edges[] = {448, 1344, 2688, 65507 - 32};
    static uint8_t bytes[65507];
    struct stk_prng prng;

    stk_prng_seed(&prng, 2);
    stk_prng_bytes(&prng, bytes, sizeof(bytes));
    for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
        for (size_t len = edges[i] - 16; len < edges[i] + 16; len++)
            CU_ASSERT_EQUAL(ptcp_crc32c(bytes + 1, len), ptcp_crc32c_by_table(bytes + 1, len));
}

static size_t make_packet(uint8_t *packet, uint8_t type, size_t frames)
{
    const size_t header = type == PTCP_DATA ? PTCP_SHORT_HEADER_BYTES : PTCP_LONG_HEADER_BYTES;
    struct stk_prng prng;

    stk_prng_seed(&prng, frames + type);
    stk_prng_bytes(&prng, packet, header + frames);
    packet[0] = type;
    stk_store_be64(packet + header + frames, ptcp_tag(11, 22, packet, header + frames));
    return header + frames + PTCP_TAG_BYTES;
}

static void every_flipped_bit_is_found(void)
{
    static const uint8_t types[] = {PTCP_SYN, PTCP_DATA};
    uint8_t packet[200];

    for (unsigned t = 0; t < 2; t++)
        for (size_t frames = 0; frames < 100; frames += 33) {
            const size_t size = make_packet(packet, types[t], frames);

            CU_ASSERT_TRUE(ptcp_tag_ok(11, 22, packet, size));
            for (size_t bit = 0; bit < 8 * size; bit++) {
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
                CU_ASSERT_FALSE(ptcp_tag_ok(11, 22, packet, size));
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
        }
}

static void zeros_more_or_less_are_found(void)
{
    uint8_t packet[200] = {PTCP_DATA};
    uint64_t tags[50];

    for (size_t i = 0; i < 50; i++) {
        tags[i] = ptcp_tag(11, 22, packet, i + 1);
        for (size_t k = 0; k < i; k++)
            CU_ASSERT_NOT_EQUAL(tags[k], tags[i]);
    }
}

static void both_ids_are_needed(void)
{
    uint8_t packet[200];
    const size_t size = make_packet(packet, PTCP_DATA, 50);

    CU_ASSERT_FALSE(ptcp_tag_ok(11, 23, packet, size));
    CU_ASSERT_FALSE(ptcp_tag_ok(12, 22, packet, size));
    CU_ASSERT_FALSE(ptcp_tag_ok(22, 11, packet, size));
    for (size_t len = 0; len < size; len++)
        CU_ASSERT_FALSE(ptcp_tag_ok(11, 22, packet, len));
}

static CU_TestInfo tests[] = {
    {"CRC-32C has its published check value", crc32c_has_its_published_check_value},
    {"instructions and tables agree at every length and place",
     instructions_and_tables_agree_at_every_length_and_place},
    {"lanes and tables agree around every edge", lanes_and_tables_agree_around_every_edge},
    {"every flipped bit is found", every_flipped_bit_is_found},
    {"zeros more or less are found", zeros_more_or_less_are_found},
    {"both ids are needed", both_ids_are_needed},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp tag", tests)
