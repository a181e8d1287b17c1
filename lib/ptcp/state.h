/*
 * The states of a connection, which moves are allowed, and which packets each state takes.
 */
#ifndef STK_PTCP_STATE_H
#define STK_PTCP_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum ptcp_state {
    PTCP_STATE_CLOSED, /* over; only its user's handle remains */
    PTCP_STATE_SYN_SENT,
    PTCP_STATE_SYN_RECEIVED,
    PTCP_STATE_ESTABLISHED,
    PTCP_STATE_FIN_WAIT_1, /* the user finished; FIN is not acknowledged */
    PTCP_STATE_FIN_WAIT_2, /* FIN is acknowledged; the peer still sends */
    PTCP_STATE_CLOSE_WAIT, /* the peer finished; the user still sends */
    PTCP_STATE_CLOSING,    /* both finished, the user first; FIN is not acknowledged */
    PTCP_STATE_LAST_ACK,   /* both finished, the peer first; FIN is not acknowledged */
    PTCP_STATE_TIME_WAIT,  /* all is done; the last ACK may have to be repeated */
    PTCP_STATE_COUNT,
};

/* What moves a connection between open and TIME_WAIT. */
enum ptcp_state_event {
    PTCP_EVENT_FINISH,    /* the user has no more bytes */
    PTCP_EVENT_FIN,       /* the peer's FIN and all before it arrived */
    PTCP_EVENT_FIN_ACKED, /* our FIN and all before it was acknowledged */
    PTCP_EVENT_COUNT,
};

const char *ptcp_state_name(enum ptcp_state state);
bool ptcp_state_may_move(enum ptcp_state from, enum ptcp_state to);
/* The state after the event; the same state where it changes nothing. */
enum ptcp_state ptcp_state_after(enum ptcp_state state, enum ptcp_state_event event);
/* Does a connection in this state look at packets of this type (enum ptcp_packet_type)? */
bool ptcp_state_takes(enum ptcp_state state, uint8_t packet_type);
/* The handshake is not done. */
bool ptcp_state_is_opening(enum ptcp_state state);
/* The handshake is done and the connection lives. */
bool ptcp_state_is_open(enum ptcp_state state);

#endif
