#!/bin/sh
# Runs the public OCapN conformance suite against `conformance serve`.
#
#   run-suite.sh PATH-TO-SUITE-CHECKOUT [TIMES]
#
# Starts one `conformance serve`, runs the suite's own runner TIMES times (default 1),
# module by module, and says which tests failed. Exits 0 if none failed but those that
# are expected to, 1 if others did, 2 if it could not run.
#
#   CONFORMANCE        the program (default: built by cargo, in release mode)
#   CONFORMANCE_ARGS   more arguments for `conformance serve`, as `--dialect NAME`
#   CONFORMANCE_SETTINGS  settings of its listen address (default: none), as
#                      framing=length for a suite whose messages have their length
#                      before them
#   FRAMED             1: the node puts lengths before its messages, and an adapter of
#                      ours stands between it and the suite, which needs know nothing
#   PYTHON             the python to use (default: python3); it needs `cryptography`
#   SUITE_MODULES      the suite's modules to run (default: all)
#   SUITE_EXPECTED     tests that are expected to fail, each by its name or by
#                      MODULE.NAME, where * stands for anything (default: none)
set -eu
set -f

usage='usage: run-suite.sh PATH-TO-SUITE-CHECKOUT [TIMES]'
suite=${1:?$usage}
times=${2:-1}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$suite/test_runner.py" ] || { echo "run-suite.sh: no test_runner.py in $suite" >&2; exit 2; }
"$python" -c 'import cryptography' || { echo "run-suite.sh: $python needs cryptography" >&2; exit 2; }

work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -z "${CONFORMANCE:-}" ]; then
    (cd "$here" && cargo build --quiet --release --bin conformance)
    target=$(cd "$here" && cargo metadata --no-deps --format-version 1 |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    CONFORMANCE=$target/release/conformance
fi

[ "${FRAMED:-0}" != 1 ] || CONFORMANCE_ARGS="--adapter ${CONFORMANCE_ARGS:-}"

# Only tcp-testing-only, which the suite speaks. The first line is the peer's URI; a
# fifo makes reading it a wait for it.
mkfifo "$work/uri"
# shellcheck disable=SC2086 # arguments, to be split
"$CONFORMANCE" serve --listen "tcp-testing-only:127.0.0.1:0${CONFORMANCE_SETTINGS:+?$CONFORMANCE_SETTINGS}" ${CONFORMANCE_ARGS:-} > "$work/uri" &
server=$!
read -r uri < "$work/uri" || { echo 'run-suite.sh: conformance serve did not start' >&2; exit 2; }

# The suite imports stem for its onion netlayer whether that is used or not.
if ! "$python" -c 'import stem' 2>/dev/null; then
    mkdir -p "$work/stand-in/stem"
    : > "$work/stand-in/stem/__init__.py"
    for module in process control connection; do : > "$work/stand-in/stem/$module.py"; done
    PYTHONPATH=$work/stand-in${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
fi
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE

modules=${SUITE_MODULES:-$(ls "$suite/tests" | sed -n '/^__init__\.py$/d; s/\.py$//p')}

# Whether the test $2 of the module $1 is expected to fail.
is_expected() {
    for pattern in ${SUITE_EXPECTED:-}; do
        # shellcheck disable=SC2254 # a pattern, not a word
        case $2 in $pattern) return 0 ;; esac
        # shellcheck disable=SC2254
        case $1.$2 in $pattern) return 0 ;; esac
    done
    return 1
}

# One run of every module. Leaves the failures in files, and the count in $ran.
run_once() {
    ran=0
    : > "$work/expected"
    : > "$work/unexpected"
    for module in $modules; do
        log=$work/$module.log
        (cd "$suite" && "$python" test_runner.py "$uri" --test-module "tests.$module") > "$log" 2>&1 || true
        count=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} in .*/\1/p' "$log")
        if [ -z "$count" ]; then
            echo "run-suite.sh: the suite's runner did not run $module:" >&2
            cat "$log" >&2
            exit 2
        fi
        ran=$((ran + count))
        for test in $(sed -n 's/^\(FAIL\|ERROR\): \([A-Za-z0-9_]*\).*/\2/p' "$log" | sort -u); do
            if is_expected "$module" "$test"; then
                echo "$module.$test" >> "$work/expected"
            else
                echo "$module.$test" >> "$work/unexpected"
                sed -n "/^\(FAIL\|ERROR\): $test/,/^=====/p" "$log" > "$work/why.$module.$test"
            fi
        done
        if ! kill -0 "$server" 2>/dev/null; then
            echo "run-suite.sh: conformance serve ended during $module" >&2
            exit 1
        fi
    done
}

bad=0
run=1
while [ "$run" -le "$times" ]; do
    run_once
    expected=$(wc -l < "$work/expected")
    unexpected=$(wc -l < "$work/unexpected")
    passed=$((ran - expected - unexpected))
    echo "run $run of $times: $ran ran, $passed passed, $expected failed as expected, $unexpected failed"
    sed 's/^/  expected: /' "$work/expected"
    while read -r test; do
        echo "  FAILED: $test"
        cat "$work/why.$test"
    done < "$work/unexpected"
    [ "$unexpected" -eq 0 ] || bad=$((bad + 1))
    run=$((run + 1))
done
[ "$bad" -eq 0 ] || { echo "$bad of $times runs had unexpected failures"; exit 1; }
echo "$times of $times runs as expected"
