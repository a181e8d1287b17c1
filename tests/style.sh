#!/usr/bin/env bash
# Goal: the sources keep the house rules that a machine can check.
set -uo pipefail
cd "$top_srcdir"

failed=0
complain() {
    echo "$*"
    failed=1
}

sources=$(find lib tools tests examples bench fuzz -name '*.[ch]' | LC_ALL=C sort)
rooms="base reactor stack ptcp seal tls http sim"

rank() {
    local n=0 room
    for room in $rooms; do
        n=$((n + 1))
        [ "$room" = "$1" ] && echo $n
    done
}

files_are_short() {
    local file lines
    for file in $sources; do
        lines=$(wc -l <"$file")
        [ "$lines" -le 1000 ] || complain "$file: $lines lines; 1000 is the most"
    done
}

# The house format puts a function's braces, and no others but a type's, into the first column.
functions_fit_on_a_screen() {
    local long
    long=$(awk '/^{/ { start = FNR; name = before }
        /^}/ && start { if (FNR - start > 70) print FILENAME ": " FNR - start " lines: " name; start = 0 }
        { before = $0 }' $(grep -v '^fuzz/corpus' <<<"$sources"))
    [ -z "$long" ] || complain "$long"
}

header_names_are_unique() {
    local twice
    twice=$(find lib -name '*.[ch]' -printf '%f\n' | sort | uniq -d)
    [ -z "$twice" ] || complain "used by two rooms: $twice"
}

# A room sees its own headers, and the public ones of the rooms below it.
rooms_lean_downwards() {
    local file room name target target_room
    while IFS=: read -r file name; do
        room=${file#lib/}
        room=${room%%/*}
        for target in lib/*/"$name"; do
            [ -e "$target" ] || continue
            target_room=${target#lib/}
            target_room=${target_room%%/*}
            if [ "$target_room" != "$room" ]; then
                [ "$(rank "$target_room")" -lt "$(rank "$room")" ] ||
                    complain "$file includes $name from the room $target_room, which is not below"
                is_public "$target" || complain "$file includes $target, which is private"
            elif is_public "$file" && ! is_public "$target"; then
                complain "$file is public and includes $target, which is private"
            fi
        done
    done < <(grep -Hn '^#include "' lib/*/*.[ch] | sed 's/^\([^:]*\):[0-9]*:#include "\([^"]*\)".*/\1:\2/')
}

is_public() {
    case " $STK_TEST_HEADERS " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

sources_are_formatted() {
    command -v clang-format >/dev/null || return 0
    local file
    for file in $sources; do
        clang-format --dry-run -Werror "$file" >/dev/null 2>&1 ||
            complain "$file: run clang-format -i on it"
    done
}

files_are_short
functions_fit_on_a_screen
header_names_are_unique
rooms_lean_downwards
sources_are_formatted
[ $failed = 0 ] || exit 1
command -v clang-format >/dev/null || {
    echo "clang-format is missing: the format was not checked"
    exit 77
}
