/*
 * The wire format. One datagram is one packet; docs/ptcp.md has the same tables in prose.
 *
 *  Long header (the others)                Short header (DATA, STREAM)
 *   0  1 type                               0  1 type
 *   1  1 version                            1  8 destination id
 *   2  8 destination id (0 in a SYN)        9  3 packet number, low 24 bits
 *  10  8 source id                         12    DATA: frames
 *  18  4 packet number, low 32 bits        12  4 STREAM: stream offset, low 32 bits
 *  22    frames                            16    STREAM: bytes of the stream, to the end
 *        8 tag, in plain mode
 *
 * Type + 08 with a short header: the packet, if it is ack-eliciting, is to be acknowledged at once.
 * In plain mode a short header's tag of 4 bytes is XORed to the first 4 of the destination id.
 *
 * All numbers are big-endian; "v" is a variable-length integer (RFC 9000 section 16).
 *
 *  frame            type  fields
 *  PADDING          00
 *  PING             01
 *  ACK              02    v largest, v delay_us, v more, v first, more * (v gap, v length)
 *  ACK_ECN          03    as ACK, then v ect0, v ect1, v ce
 *  RESET            04    v code
 *  MAX_DATA         05    v stream offset that may not be exceeded (0d: needs no ACK)
 *  DATA_BLOCKED     06    v stream offset at which the sender is stopped
 *  PATH_CHALLENGE   07    8 bytes
 *  PATH_RESPONSE    08    8 bytes
 *  ACK_FREQUENCY    09    v sequence, v packets, v delay_us
 *  PARAMS           0a    v length, then (1 id, v value) ...
 *  COOKIE           0b    v length, bytes
 *  TOKEN            0c    v first, v second half
 *  STREAM           10    v offset, bytes to the end of the packet; +1: FIN follows them
 *  STREAM, length   12    v offset, v length, bytes;                +1: FIN follows them
 */
#ifndef STK_PTCP_PACKET_H
#define STK_PTCP_PACKET_H

#include "bytes.h"
#include "ranges.h"

enum ptcp_packet_type {
    PTCP_SYN = 0xd0,
    PTCP_SYN_ACK = 0xd1,
    PTCP_RETRY = 0xd2,
    PTCP_REFUSE = 0xd3,
    PTCP_DATA = 0xd4,
    PTCP_RESUME = 0xd5,
    PTCP_STREAM = 0xd6, /* + PTCP_STREAM_FIN; a DATA packet of one STREAM frame, told shorter */
};
enum { PTCP_ASKS = 0x08 }; /* added to types with short headers: for an ACK at once */

enum ptcp_frame_type {
    PTCP_FRAME_PADDING = 0x00,
    PTCP_FRAME_PING = 0x01,
    PTCP_FRAME_ACK = 0x02,
    PTCP_FRAME_ACK_ECN = 0x03,
    PTCP_FRAME_RESET = 0x04,
    PTCP_FRAME_MAX_DATA = 0x05,
    PTCP_FRAME_DATA_BLOCKED = 0x06,
    PTCP_FRAME_PATH_CHALLENGE = 0x07,
    PTCP_FRAME_PATH_RESPONSE = 0x08,
    PTCP_FRAME_ACK_FREQUENCY = 0x09,
    PTCP_FRAME_PARAMS = 0x0a,
    PTCP_FRAME_COOKIE = 0x0b,
    PTCP_FRAME_TOKEN = 0x0c,
    PTCP_FRAME_MAX_DATA_QUIET = 0x0d,
    PTCP_FRAME_STREAM = 0x10,
};

enum {
    PTCP_STREAM_FIN = 1,
    PTCP_STREAM_LENGTH = 2,
};

