/* p2pcat: netcat for people behind NATs. */
#include "app.h"

#include <getopt.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_all[] =
    "p2pcat moves bytes between any two programs on any two machines.\n"
    "\n"
    "  p2pcat listen > photo.jpg              wait for a peer; prints a ticket\n"
    "  p2pcat connect TICKET < photo.jpg      on the other machine\n"
    "\n"
    "  p2pcat listen --keep-open --exec 'cat /etc/motd'\n"
    "  p2pcat - /dns/example.org/tcp/443/tls\n"
    "  p2pcat listen:/ip4/127.0.0.1/tcp/8080 /ip4/192.0.2.7/udp/4001/seal,peer=KEY/ptcp\n"
    "  p2pcat http https://example.org/\n"
    "\n"
    "Commands:\n"
    "  id                 print this machine's peer key, made on first use\n"
    "  listen             wait for a peer on UDP and print a ticket\n"
    "  connect TICKET     connect to who printed the ticket\n"
    "  STACK STACK        join any two stacks; write listen: before one to wait on it\n"
    "  http URL-or-STACK  fetch a page over any stack\n"
    "  layers [NAME...]   list what can stand in a stack\n"
    "\n"
    "Options:\n"
    "  --identity FILE    key file (default: ~/.config/libstack/identity)\n"
    "  --ephemeral        use a key for this run only\n"
    "  --allow KEY        talk to this peer only; may be repeated (also --peer KEY)\n"
    "  --bind ADDRESS     listen on this address only     --port N   and on this UDP port\n"
    "  --ticket-file F    write the ticket there, or read it from there\n"
    "  --durable          outlive a day without a path, if the other side says so, too\n"
    "  --keep-open        serve many streams              --exec CMD  with a command each\n"
    "  --recv-only        send nothing of standard input\n"
    "  --timeout SECONDS  give up connecting after so long  --progress  for pipes, too\n"
    "  -o, --output FILE  write the page there (http)     -I, --head  fetch its head only\n"
    "  --stats            rate, RTT, loss, CPU at the end         --json  as JSON\n"
    "  -v, --verbose      say which stack and path is used      -q, --quiet\n"
    "  -h, --help         this text                             --version\n"
    "\n"
    "Data goes to standard output, talk to standard error. Exit codes: 0 done, 2 usage,\n"
    "3 not reachable, 4 not trusted, 5 connection lost, 6 local failure, 7 HTTP error.\n"
    "p2pcat(1) has all of it.\n";

