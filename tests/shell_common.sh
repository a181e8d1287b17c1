# What tests that are shell scripts share. To be sourced; whoever checks ends with "exit $failed".
failed=0

require() { # TOOL…: without them the test is skipped
    local tool
    for tool; do
        command -v "$tool" >/dev/null || {
            echo "$tool is missing"
            exit 77
        }
    done
}

check() { # NAME EXPECTED GOT
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        echo "FAILED: $1: expected \"$2\", got \"$3\""
        failed=1
    fi
}
