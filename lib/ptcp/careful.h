/*
 * Careful resume (RFC 9959): a path that is like one before it begins at half of what that one
 * bore, and goes back at once if that is too much. docs/ptcp.md section 7 has the table of phases.
 *
 * Packets count by when they were sent, as several connections may share the path.
 */
#ifndef STK_PTCP_CAREFUL_H
#define STK_PTCP_CAREFUL_H

#include "cc.h"
#include "history.h"

struct ptcp_path;

enum {
    PTCP_CAREFUL_JUMP_DIVISOR = 2, /* so much of what the path bore (RFC 9959 section 4.3) */
    PTCP_CAREFUL_RTT_FACTOR = 2,   /* an RTT beyond that, either way: it is another path */
    PTCP_CAREFUL_LATE = 2,         /* packets of the initial window whose ACK may be held back */
    PTCP_CAREFUL_LOSSES = 6,       /* packets; fewer are never too many for one that bears loss */
};

enum ptcp_careful_phase {
    PTCP_CAREFUL_NORMAL,
    PTCP_CAREFUL_RECONNAISSANCE,
    PTCP_CAREFUL_UNVALIDATED,
    PTCP_CAREFUL_VALIDATING,
    PTCP_CAREFUL_RETREAT,
    PTCP_CAREFUL_COUNT,
};

struct ptcp_careful {
    struct ptcp_memory memory;  /* what was recalled; `who` is the path itself, once it is known */
    uint64_t first_us, last_us; /* when the first and the last unvalidated packet left */
    uint64_t pipe_bytes;   /* of the initial window, to be acknowledged; later: the path bore */
    uint64_t window_bytes; /* Validating: the least window */
    uint64_t lost_bytes;   /* of unvalidated packets */
    uint8_t phase;         /* enum ptcp_careful_phase */
    bool asked;            /* the history was, or there is none */
    bool off;              /* the user wants none of it */
    bool borrowed;         /* the memory is of a path before this one, not yet of this one, too */
};

/* Of a path of which nothing is known, but for its initial window. */
void ptcp_careful_init(struct ptcp_path *path, bool off);
/* The history knows the path: this is what it was like. */
void ptcp_careful_begin(struct ptcp_path *path, const struct ptcp_memory *memory);
/* The association leaves the path: of a jump, only what has arrived may be tried again. */
void ptcp_careful_break_off(struct ptcp_careful *careful);
/* After the controller has seen the ACK. */
void ptcp_careful_acked(struct ptcp_path *path, const struct ptcp_ack_sample *ack);
/* After the controller has seen the losses; `newest_us` is when the last of them was sent. */
void ptcp_careful_lost(struct ptcp_path *path, uint64_t now_us, uint64_t bytes, uint64_t newest_us);
/* The ACK tells of new CE marks. */
void ptcp_careful_marked(struct ptcp_path *path, uint64_t now_us);
/* The pace, with `rate` (bytes/s) the controller's. */
uint64_t ptcp_careful_rate(const struct ptcp_path *path, uint64_t rate);
/* What is to be remembered of the path; false: nothing. */
bool ptcp_careful_remember(const struct ptcp_path *path, uint64_t now_us,
                           struct ptcp_memory *memory);

#endif