enum long_only {
    OPT_IDENTITY = 256,
    OPT_EPHEMERAL,
    OPT_DURABLE,
    OPT_ALLOW,
    OPT_BIND,
    OPT_PORT,
    OPT_TICKET_FILE,
    OPT_KEEP_OPEN,
    OPT_EXEC,
    OPT_RECV_ONLY,
    OPT_TIMEOUT,
    OPT_STATS,
    OPT_JSON,
    OPT_PROGRESS,
    OPT_OUTPUT,
    OPT_HEAD,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"identity", required_argument, NULL, OPT_IDENTITY},
    {"ephemeral", no_argument, NULL, OPT_EPHEMERAL},
    {"durable", no_argument, NULL, OPT_DURABLE},
    {"allow", required_argument, NULL, OPT_ALLOW},
    {"peer", required_argument, NULL, OPT_ALLOW},
    {"bind", required_argument, NULL, OPT_BIND},
    {"port", required_argument, NULL, OPT_PORT},
    {"ticket-file", required_argument, NULL, OPT_TICKET_FILE},
    {"keep-open", no_argument, NULL, OPT_KEEP_OPEN},
    {"exec", required_argument, NULL, OPT_EXEC},
    {"recv-only", no_argument, NULL, OPT_RECV_ONLY},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"output", required_argument, NULL, OPT_OUTPUT},
    {"head", no_argument, NULL, OPT_HEAD},
    {"stats", no_argument, NULL, OPT_STATS},
    {"json", no_argument, NULL, OPT_JSON},
    {"progress", no_argument, NULL, OPT_PROGRESS},
    {"verbose", no_argument, NULL, 'v'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

/* --- Commands and their options ---------------------------------------------------------------
 */

#define BIT(option) (1u << ((option)-OPT_IDENTITY))

enum option_set {
    WITH_KEYS = BIT(OPT_IDENTITY) | BIT(OPT_EPHEMERAL),
    WITH_REPORT = BIT(OPT_STATS) | BIT(OPT_JSON) | BIT(OPT_PROGRESS),
    /* Refused by commands that know better words for it. */
    WITH_TICKETS = BIT(OPT_DURABLE) | BIT(OPT_ALLOW),
};

struct command {
    const char *name;
    int (*run)(const struct app_options *options, int count, char **words);
    unsigned takes; /* beside -v and -q */
};

static const struct command commands[] = {
    {"id", cmd_id, BIT(OPT_IDENTITY) | BIT(OPT_JSON)},
    {"listen", cmd_listen,
     WITH_KEYS | WITH_REPORT | WITH_TICKETS | BIT(OPT_BIND) | BIT(OPT_PORT) | BIT(OPT_TICKET_FILE) |
         BIT(OPT_KEEP_OPEN) | BIT(OPT_EXEC) | BIT(OPT_RECV_ONLY)},
    {"connect", cmd_connect,
     WITH_KEYS | WITH_REPORT | WITH_TICKETS | BIT(OPT_TICKET_FILE) | BIT(OPT_EXEC) |
         BIT(OPT_RECV_ONLY) | BIT(OPT_TIMEOUT)},
    {"http", cmd_http,
     WITH_KEYS | WITH_REPORT | WITH_TICKETS | BIT(OPT_TIMEOUT) | BIT(OPT_OUTPUT) | BIT(OPT_HEAD)},
    {"layers", cmd_layers, 0},
};

static const struct command two_stacks = {"two stacks", cmd_stacks,
                                          WITH_KEYS | WITH_REPORT | WITH_TICKETS |
                                              BIT(OPT_KEEP_OPEN) | BIT(OPT_RECV_ONLY) |
                                              BIT(OPT_TIMEOUT)};

/* --- Words ------------------------------------------------------------------------------------ */

static int usage_error(const char *what, const char *word)
{
    talk_error("%s \"%s\"", what, word);
    talk_hint("p2pcat --help shows how it is used");
    return EXIT_USAGE;
}

static int take_number(const char *name, const char *text, double min, double max, double *out)
{
    char *end;

    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !(*out >= min && *out <= max)) {
        talk_error("--%s %s: expected a number from %g to %g", name, text, min, max);
        return EXIT_USAGE;
    }
    return 0;
}

static int take_value(struct app_options *o, int option, const char *value)
{
    double number;
    int status = 0;

    switch (option) {
    case OPT_IDENTITY:
        o->identity = value;
        break;
    case OPT_ALLOW:
        if (o->allow_count == (int)(sizeof o->allow / sizeof *o->allow))
            return usage_error("too many keys:", value);
        o->allow[o->allow_count++] = value;
        break;
    case OPT_BIND:
        o->bind = value;
        break;
    case OPT_PORT:
        if ((status = take_number("port", value, 0, 65535, &number)) == 0 &&
            number != floor(number))
            return usage_error("--port takes a whole number, not", value);
        o->port = status == 0 ? (uint16_t)number : 0;
        break;
    case OPT_TICKET_FILE:
        o->ticket_file = value;
        break;
    case OPT_EXEC:
        o->exec = value;
        status = app_check_command(value);
        break;
    case OPT_TIMEOUT:
        if ((status = take_number("timeout", value, 0.001, 86400, &number)) == 0)
            o->timeout_us = (uint64_t)(number * 1e6);
        break;
    default: /* OPT_OUTPUT */
        o->output = value;
        break;
    }
    return status;
}

