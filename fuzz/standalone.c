/*
 * Runs a fuzz target without a fuzzer: over the files named on the command line, or else over
 * all of the target's corpus and the empty input.
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_MAX_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input lies in a block of just its size, so that sanitizers see a read behind it. */
static int replay(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "rb");

    if (!file || fstat(fileno(file), &status) != 0 || status.st_size > INPUT_MAX_BYTES) {
        fprintf(stderr, "%s: can't be read, or is too large\n", path);
        if (file)
            fclose(file);
        return -1;
    }
    const size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size ? size : 1);
    const int ok = data && fread(data, 1, size, file) == size;

    fclose(file);
    if (ok)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    return ok ? 0 : -1;
}

static int replay_directory(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    int count = 0;

    if (!dir)
        return 0;
    while (count >= 0 && (entry = readdir(dir)) != NULL) {
        char path[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= (int)sizeof(path) ||
            replay(path) != 0)
            count = -1;
        else
            count++;
    }
    closedir(dir);
    return count;
}

static int replay_corpus(const char *program)
{
    const char *top = getenv("top_srcdir");
    const char *slash = strrchr(program, '/');
    char directory[PATH_MAX];

    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    if (snprintf(directory, sizeof(directory), "%s/fuzz/corpus/%s", top ? top : ".",
                 slash ? slash + 1 : program) >= (int)sizeof(directory))
        return -1;
    const int count = replay_directory(directory);
    printf("%d inputs from %s\n", count, directory);
    return count < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return replay_corpus(argv[0]) == 0 ? 0 : 1;
    for (int i = 1; i < argc; i++) {
        if (replay(argv[i]) != 0)
            return 1;
    }
    return 0;
}
