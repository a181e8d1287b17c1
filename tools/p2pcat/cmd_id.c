/* p2pcat id: this machine's peer key. */
#include "app.h"

#include <stdio.h>

int cmd_id(const struct app_options *options, int count, char **words)
{
    char buffer[4096], text[STK_KEY_TEXT_MAX];
    struct stk_key_pair pair;
    struct stk_error error;
    const char *path = app_identity_path(options, buffer, sizeof buffer);

    if (count > 0) {
        talk_error("id takes no argument, but \"%s\" was given", words[0]);
        return EXIT_USAGE;
    }
    if (path == NULL) {
        talk_error("there is no home directory to keep the key in");
        talk_hint("name a file: p2pcat id --identity FILE");
        return EXIT_LOCAL;
    }
    if (stk_identity_load(path, true, &pair, &error) < 0) {
        talk_error("%s", error.text);
        return EXIT_LOCAL;
    }
    stk_key_format(pair.public_key, text);
    stk_key_pair_wipe(&pair);
    if (options->json) {
        printf("{\"key\":\"%s\",\"identity\":", text);
        talk_json_text(stdout, path);
        printf("}\n");
    } else {
        printf("%s\n", text);
    }
    talk_verbose("identity file %s", path);
    if (fflush(stdout) != 0) {
        talk_error("standard output: can't write");
        return EXIT_LOCAL;
    }
    return EXIT_DONE;
}