/* True if the option is a switch. */
static bool take_switch(struct app_options *o, int option)
{
    switch (option) {
    case OPT_EPHEMERAL:
        return o->ephemeral = true;
    case OPT_DURABLE:
        return o->durable = true;
    case OPT_KEEP_OPEN:
        return o->keep_open = true;
    case OPT_RECV_ONLY:
        return o->receive_only = true;
    case OPT_STATS:
        return o->stats = true;
    case OPT_JSON:
        return o->json = true;
    case OPT_PROGRESS:
        return o->progress = true;
    case OPT_HEAD:
        return o->head_only = true;
    case 'v':
        return o->verbose = true;
    case 'q':
        return o->quiet = true;
    default:
        return false;
    }
}

static int print_version(void)
{
    return printf("p2pcat (libstack) %s\n", PACKAGE_VERSION) >= 0 && fflush(stdout) == 0
               ? EXIT_DONE
               : EXIT_LOCAL;
}

static bool is_known(int option)
{
    for (const struct option *o = long_options; o->name != NULL; o++)
        if (o->val == option)
            return true;
    return false;
}

/* Short ones may stand behind one another in one word: only the letter tells which it was. */
static int refuse_option(int answer, const char *word)
{
    const char short_option[] = {'-', (char)optopt, '\0'};

    if (answer == ':')
        return usage_error("this option lacks its value:", word);
    if (optopt == 0)
        return usage_error("there is no option", word);
    if (is_known(optopt))
        return usage_error("this option takes no value:", word);
    return usage_error("there is no option", short_option);
}

/* Sets `*done` if the program ends here; `*given` tells which options there were. */
static int parse(struct app_options *o, int argc, char **argv, unsigned *given, bool *done)
{
    int option, status = 0;

    opterr = 0;
    while (status == 0 && (option = getopt_long(argc, argv, ":vqho:I", long_options, NULL)) != -1) {
        *done = option == 'h' || option == OPT_VERSION;
        if (option == 'h')
            return fputs(usage_all, stdout) >= 0 && fflush(stdout) == 0 ? EXIT_DONE : EXIT_LOCAL;
        if (option == OPT_VERSION)
            return print_version();
        if (option == '?' || option == ':')
            return refuse_option(option, argv[optind - 1]);
        if (option == 'o' || option == 'I')
            option = option == 'o' ? OPT_OUTPUT : OPT_HEAD;
        if (option >= OPT_IDENTITY)
            *given |= BIT(option);
        if (!take_switch(o, option))
            status = take_value(o, option, optarg);
    }
    return status;
}

/* An option that would change nothing is a mistake of somebody who expects something of it. */
static int check_options(const struct command *command, unsigned given)
{
    for (const struct option *o = long_options; o->name != NULL; o++)
        if (o->val >= OPT_IDENTITY && given & BIT(o->val) & ~command->takes) {
            talk_error("--%s means nothing to %s", o->name, command->name);
            talk_hint("p2pcat(1) tells what goes with what");
            return EXIT_USAGE;
        }
    return 0;
}

static int run_command(const struct command *command, const struct app_options *options,
                       unsigned given, int count, char **words)
{
    const int status = check_options(command, given);

    return status != 0 ? status : command->run(options, count, words);
}

static int run(const struct app_options *options, unsigned given, int count, char **words)
{
    if (count == 0) {
        fputs(usage_all, stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(words[0], commands[i].name) == 0)
            return run_command(&commands[i], options, given, count - 1, words + 1);
    if (count == 2 || strpbrk(words[0], "/:-") != NULL)
        return run_command(&two_stacks, options, given, count, words);
    return usage_error("there is no command", words[0]);
}

int main(int argc, char **argv)
{
    struct app_options options = {0};
    unsigned given = 0;
    bool done = false;

    talk_init(false, false);
    if (sodium_init() < 0) {
        talk_error("libsodium can't start");
        return EXIT_OTHER;
    }
    const int status = parse(&options, argc, argv, &given, &done);
    if (status != 0 || done)
        return status;
    talk_init(options.verbose, options.quiet);
    return run(&options, given, argc - optind, argv + optind);
}