enum {
    PTCP_VERSION = 1,
    PTCP_LONG_HEADER_BYTES = 22,
    PTCP_SHORT_HEADER_BYTES = 12,
    PTCP_SHORT_ID_AT = 1,
    PTCP_SHORT_ID_LOW_AT = 5, /* what no tag hides */
    PTCP_SHORT_NUMBER_AT = 9,
    PTCP_STREAM_HEADER_BYTES = 16, /* of a STREAM packet */
    PTCP_TAG_BYTES = 8,            /* of a long header's packet, behind it */
    PTCP_ACK_RANGES_MAX = 64,      /* in one ACK frame, sent or received */
    PTCP_STREAM_FRAMES_MAX = 16,   /* in one packet */
    PTCP_COOKIE_MAX_BYTES = 64,
};

enum { PTCP_LONG_NUMBER_BITS = 32, PTCP_SHORT_NUMBER_BITS = 24, PTCP_OFFSET_BITS = 32 };

_Static_assert(PTCP_LONG_HEADER_BYTES == 1 + 1 + 8 + 8 + 4, "long header layout");
_Static_assert(PTCP_SHORT_HEADER_BYTES == 1 + 8 + 3, "short header layout");
_Static_assert(PTCP_STREAM_HEADER_BYTES == PTCP_SHORT_HEADER_BYTES + 4, "STREAM header layout");

/* Stream offsets and packet numbers stay below this, so that every sum fits. */
#define PTCP_NUMBER_MAX (UINT64_C(1) << 62)

/* Codes of RESET frames. Users' own codes are PTCP_RESET_USER and above. */
enum ptcp_reset_code {
    PTCP_RESET_CANCELLED = 0, /* the user aborted, or left with data unread */
    PTCP_RESET_PROTOCOL = 1,  /* the other side broke a rule of the specification */
    PTCP_RESET_REFUSED = 2,   /* nobody listens, or the backlog is full */
    PTCP_RESET_TIMEOUT = 3,   /* a time-out of the sender of this frame */
    PTCP_RESET_RESOURCES = 4, /* no memory */
    PTCP_RESET_UNKNOWN = 5,   /* no connection for that token and key */
    PTCP_RESET_USER = 0x100,
};

struct ptcp_header {
    uint8_t type;         /* DATA for STREAM packets, too */
    bool stream, fin;     /* it is a STREAM packet; of which the stream's end comes behind it */
    bool asks;            /* short headers: for an ACK at once */
    uint64_t destination; /* of DATA in plain mode: its last 32 bits, under the tag the others */
    uint64_t source;      /* 0 in DATA, where it is not on the wire */
    uint64_t packet;      /* low bits count: PTCP_LONG_NUMBER_BITS, PTCP_SHORT_NUMBER_BITS */
    uint64_t offset;      /* of a STREAM packet; PTCP_OFFSET_BITS */
};

/* What a packet holds behind its header: frames to read, or the one that a STREAM packet is. */
struct ptcp_frames {
    struct stk_reader reader;
    bool stream, fin;
    uint64_t offset; /* of the STREAM packet: the low bits, until it is placed */
};

/* What each side tells in its SYN or SYN_ACK. Ids on the wire, in this order. */
struct ptcp_params {
    uint64_t window;           /* 1: initial MAX_DATA */
    uint64_t max_ack_delay_us; /* 2: it holds ACKs back no longer than this */
    uint64_t max_datagram;     /* 3: the largest packet that it takes */
    uint64_t ack_packets;      /* 4: wishes an ACK for each so many packets */
    uint64_t idle_timeout_us;  /* 5: 0: none; the lower of both sides' counts */
    uint64_t durable_us;       /* 6: 0: not durable; the lower of both sides' counts */
    uint64_t token[2];         /* 7, 8: the listener's, with 6 */
};

struct ptcp_ack {
    uint64_t delay_us;
    uint64_t ecn[3]; /* ect0, ect1, ce */
    bool has_ecn;
    uint32_t count;                               /* >= 1 */
    struct ptcp_range range[PTCP_ACK_RANGES_MAX]; /* descending */
};

