#include "app.h"

#include "transfer.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Stopping ----------------------------------------------------------------------------------
 */

static void stop_by(struct app *app, int code)
{
    if (app->stopping) { /* asked twice: at once */
        talk_progress_clear();
        _exit(code);
    }
    app->stopping = true;
    app->exit_code = code;
    if (app->stop != NULL)
        app->stop(app);
    transfer_abort_all(app);
    if (app->transfer_count == 0)
        app_quit(app);
}

static void on_interrupt(struct stk_signal *signal, int signo)
{
    (void)signo;
    stop_by(STK_CONTAINER(signal, struct app, interrupt), EXIT_INTERRUPTED);
}

static void on_terminate(struct stk_signal *signal, int signo)
{
    (void)signo;
    stop_by(STK_CONTAINER(signal, struct app, terminate), EXIT_TERMINATED);
}

/* --- Life ----------------------------------------------------------------------------------------
 */

/* What the library notices by the way: a log that can't be written; with -v what the system caps.
 */
static void on_log(void *context, enum stk_log_level level, const char *room, const char *text)
{
    (void)context;
    if (level <= STK_LOG_WARN)
        talk_info("p2pcat: %s: %s", room, text);
    else
        talk_verbose("%s: %s", room, text);
}

int app_init(struct app *app, const struct app_options *options)
{
    int status;

    memset(app, 0, sizeof *app);
    app->options = *options;
    stk_list_init(&app->transfers);
    signal(SIGPIPE, SIG_IGN);
    stk_log_hook(on_log, NULL, STK_LOG_INFO);
    status = stk_loop_new(NULL, &app->loop);
    if (status < 0) {
        const char *wanted = getenv("STK_REACTOR");

        talk_error("the event loop can't start: %s", stk_strerror(status));
        if (wanted != NULL && *wanted != '\0')
            talk_hint("STK_REACTOR is \"%s\"; unset it or use epoll, poll or select", wanted);
        return EXIT_OTHER;
    }
    stk_signal_start(&app->interrupt, app->loop, SIGINT, on_interrupt);
    stk_signal_start(&app->terminate, app->loop, SIGTERM, on_terminate);
    return 0;
}

int app_run(struct app *app)
{
    const int status = stk_loop_run(app->loop);

    /* The transport may have to repeat its last words: a peer that missed them would wait in vain.
     */
    stk_signal_stop(&app->interrupt);
    stk_signal_stop(&app->terminate);
    if (!app->stopping)
        stk_loop_drain(app->loop, app->last_words_us);
    talk_progress_clear();
    if (status < 0) {
        talk_error("the event loop failed: %s", stk_strerror(status));
        app_fail(app, EXIT_OTHER);
    }
    return app->exit_code;
}

void app_free(struct app *app)
{
    stk_signal_stop(&app->interrupt);
    stk_signal_stop(&app->terminate);
    stk_key_pair_wipe(&app->identity);
    /* A name server that does not answer must not hold up who has given up. */
    if (stk_loop_job_count(app->loop) > 0)
        _exit(app->exit_code);
    stk_loop_free(app->loop);
}

void app_fail(struct app *app, enum exit_code code)
{
    if (app->exit_code == EXIT_DONE)
        app->exit_code = (int)code;
}

void app_quit(struct app *app) { stk_loop_stop(app->loop); }

/* --- Identity
 * --------------------------------------------------------------------------------------- */

static const char *home_of_user(void)
{
    const char *home = getenv("HOME");

    if (home != NULL && *home == '/')
        return home;
    const struct passwd *user = getpwuid(getuid());
    return user != NULL && user->pw_dir[0] == '/' ? user->pw_dir : NULL;
}

const char *app_identity_path(const struct app_options *options, char *path, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME");

    if (options->identity != NULL)
        return options->identity;
    if (config != NULL && *config == '/') {
        snprintf(path, size, "%s/libstack/identity", config);
        return path;
    }
    const char *home = home_of_user();
    if (home == NULL)
        return NULL;
    snprintf(path, size, "%s/.config/libstack/identity", home);
    return path;
}

int app_load_identity(struct app *app)
{
    char buffer[4096];
    struct stk_error error = {0};
    const char *path = app_identity_path(&app->options, buffer, sizeof buffer);

    if (app->options.ephemeral || path == NULL) {
        if (!app->options.ephemeral)
            talk_verbose("no home directory: using a key for this run only");
        stk_key_pair_new(&app->identity);
    } else if (stk_identity_load(path, true, &app->identity, &error) < 0) {
        talk_error("%s", error.text);
        talk_hint(
            "give another file with --identity FILE, or use a key for this run only: --ephemeral");
        return EXIT_LOCAL;
    }
    if (stk_seal_set_identity(app->loop, &app->identity) < 0) {
        talk_error("out of memory");
        return EXIT_OTHER;
    }
    return 0;
}

/* --- Exit codes
 * ----------------------------------------------------------------------------------------- */

enum exit_code app_code_of(const struct stk_error *error, bool opened, bool local)
{
    switch (error->code) {
    case STK_ESYNTAX:
    case STK_ESTACK:
        return EXIT_USAGE;
    case STK_EPEER:
    case STK_ECERT:
        return EXIT_UNTRUSTED;
    case -ENOSPC:
    case -EIO:
    case -EDQUOT:
    case -EFBIG:
    case STK_EEXIT:
        return EXIT_LOCAL;
    default:
        return local ? EXIT_LOCAL : opened ? EXIT_LOST : EXIT_CONNECT;
    }
}

enum exit_code app_code_of_start(const struct stk_error *error)
{
    switch (error->code) {
    case -ENOENT:
    case -ENOTDIR:
    case -EISDIR:
        return EXIT_USAGE;
    default:
        return app_code_of(error, false, false);
    }
}

const char *app_durable_option(const struct app_options *options)
{
    return options->durable ? ",durable=24h" : "";
}

int app_refuse_for_stacks(const struct app_options *options)
{
    if (options->durable) {
        talk_error("--durable goes with listen, and with connect and a ticket");
        talk_hint("in a stack, write seal/ptcp,durable=24h on both sides");
        return EXIT_USAGE;
    }
    if (options->allow_count == 0)
        return 0;
    talk_error("--allow and --peer go with listen, and with connect and a ticket");
    talk_hint("in a stack, write seal,peer=KEY to connect and seal,allow=KEY to listen");
    return EXIT_USAGE;
}

int app_check_command(const char *command)
{
    enum { ROOM = STK_RECIPE_TEXT_MAX - sizeof "/process/" };
    const size_t size = 3 * strlen(command) + 4;
    char *encoded = stk_alloc(size);

    if (encoded == NULL) {
        talk_error("out of memory");
        return EXIT_OTHER;
    }
    const size_t len = strlen(stk_percent_encode(command, encoded, size));
    stk_free(encoded);
    if (len <= ROOM)
        return 0;
    talk_error("--exec: the command is too long (%zu bytes of %d, blanks and slashes count three)",
               len, (int)ROOM);
    talk_hint("write it into a script, and give that");
    return EXIT_USAGE;
}
