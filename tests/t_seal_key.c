/* Goal: keys survive being written and read, errors say what is wrong, files keep secrets. */
#include "seal.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char directory[64];

static void path_of(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", directory, name);
}

static void text_and_key_are_one_to_one(void)
{
    struct stk_key_pair pair;
    char text[STK_KEY_TEXT_MAX];
    uint8_t key[STK_KEY_BYTES];

    for (int i = 0; i < 200; i++) {
        stk_key_pair_new(&pair);
        stk_key_format(pair.public_key, text);
        CU_ASSERT_EQUAL(strlen(text), 52);
        CU_ASSERT_EQUAL(strspn(text, "abcdefghijklmnopqrstuvwxyz234567"), 52);
        CU_ASSERT_EQUAL(stk_key_parse(key, text, NULL), 0);
        CU_ASSERT_EQUAL(memcmp(key, pair.public_key, sizeof(key)), 0);
    }
    for (char *c = text; *c; c++)
        if (*c >= 'a')
            *c = (char)(*c - 'a' + 'A');
    CU_ASSERT_EQUAL(stk_key_parse(key, text, NULL), 0); /* capitals are the same key */
}

static void the_text_of_a_known_key_never_changes(void)
{
    const uint8_t seed[32] = {0};
    struct stk_key_pair pair;
    char text[STK_KEY_TEXT_MAX];

    stk_key_pair_from_seed(&pair, seed);
    stk_key_format(pair.public_key, text);
    CU_ASSERT_EQUAL(memcmp(pair.public_key, "\x3b\x6a\x27\xbc\xce\xb6\xa4\x2d", 8), 0);
    CU_ASSERT_EQUAL(strncmp(text, "hnvcppgow2sc2", 13), 0);
}

static void errors_say_what_is_wrong(void)
{
    struct stk_key_pair pair;
    char text[STK_KEY_TEXT_MAX + 8];
    struct stk_error error = {0};
    uint8_t key[STK_KEY_BYTES];

    stk_key_pair_new(&pair);
    stk_key_format(pair.public_key, text);
    text[16] = '0';
    CU_ASSERT_EQUAL(stk_key_parse(key, text, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "character 17"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "'0'"));
    text[16] = '\n';
    CU_ASSERT_EQUAL(stk_key_parse(key, text, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "pasted whole"));
    stk_key_format(pair.public_key, text);
    text[40] = '\0';
    CU_ASSERT_EQUAL(stk_key_parse(key, text, &error), STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "40 characters"));
    CU_ASSERT_EQUAL(stk_key_parse(key, "", &error), STK_ESYNTAX);
}

static void nearly_every_typing_error_is_noticed(void)
{
    struct stk_key_pair pair;
    char text[STK_KEY_TEXT_MAX];
    uint8_t key[STK_KEY_BYTES];
    const uint8_t seed[32] = {77};
    int passed = 0, tried = 0;

    stk_key_pair_from_seed(&pair, seed);
    for (int at = 0; at < 52; at++)
        for (const char *c = "abcdefghijklmnopqrstuvwxyz234567"; *c; c++) {
            stk_key_format(pair.public_key, text);
            if (text[at] == *c)
                continue;
            text[at] = *c;
            tried++;
            passed += stk_key_parse(key, text, NULL) == 0;
        }
    CU_ASSERT_TRUE(passed * 16 < tried); /* one in 32 is what four bits and the curve leave */
}

static void a_key_of_low_order_is_no_key(void)
{
    uint8_t key[STK_KEY_BYTES] = {1}, out[STK_KEY_BYTES]; /* the neutral element */
    char text[STK_KEY_TEXT_MAX];

    CU_ASSERT_EQUAL(stk_key_parse(out, stk_key_format(key, text), NULL), STK_ESYNTAX);
}

/* --- Files ----------------------------------------------------------------------------------- */

static void an_identity_is_made_once_and_kept(void)
{
    struct stk_key_pair first, again;
    struct stk_error error = {0};
    struct stat st;
    char path[256];

    path_of(path, "deep/down/identity");
    CU_ASSERT_EQUAL(stk_identity_load(path, false, &first, &error), -ENOENT);
    CU_ASSERT_EQUAL(stk_identity_load(path, true, &first, &error), 0);
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
    CU_ASSERT_EQUAL(st.st_nlink, 1); /* no copy of the secret lies about */
    CU_ASSERT_EQUAL(stk_identity_load(path, true, &again, &error), 0);
    CU_ASSERT_EQUAL(memcmp(&first, &again, sizeof(first)), 0);
}

