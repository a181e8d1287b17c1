#!/usr/bin/env bash
# Goal: congestion behaviour does not change unnoticed.
# Method: the table that tests/golden/goodput prints is the committed one. 'make golden' renews it.
set -euo pipefail

committed=$top_srcdir/tests/golden/goodput.txt
if [ "${1:-}" = --update ]; then
    "$top_builddir/tests/golden/goodput" > "$committed.new"
    mv "$committed.new" "$committed"
    exit
fi
"$top_builddir/tests/golden/goodput" | diff -u "$committed" -