struct ptcp_frame {
    uint8_t type; /* STREAM frames: PTCP_FRAME_STREAM, the bits are in `fin` */
    bool fin;
    uint64_t value;  /* RESET, MAX_DATA, DATA_BLOCKED, STREAM offset, challenge, sequence */
    uint64_t second; /* ACK_FREQUENCY: packets */
    uint64_t third;  /* ACK_FREQUENCY: delay_us */
    const uint8_t *data;
    size_t len;
    struct ptcp_params params;
};

/* A datagram; `plain`: in plain mode. 0 or -EBADMSG. */
int ptcp_packet_read(const uint8_t *bytes, size_t size, bool plain, struct ptcp_header *header,
                     struct ptcp_frames *frames);
/* Of a packet with a short header; 0: its type has another. */
static inline size_t ptcp_short_header_bytes(uint8_t type)
{
    const unsigned kind = type & ~(unsigned)PTCP_ASKS;

    if (kind == PTCP_DATA)
        return PTCP_SHORT_HEADER_BYTES;
    return (kind & ~(unsigned)PTCP_STREAM_FIN) == PTCP_STREAM ? PTCP_STREAM_HEADER_BYTES : 0;
}
void ptcp_header_write(struct stk_writer *writer, const struct ptcp_header *header);

/* The packet number that a header means. */
uint64_t ptcp_packet_number(const struct ptcp_header *header, uint64_t expected);
/* The offset of which `low` are the low bits. Next in the stream is the byte at `expected`. */
static inline uint64_t ptcp_stream_offset(uint64_t low, uint64_t expected)
{
    return stk_number_near(low, PTCP_OFFSET_BITS, expected, PTCP_NUMBER_MAX);
}
/* Before the frames are read. */
static inline void ptcp_frames_place(struct ptcp_frames *frames, uint64_t expected)
{
    frames->offset = ptcp_stream_offset(frames->offset, expected);
}
/* Frames only. */
static inline struct ptcp_frames ptcp_frames_of(const void *bytes, size_t len)
{
    return (struct ptcp_frames){.reader = stk_reader_of(bytes, len)};
}

/* 1: a frame was read (ACKs into `ack`), 0: the packet ends here, -EBADMSG: malformed. */
int ptcp_frame_read(struct ptcp_frames *frames, struct ptcp_frame *frame, struct ptcp_ack *ack);

/* Writes as many of the newest intervals as fit, and returns how many; 0: nothing is written. */
uint32_t ptcp_ack_write(struct stk_writer *writer, const struct ptcp_ranges *received,
                        uint64_t delay_us, const uint64_t ecn[3]);
void ptcp_value_write(struct stk_writer *writer, enum ptcp_frame_type type, uint64_t value);
void ptcp_params_write(struct stk_writer *writer, const struct ptcp_params *params);
void ptcp_token_write(struct stk_writer *writer, const uint64_t token[2]);
void ptcp_cookie_write(struct stk_writer *writer, const uint8_t *cookie, size_t len);
void ptcp_ack_frequency_write(struct stk_writer *writer, uint64_t sequence, uint64_t packets,
                              uint64_t delay_us);
void ptcp_path_write(struct stk_writer *writer, enum ptcp_frame_type type, uint64_t challenge);
/* The header of a STREAM frame whose `len` bytes follow; `last`: it ends the packet. */
void ptcp_stream_write(struct stk_writer *writer, uint64_t offset, size_t len, bool fin, bool last);

/* Does a frame of this type have to be acknowledged? */
static inline bool ptcp_frame_elicits(uint8_t type)
{
    return type != PTCP_FRAME_PADDING && type != PTCP_FRAME_ACK && type != PTCP_FRAME_ACK_ECN &&
           type != PTCP_FRAME_RESET && type != PTCP_FRAME_MAX_DATA_QUIET;
}

#endif
