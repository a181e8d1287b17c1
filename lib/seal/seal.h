/*
 * Seal: authenticated encryption of datagrams between two known keys.
 *
 * An identity is an Ed25519 key pair; its public key, 52 characters of text, is what people
 * exchange. The layer "seal" stands on datagrams and offers datagrams:
 *
 *   /ip4/192.0.2.7/udp/4001/seal,peer=KEY/ptcp
 *
 * docs/seal.md specifies what goes over the wire.
 */
#ifndef STK_SEAL_SEAL_H
#define STK_SEAL_SEAL_H

#include "dgram.h"
#include "recipe.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    STK_KEY_BYTES = 32,    /* an Ed25519 public key */
    STK_KEY_TEXT_MAX = 53, /* its text, with the NUL */
};

struct stk_key_pair {
    uint8_t public_key[STK_KEY_BYTES];
    uint8_t seed[32]; /* the secret: an Ed25519 seed */
};

/* A fresh pair from the kernel's randomness. */
void stk_key_pair_new(struct stk_key_pair *pair);
void stk_key_pair_from_seed(struct stk_key_pair *pair, const uint8_t seed[32]);
void stk_key_pair_wipe(struct stk_key_pair *pair);

/* Lowercase letters and digits, nothing that a shell or a double click would split. Returns
 * `text`. */
const char *stk_key_format(const uint8_t key[STK_KEY_BYTES], char text[STK_KEY_TEXT_MAX]);
/* 0 or STK_ESYNTAX; the error's text (`error` may be NULL) says which character is wrong. */
int stk_key_parse(uint8_t key[STK_KEY_BYTES], const char *text, struct stk_error *error);

/*
 * Reads an identity file. With `create` a missing one is made, with its directories, readable by
 * its owner only; two processes that do so at once end with the same key. 0 or an error:
 * -ENOENT, -EACCES if others can read the file, STK_ESYNTAX if it is no identity, or what the
 * system says.
 */
int stk_identity_load(const char *path, bool create, struct stk_key_pair *pair,
                      struct stk_error *error);

/*
 * The identity of all sealed ports of this loop that name none themselves. It is not copied: it
 * must stay until the ports are open. NULL takes it back. 0 or -ENOMEM.
 */
int stk_seal_set_identity(struct stk_loop *loop, const struct stk_key_pair *pair);

/*
 * Counters of one sealed port: stk_port_query(port, STK_QUERY_SEAL_STATS, 0, …), and
 * stk_conn_query() of a connection on it. A snapshot; all but `associations` count from the opening
 * of the port and are never reset. The cipher of one association is STK_QUERY_CIPHER.
 */
enum { STK_QUERY_SEAL_STATS = 600 };

struct stk_seal_stats {
    uint64_t associations; /* now */
    uint64_t initiations_sent, initiations_received;
    uint64_t handshakes; /* completed, on either side */
    uint64_t refused;    /* initiations of keys that are not allowed */
    uint64_t cookies_sent, cookies_received;
    uint64_t replayed;  /* packets with a counter or a timestamp that was seen before */
    uint64_t forged;    /* packets that do not authenticate */
    uint64_t malformed; /* packets that are none of ours */
    uint64_t limited;   /* initiations dropped by a rate limit or because the table is full */
    uint64_t moved;     /* validated changes of a peer's address */
};

/* --- Paths ------------------------------------------------------------------------------------
 *
 * An association reaches its peer over one of several paths: a transport (the port's own socket
 * is 0, others are added), an address of the peer and, where that matters, a local address. NAT
 * traversal and relays offer paths; PTCP and its users notice nothing but a better or a worse way.
 * A path carries bytes once the peer has answered a challenge over it. A switch is made before
 * the old path is given up; both sides follow. docs/seal.md section 4 has the rules.
 *
 * Functions that take an association return -ENOENT where there is none of that id (any more), and
 * -ENOTSUP for a port without seal. Nothing is told from inside them.
 */
