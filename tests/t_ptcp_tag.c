/*
 * Goal: the tag of plain packets finds damage and keeps out who does not know both ids.
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

static const struct ptcp_whole whole = {11, 22, 33, 44};

static size_t make_packet(uint8_t *packet, uint8_t type, size_t frames)
{
    const size_t header = type == PTCP_SYN ? PTCP_LONG_HEADER_BYTES : ptcp_short_header_bytes(type);
    struct stk_prng prng;

    stk_prng_seed(&prng, frames + type);
    stk_prng_bytes(&prng, packet, header + frames);
    struct stk_writer writer = stk_writer_of(packet, header);
    ptcp_header_write(&writer,
                      &(struct ptcp_header){.type = type == PTCP_SYN ? PTCP_SYN : PTCP_DATA,
                                            .stream = header == PTCP_STREAM_HEADER_BYTES,
                                            .fin = type & PTCP_STREAM_FIN,
                                            .asks = type & PTCP_ASKS,
                                            .destination = whole.destination,
                                            .packet = whole.packet,
                                            .offset = whole.offset});
    return ptcp_tag_put(packet, header + frames, &whole);
}

/* As the receiver finds it, who expects that number and that offset. */
static bool is_taken(const uint8_t *packet, size_t size)
{
    struct ptcp_whole found = whole;
    struct ptcp_header header;
    struct ptcp_frames frames;

    if (ptcp_packet_read(packet, size, true, &header, &frames) < 0)
        return false;
    ptcp_frames_place(&frames, whole.offset);
    found.packet = ptcp_packet_number(&header, whole.packet);
    found.offset = frames.offset;
    return ptcp_tag_ok(packet, size, &found);
}

static void every_flipped_bit_is_found(void)
{
    static const uint8_t types[] = {PTCP_SYN,
                                    PTCP_DATA,
                                    PTCP_STREAM,
                                    PTCP_STREAM | PTCP_STREAM_FIN,
                                    PTCP_DATA | PTCP_ASKS,
                                    PTCP_STREAM | PTCP_STREAM_FIN | PTCP_ASKS};
    uint8_t packet[200];

    for (unsigned t = 0; t < sizeof(types); t++)
        for (size_t frames = 0; frames < 100; frames += 33) {
            const size_t size = make_packet(packet, types[t], frames);

            CU_ASSERT_TRUE(is_taken(packet, size));
            for (size_t bit = 0; bit < 8 * size; bit++) {
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
                CU_ASSERT_FALSE(is_taken(packet, size));
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
        }
}

static void zeros_more_or_less_are_found(void)
{
    uint64_t tags[50];

    for (size_t i = 0; i < 50; i++) {
        uint8_t packet[200] = {PTCP_DATA};

        ptcp_tag_put(packet, PTCP_SHORT_HEADER_BYTES + i, &whole);
        tags[i] = stk_load_be64(packet + PTCP_SHORT_ID_AT);
        for (size_t k = 0; k < i; k++)
            CU_ASSERT_NOT_EQUAL(tags[k], tags[i]);
    }
}

static void both_ids_and_whole_numbers_are_needed(void)
{
    static const uint8_t types[] = {PTCP_SYN, PTCP_DATA, PTCP_STREAM};
    const uint64_t late = UINT64_C(1) << 24, later = UINT64_C(1) << 32; /* the same on the wire */
    uint8_t packet[200];

    for (unsigned t = 0; t < sizeof(types); t++) {
        const size_t size = make_packet(packet, types[t], 50);
        const bool is_short = types[t] != PTCP_SYN, stream = types[t] == PTCP_STREAM;

        CU_ASSERT_FALSE(ptcp_tag_ok(packet, size, &(struct ptcp_whole){11, 23, 33, 44}));
        CU_ASSERT_FALSE(ptcp_tag_ok(packet, size, &(struct ptcp_whole){12, 22, 33, 44}));
        CU_ASSERT_FALSE(ptcp_tag_ok(packet, size, &(struct ptcp_whole){11 + later, 22, 33, 44}));
        CU_ASSERT_FALSE(ptcp_tag_ok(packet, size, &(struct ptcp_whole){22, 11, 33, 44}));
        CU_ASSERT_EQUAL(ptcp_tag_ok(packet, size, &(struct ptcp_whole){11, 22, 33 + late, 44}),
                        !is_short);
        CU_ASSERT_EQUAL(ptcp_tag_ok(packet, size, &(struct ptcp_whole){11, 22, 33, 44 + later}),
                        !stream);
        for (size_t len = 0; len < size; len++)
            CU_ASSERT_FALSE(ptcp_tag_ok(packet, len, &whole));
    }
}

/* Who has seen one packet and knows one half of the id from it does not know the other. */
static void the_first_half_of_the_id_is_hidden(void)
{
    const struct ptcp_whole id = {UINT64_C(0x0123456789abcdef), 22, 33, 44};
    uint8_t packet[32] = {PTCP_STREAM}, other[32] = {PTCP_STREAM, [20] = 1};

    ptcp_tag_put(packet, sizeof(packet), &id);
    ptcp_tag_put(other, sizeof(other), &id);
    CU_ASSERT_EQUAL(stk_load_be32(packet + PTCP_SHORT_ID_LOW_AT), 0x89abcdef);
    CU_ASSERT_EQUAL(stk_load_be32(other + PTCP_SHORT_ID_LOW_AT), 0x89abcdef);
    CU_ASSERT_NOT_EQUAL(stk_load_be32(packet + PTCP_SHORT_ID_AT), 0x01234567);
    CU_ASSERT_NOT_EQUAL(stk_load_be32(packet + PTCP_SHORT_ID_AT),
                        stk_load_be32(other + PTCP_SHORT_ID_AT));
}

static CU_TestInfo tests[] = {
    {"CRC-32C has its published check value", crc32c_has_its_published_check_value},
    {"instructions and tables agree at every length and place",
     instructions_and_tables_agree_at_every_length_and_place},
    {"lanes and tables agree around every edge", lanes_and_tables_agree_around_every_edge},
    {"every flipped bit is found", every_flipped_bit_is_found},
    {"zeros more or less are found", zeros_more_or_less_are_found},
    {"both ids and whole numbers are needed", both_ids_and_whole_numbers_are_needed},
    {"the first half of the id is hidden", the_first_half_of_the_id_is_hidden},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp tag", tests)
