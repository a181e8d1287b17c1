#!/usr/bin/env bash
# Goal: what 'make install' lays down can be found with pkg-config, compiled against and run.
# Method: installs into an empty directory, then builds one program shared and one static.
set -euo pipefail

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

"$MAKE" -C "$top_builddir" --no-print-directory install DESTDIR="$root" >"$root/log" 2>&1 || {
    tail -40 "$root/log"
    exit 1
}
prefix=$root$STK_TEST_PREFIX
pc=$(find "$root" -name stack.pc)
export PKG_CONFIG_PATH=${pc%/*}${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
stack() { "$PKG_CONFIG" --define-variable=prefix="$prefix" "$@" stack; }
libdir=$(stack --variable=libdir)

# Every public header compiles alone, as C and with the include path that users have.
for header in $STK_TEST_HEADERS; do
    printf '#include <stack/%s>\nint main(void) { return 0; }\n' "${header##*/}" >"$root/header.c"
    $STK_TEST_CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror $(stack --cflags) -fsyntax-only \
        "$root/header.c"
done

cat >"$root/user.c" <<'END'
#include <stack/error.h>
#include <stdio.h>

int main(void) { return puts(stk_strerror(STK_ESYNTAX)) < 0; }
END

echo "shared:"
$STK_TEST_CC "$root/user.c" $(stack --cflags --libs) -o "$root/user"
LD_LIBRARY_PATH=$libdir "$root/user"

if [ -e "$libdir/libstack.a" ]; then
    echo "static:"
    mkdir "$root/archive"
    cp "$libdir/libstack.a" "$root/archive"
    $STK_TEST_CC "$root/user.c" -L"$root/archive" $(stack --cflags --libs --static | sed "s|-L$libdir||") \
        -o "$root/user-static"
    "$root/user-static"
fi