static void a_file_that_others_can_read_is_refused(void)
{
    struct stk_key_pair pair;
    struct stk_error error = {0};
    char path[256];

    path_of(path, "open");
    CU_ASSERT_EQUAL(stk_identity_load(path, true, &pair, &error), 0);
    for (int bit = 0; bit < 6; bit++) {
        chmod(path, (mode_t)(0600 | 1 << bit));
        CU_ASSERT_EQUAL(stk_identity_load(path, true, &pair, &error), -EACCES);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "chmod 600"));
    chmod(path, 0400);
    CU_ASSERT_EQUAL(stk_identity_load(path, true, &pair, &error), 0);
}

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    fputs(text, out);
    fclose(out);
    chmod(path, 0600);
}

static void files_that_are_no_identity_are_refused_and_left_alone(void)
{
    static const char *const texts[] = {
        "",
        "#",
        "# only\n# comments",
        "secret",
        "secret 12\n",
        "secret zz\n",
        "\0",
        "secret 00112233445566778899aabbccddeeff00112233445566778899aabbccddee\n",
        "secret 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00\n"};
    struct stk_key_pair pair;
    struct stk_error error = {0};
    char path[256], back[256] = "";

    path_of(path, "broken");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_text(path, texts[i]);
        CU_ASSERT_EQUAL(stk_identity_load(path, true, &pair, &error), STK_ESYNTAX);
        FILE *in = fopen(path, "r");
        const size_t len = fread(back, 1, sizeof(back) - 1, in);
        fclose(in);
        CU_ASSERT_EQUAL(len, strlen(texts[i]));
    }
    CU_ASSERT_EQUAL(stk_identity_load(directory, true, &pair, &error), STK_ESYNTAX);
    write_text(path, "# x\nsecret 00112233445566778899aabbccddeeff"
                     "00112233445566778899aabbccddeeff");
    CU_ASSERT_EQUAL(stk_identity_load(path, false, &pair, &error), 0);
    CU_ASSERT_EQUAL(pair.seed[1], 0x11);
}

static void two_processes_that_make_it_at_once_get_one_key(void)
{
    struct stk_key_pair pairs[2];
    struct stk_error error = {0};
    char path[256];

    for (int round = 0; round < 20; round++) {
        int ends[2];
        char name[32];
        snprintf(name, sizeof(name), "race%d", round);
        path_of(path, name);
        CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
        const pid_t child = fork();
        if (child == 0) {
            const int code = stk_identity_load(path, true, &pairs[0], NULL);
            const ssize_t n = write(ends[1], &pairs[0], sizeof(pairs[0]));
            _exit(code || n != sizeof(pairs[0]));
        }
        CU_ASSERT_EQUAL(stk_identity_load(path, true, &pairs[1], &error), 0);
        CU_ASSERT_EQUAL(read(ends[0], &pairs[0], sizeof(pairs[0])), sizeof(pairs[0]));
        CU_ASSERT_EQUAL(memcmp(&pairs[0], &pairs[1], sizeof(pairs[0])), 0);
        waitpid(child, NULL, 0);
        close(ends[0]);
        close(ends[1]);
    }
}

static int remove_directory(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"text and key are one to one", text_and_key_are_one_to_one},
        {"the text of a known key never changes", the_text_of_a_known_key_never_changes},
        {"errors say what is wrong", errors_say_what_is_wrong},
        {"nearly every typing error is noticed", nearly_every_typing_error_is_noticed},
        {"a key of low order is no key", a_key_of_low_order_is_no_key},
        {"an identity is made once and kept", an_identity_is_made_once_and_kept},
        {"a file that others can read is refused", a_file_that_others_can_read_is_refused},
        {"files that are no identity are refused and left alone",
         files_that_are_no_identity_are_refused_and_left_alone},
        {"two processes that make it at once get one key",
         two_processes_that_make_it_at_once_get_one_key},
        CU_TEST_INFO_NULL,
    };

    strcpy(directory, "/tmp/t_seal_key.XXXXXX");
    if (sodium_init() < 0 || !mkdtemp(directory))
        return 99;
    const int result = stk_test_run("seal key", tests, STK_TEST_LIMIT_S);
    return remove_directory() || result;
}
