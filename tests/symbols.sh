#!/usr/bin/env bash
# Goal: the shared library exports what public headers declare, and nothing else.
# With --update, writes the list of exported symbols that is committed instead.
set -euo pipefail

list=$top_srcdir/tests/symbols.txt
library=$top_builddir/.libs/libstack.so
[ -e "$library" ] || { echo "no shared library here: skipped"; exit 77; }

exported=$($NM -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort)

if [ "${1-}" = --update ]; then
    printf '%s\n' "$exported" >"$list"
    exit
fi

failed=0
declared=$(cd "$top_srcdir" && cat $STK_TEST_HEADERS | grep -ow 'stk_[a-z0-9_]*' | LC_ALL=C sort -u)
private=$(LC_ALL=C comm -23 <(echo "$exported") <(echo "$declared"))
if [ -n "$private" ]; then
    printf 'exported, but in no public header:\n%s\n' "$private"
    failed=1
fi
if ! diff -u "$list" <(echo "$exported"); then
    echo "the exported symbols changed: if that is meant, run 'make update-symbols'"
    failed=1
fi
exit $failed