enum {
    STK_SEAL_TRANSPORTS_MAX = 7,                         /* beside the port's own */
    STK_SEAL_PATHS_OFFERED_MAX = 16,                     /* of one association */
    STK_SEAL_PATHS_MAX = STK_SEAL_PATHS_OFFERED_MAX + 5, /* with those that the peer opened */
};

/*
 * From now on, datagrams that `transport` receives go to the seal of `port`, and paths may lead
 * over it. Keeps a reference and becomes the user of `transport`, which may be any port of
 * datagrams: another socket, a relay. `number` (1 to STK_SEAL_TRANSPORTS_MAX) names it. 0,
 * STK_ELIMIT, -ENOMEM, -ENOTSUP.
 */
int stk_seal_add_transport(struct stk_port *port, struct stk_port *transport, uint8_t *number);
/*
 * Its paths end, whether they were chosen or not. Where one of them is in use, the association has
 * none until another is used.
 */
void stk_seal_remove_transport(struct stk_port *port, uint8_t number);

struct stk_seal_offer {
    uint8_t transport; /* 0: the port's own */
    const struct stk_addr *peer;
    const struct stk_addr *local; /* NULL: whatever the system takes */
};

/*
 * An association with the owner of `key` that begins over this path, whatever the port's own
 * peer= says. Retained once. 0, STK_EPEER where the key is none, STK_ELIMIT, -ENOMEM.
 */
int stk_seal_associate(struct stk_port *port, const uint8_t key[STK_KEY_BYTES],
                       const struct stk_seal_offer *offer, uint64_t *association);
/*
 * Knocks there at once (5 times in 8 s): VALIDATED or FAILED follows. A path that is known
 * already is asked again. Needs an association that is ready, else -ENOTCONN; else STK_ELIMIT,
 * -ENOMEM.
 */
int stk_seal_offer_path(struct stk_port *port, uint64_t association,
                        const struct stk_seal_offer *offer, uint32_t *path);
/* Asks again over a path: is it alive, how long does it take? VALIDATED or FAILED follows. */
int stk_seal_probe_path(struct stk_port *port, uint64_t association, uint32_t path);
/*
 * Switches at the end of the turn: IN_USE follows. The peer follows when it hears us there, so
 * only one side should choose. -ENOTCONN where the path has not been validated.
 */
int stk_seal_use_path(struct stk_port *port, uint64_t association, uint32_t path);
/*
 * Forgets it, at the end of the turn, unless it is offered again before. -EBUSY where it is in use
 * or chosen to be.
 */
int stk_seal_drop_path(struct stk_port *port, uint64_t association, uint32_t path);

struct stk_seal_path {
    uint32_t id;
    uint8_t transport;
    bool offered;   /* from this side; otherwise the peer opened it */
    bool validated; /* the peer has answered over it, and to the last question, too */
    bool in_use;
    struct stk_addr peer, local; /* local: len 0 where unknown */
    uint64_t rtt_us;             /* of the challenge that was answered first; 0: unknown */
    uint64_t heard_us;           /* on the loop's clock: when something last came over it */
};

/* Writes at most `max` and returns how many there are. */
int stk_seal_paths(struct stk_port *port, uint64_t association, struct stk_seal_path *paths,
                   int max);

enum stk_seal_path_event {
    STK_SEAL_PATH_VALIDATED,
    STK_SEAL_PATH_FAILED, /* no answer, or its transport is dead; it stays until it is dropped */
    STK_SEAL_PATH_IN_USE, /* by our choice, or following the peer */
};

/* Called in the loop's turn; everything here may be called from inside. */
typedef void stk_seal_path_fn(void *user, uint64_t association, const struct stk_seal_path *path,
                              enum stk_seal_path_event event);
/*
 * One watcher a port; NULL: none. 0 or -ENOTSUP. The port of a connection may be shared with others
 * of its loop (udp,share=no: it is not); with a watcher, or transports, it takes in no further one.
 */
int stk_seal_watch_paths(struct stk_port *port, stk_seal_path_fn *fn, void *user);

extern const struct stk_dgram_type stk_seal_layer;
/* What recipes know it by: "seal". */
extern const struct stk_layer_type stk_layer_seal;

#endif
