#include "capture.h"

#include "base.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* --- Hex: an offset, sixteen bytes, their characters
 * ------------------------------------------------ */

enum { HEX_COLUMNS = 16 };

static void hex_begin(FILE *file) { (void)file; }

static void hex_line(FILE *file, char arrow, uint64_t offset, const uint8_t *data, size_t len)
{
    fprintf(file, "%c %08" PRIx64 " ", arrow, offset);
    for (size_t i = 0; i < HEX_COLUMNS; i++) {
        if (i < len)
            fprintf(file, " %02x", data[i]);
        else
            fputs("   ", file);
    }
    fputs("  ", file);
    for (size_t i = 0; i < len; i++)
        fputc(isprint(data[i]) ? data[i] : '.', file);
    fputc('\n', file);
}

static void hex_write(FILE *file, struct capture *c, uint64_t wall_us, enum capture_what what,
                      const uint8_t *data, size_t len)
{
    static const char *const words[] = {"opened", "bytes received", "bytes sent", "the peer's end",
                                        "this side's end"};
    uint64_t *offset = what == CAPTURE_IN ? &c->in : &c->out;

    fprintf(file, "# %" PRIu64 ".%06" PRIu64 " connection %u: ", wall_us / 1000000,
            wall_us % 1000000, c->connection);
    if (len > 0)
        fprintf(file, "%zu ", len);
    fprintf(file, "%s\n", words[what]);
    for (size_t at = 0; at < len; at += HEX_COLUMNS) {
        const size_t n = len - at < HEX_COLUMNS ? len - at : HEX_COLUMNS;

        hex_line(file, what == CAPTURE_IN ? '<' : '>', *offset + at, data + at, n);
    }
    if (len > 0)
        *offset += len;
}

/* --- pcapng (draft-ietf-opsawg-pcapng), blocks in the machine's byte order
 * ---------------------------- */

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 6,
    LINKTYPE_RAW = 101, /* an IP header comes first */
    IP_BYTES = 20,
    TCP_BYTES = 20,
    PIECE_MAX = 32 * 1024,
    TCP_FIN = 1,
    TCP_SYN = 2,
    TCP_PSH = 8,
    TCP_ACK = 16,
};

static void put32(FILE *file, uint32_t value) { fwrite(&value, sizeof value, 1, file); }
static void put16(FILE *file, uint16_t value) { fwrite(&value, sizeof value, 1, file); }

static void pcapng_begin(FILE *file)
{
    put32(file, BLOCK_SECTION);
    put32(file, 28);
    put32(file, 0x1a2b3c4d);
    put16(file, 1);
    put16(file, 0);
    put32(file, UINT32_MAX); /* the section's length is not known */
    put32(file, UINT32_MAX);
    put32(file, 28);

    put32(file, BLOCK_INTERFACE);
    put32(file, 20);
    put16(file, LINKTYPE_RAW);
    put16(file, 0);
    put32(file, 0); /* no snap length */
    put32(file, 20);
}

static uint16_t ip_checksum(const uint8_t *header)
{
    uint32_t sum = 0;

    for (int i = 0; i < IP_BYTES; i += 2)
        sum += stk_load_be16(header + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* RFC 791 and RFC 9293 headers: 10.0.0.1 is this side, 10.0.0.2 the peer. */
static void make_headers(uint8_t *out, const struct capture *c, bool incoming, uint8_t flags,
                         size_t len)
{
    const uint16_t near_port = (uint16_t)(10000 + c->connection % 50000), far_port = 1;
    const uint64_t seq = incoming ? c->in : c->out, ack = incoming ? c->out : c->in;
    uint8_t *tcp = out + IP_BYTES;

    memset(out, 0, IP_BYTES + TCP_BYTES);
    out[0] = 0x45;
    stk_store_be16(out + 2, (uint16_t)(IP_BYTES + TCP_BYTES + len));
    out[8] = 64;
    out[9] = 6;
    stk_store_be32(out + 12, incoming ? 0x0a000002 : 0x0a000001);
    stk_store_be32(out + 16, incoming ? 0x0a000001 : 0x0a000002);
    stk_store_be16(out + 10, ip_checksum(out));
    stk_store_be16(tcp, incoming ? far_port : near_port);
    stk_store_be16(tcp + 2, incoming ? near_port : far_port);
    stk_store_be32(tcp + 4, (uint32_t)seq + (flags & TCP_SYN ? 0 : 1));
    stk_store_be32(tcp + 8, (uint32_t)ack + 1);
    tcp[12] = TCP_BYTES / 4 << 4;
    tcp[13] = flags;
    stk_store_be16(tcp + 14, UINT16_MAX);
}

static void put_packet(FILE *file, const struct capture *c, uint64_t wall_us, bool incoming,
                       uint8_t flags, const uint8_t *data, size_t len)
{
    static const uint8_t zeros[4];
    uint8_t headers[IP_BYTES + TCP_BYTES];
    const uint32_t captured = (uint32_t)(sizeof headers + len);
    const uint32_t padding = (4 - captured % 4) % 4;
    const uint32_t total = 32 + captured + padding;

    make_headers(headers, c, incoming, flags, len);
    put32(file, BLOCK_PACKET);
    put32(file, total);
    put32(file, 0); /* the interface */
    put32(file, (uint32_t)(wall_us >> 32));
    put32(file, (uint32_t)wall_us);
    put32(file, captured);
    put32(file, captured);
    fwrite(headers, sizeof headers, 1, file);
    fwrite(data != NULL ? data : zeros, 1, len, file);
    fwrite(zeros, 1, padding, file);
    put32(file, total);
}

static void pcapng_write(FILE *file, struct capture *c, uint64_t wall_us, enum capture_what what,
                         const uint8_t *data, size_t len)
{
    const bool incoming = what == CAPTURE_IN || what == CAPTURE_IN_END;

    if (what == CAPTURE_OPEN) {
        put_packet(file, c, wall_us, false, TCP_SYN, NULL, 0);
        put_packet(file, c, wall_us, true, TCP_SYN | TCP_ACK, NULL, 0);
        return;
    }
    if (len == 0)
        put_packet(file, c, wall_us, incoming, TCP_FIN | TCP_ACK, NULL, 0);
    for (size_t at = 0; at < len; at += PIECE_MAX) {
        const size_t n = len - at < PIECE_MAX ? len - at : PIECE_MAX;

        put_packet(file, c, wall_us, incoming, TCP_PSH | TCP_ACK, data + at, n);
        *(incoming ? &c->in : &c->out) += n;
    }
}

/* --- The table
 * -------------------------------------------------------------------------------------------- */

static const struct capture_format formats[] = {
    {"hex", hex_begin, hex_write},
    {"pcapng", pcapng_begin, pcapng_write},
};

const struct capture_format *capture_format_find(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}
