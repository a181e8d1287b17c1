/* A certificate for a few minutes: examples need one, and nobody has one at hand. */
#ifndef EXAMPLES_CERTIFICATE_H
#define EXAMPLES_CERTIFICATE_H

enum { CERTIFICATE_PATH_MAX = 64 };

/*
 * Writes a new key and its self-signed certificate for `name`, valid for one hour, to a new file
 * that only its owner may read. The file serves as cert= of the server and as ca= of the client.
 * The caller removes it. 0, or -1 after a line on stderr.
 */
int certificate_make(const char *name, char path[CERTIFICATE_PATH_MAX]);

#endif
