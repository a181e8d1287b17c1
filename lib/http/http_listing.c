#include "http_file.h"

#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 4096,
    NAME_BYTES_MAX = 255, /* some file systems allow more: those names are left out */
    ENTRY_BYTES_MAX = 3 * NAME_BYTES_MAX + 6 * NAME_BYTES_MAX + 64, /* encoded twice */
    PAGE_FRAME_MAX = 2 * 6 * HTTP_PATH_MAX + 512,
};

struct page {
    char *text;
    size_t len;
};

static void add(struct page *page, const char *text)
{
    const size_t len = strlen(text);

    memcpy(page->text + page->len, text, len + 1);
    page->len += len;
}

static void add_escaped(struct page *page, const char *text)
{
    char one[2] = "";

    for (; *text != '\0'; text++) {
        one[0] = *text;
        add(page, *text == '<'    ? "&lt;"
                  : *text == '>'  ? "&gt;"
                  : *text == '&'  ? "&amp;"
                  : *text == '"'  ? "&quot;"
                  : *text == '\'' ? "&#39;"
                                  : one);
    }
}

static void add_encoded(struct page *page, const char *text)
{
    char one[4];

    for (; *text != '\0'; text++) {
        const bool plain = isalnum((unsigned char)*text) || strchr("-._~", *text) != NULL;

        snprintf(one, sizeof one, plain ? "%c" : "%%%02X", (unsigned char)*text);
        add(page, one);
    }
}

static void add_entry(struct page *page, const char *name, bool is_directory)
{
    /* "./" keeps a name with a colon from being taken for a scheme. */
    add(page, "<li><a href=\"./");
    add_encoded(page, name);
    add(page, is_directory ? "/\">" : "\">");
    add_escaped(page, name);
    add(page, is_directory ? "/</a>\n" : "</a>\n");
}

static int by_name(const void *a, const void *b)
{
    const struct dirent *const *x = a, *const *y = b;

    return strcmp((*x)->d_name, (*y)->d_name);
}

static bool is_directory(int fd, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

static char *make_page(const char *path, int fd, struct dirent **entries, size_t count, size_t *len)
{
    struct page page = {.text = stk_alloc(PAGE_FRAME_MAX + count * ENTRY_BYTES_MAX)};

    if (page.text == NULL)
        return NULL;
    add(&page, "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/");
    add_escaped(&page, path);
    add(&page, "</title>\n<h1>/");
    add_escaped(&page, path);
    add(&page, "</h1>\n<ul>\n");
    if (path[0] != '\0')
        add(&page, "<li><a href=\"../\">../</a>\n");
    for (size_t i = 0; i < count; i++)
        add_entry(&page, entries[i]->d_name, is_directory(fd, entries[i]));
    add(&page, count == ENTRIES_MAX ? "</ul>\n<p>and more\n" : "</ul>\n");
    *len = page.len;
    return page.text;
}

static size_t read_entries(DIR *directory, struct dirent **entries)
{
    const struct dirent *entry;
    size_t count = 0;

    while (count < ENTRIES_MAX && (entry = readdir(directory)) != NULL) {
        const size_t size = offsetof(struct dirent, d_name) + strlen(entry->d_name) + 1;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strlen(entry->d_name) > NAME_BYTES_MAX)
            continue;
        if ((entries[count] = stk_alloc(size)) == NULL)
            break;
        memcpy(entries[count++], entry, size);
    }
    return count;
}

char *http_listing_new(int fd, const char *path, size_t *len)
{
    DIR *directory = fdopendir(fd);
    struct dirent **entries = stk_alloc(ENTRIES_MAX * sizeof *entries);
    char *page = NULL;

    if (directory != NULL && entries != NULL) {
        const size_t count = read_entries(directory, entries);

        qsort(entries, count, sizeof *entries, by_name);
        page = make_page(path, fd, entries, count, len);
        for (size_t i = 0; i < count; i++)
            stk_free(entries[i]);
    }
    stk_free(entries);
    if (directory != NULL)
        closedir(directory);
    else
        stk_sys.close(fd);
    return page;
}
