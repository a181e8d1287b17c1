/*
 * One run of p2pcat: its loop, what the command line asked for, and the code it will exit with.
 */
#ifndef P2PCAT_APP_H
#define P2PCAT_APP_H

#include "seal.h"
#include "stack.h"
#include "talk.h"

/* What most subcommands have in common. */
struct app_options {
    const char *identity; /* NULL: the default path */
    const char *exec;     /* a command instead of standard input and output */
    const char *ticket_file;
    const char *bind;      /* address to listen on */
    const char *output;    /* file instead of stdout */
    const char *allow[64]; /* keys that may talk */
    int allow_count;
    uint16_t port;
    uint64_t timeout_us; /* to connect */
    bool keep_open, ephemeral, receive_only, durable;
    bool stats, json, verbose, quiet, progress, head_only;
};

struct app {
    struct stk_loop *loop;
    struct app_options options;
    struct stk_key_pair identity;
    struct stk_node transfers; /* running ones */
    unsigned transfer_count;
    struct stk_signal interrupt, terminate;
    uint64_t last_words_us; /* how long a peer may still need to hear that it was heard */
    int exit_code;
    bool stopping;
    void (*stop)(struct app *app); /* a command's own part of stopping; may be NULL */
    void *command;
};

/* Makes the loop and takes over SIGINT and SIGTERM. 0, or an exit code after an error was told. */
int app_init(struct app *app, const struct app_options *options);
/* Runs until app_quit() or nothing is left; returns the exit code. */
int app_run(struct app *app);
/* Ends the program where a look-up is still under way. */
void app_free(struct app *app);
/* The first failure decides the exit code. */
void app_fail(struct app *app, enum exit_code code);
void app_quit(struct app *app);
/* Loads the identity, or makes one; 0 or an exit code. */
int app_load_identity(struct app *app);
/* "$XDG_CONFIG_HOME/libstack/identity" or "~/.config/…"; NULL if there is no home. */
const char *app_identity_path(const struct app_options *options, char *path, size_t size);
/* Which exit code an error means, when connecting or (`opened`) later. */
enum exit_code app_code_of(const struct stk_error *error, bool opened, bool local);
/* The same for what could not even begin: an address names a file that is not there, and the like.
 */
enum exit_code app_code_of_start(const struct stk_error *error);
/* --allow, --peer and --durable where they have no meaning: tells, and returns an exit code; else
 * 0. */
int app_refuse_for_stacks(const struct app_options *options);
/* A command that is too long for a stack's text must not be cut: tells, and returns an exit code;
 * else 0. */
int app_check_command(const char *command);
/* What --durable puts behind "ptcp". */
const char *app_durable_option(const struct app_options *options);

/* --- Subcommands: return the exit code */
int cmd_id(const struct app_options *options, int count, char **words);
int cmd_listen(const struct app_options *options, int count, char **words);
int cmd_connect(const struct app_options *options, int count, char **words);
int cmd_stacks(const struct app_options *options, int count, char **words);
int cmd_http(const struct app_options *options, int count, char **words);
int cmd_layers(const struct app_options *options, int count, char **words);

#endif
