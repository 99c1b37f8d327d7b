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
#   PYTHON             the python to use (default: python3); it needs `cryptography`
#   SUITE_MODULES      the suite's modules to run (default: those with a test that is
#                      not expected to fail), or `all`
set -eu

# Third-party handoffs and crossed hellos are not there yet. The first is a whole
# module, and slow to fail.
expected_modules='third_party_handoffs'
expected_tests='crossed_hellos'

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
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
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

# Only tcp-testing-only, which the suite speaks. The first line is the peer's URI; a
# fifo makes reading it a wait for it.
mkfifo "$work/uri"
# shellcheck disable=SC2086 # arguments, to be split
"$CONFORMANCE" serve --listen tcp-testing-only:127.0.0.1:0 ${CONFORMANCE_ARGS:-} > "$work/uri" &
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

modules=${SUITE_MODULES:-}
if [ -z "$modules" ] || [ "$modules" = all ]; then
    every=$modules
    modules=
    for file in "$suite"/tests/*.py; do
        name=$(basename "$file" .py)
        [ "$name" = __init__ ] && continue
        case " $expected_modules " in *" $name "*) [ "$every" = all ] || continue ;; esac
        modules="$modules $name"
    done
fi

bad=0
run=1
while [ "$run" -le "$times" ]; do
    ran=0
    : > "$work/failed"
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
        sed -n "s/^\(FAIL\|ERROR\): \([A-Za-z0-9_]*\).*/$module \2/p" "$log" | sort -u >> "$work/failed"
        if ! kill -0 "$server" 2>/dev/null; then
            echo "run-suite.sh: conformance serve ended during $module" >&2
            exit 1
        fi
    done
    : > "$work/expected"
    : > "$work/unexpected"
    while read -r module test; do
        case " $expected_modules " in *" $module "*) echo "$module $test" >> "$work/expected"; continue ;; esac
        case $test in
            *"$expected_tests"*) echo "$module $test" >> "$work/expected" ;;
            *) echo "$module $test" >> "$work/unexpected" ;;
        esac
    done < "$work/failed"
    failed=$(wc -l < "$work/failed")
    expected=$(wc -l < "$work/expected")
    unexpected=$(wc -l < "$work/unexpected")
    echo "run $run of $times: $ran ran, $((ran - failed)) passed, $expected failed as expected, $unexpected failed"
    sed 's/^/  expected: /' "$work/expected"
    sed 's/^/  FAILED:   /' "$work/unexpected"
    if [ "$unexpected" -gt 0 ]; then
        bad=$((bad + 1))
        while read -r module test; do
            sed -n "/^\(FAIL\|ERROR\): $test/,/^=====/p" "$work/$module.log"
        done < "$work/unexpected"
    fi
    run=$((run + 1))
done
[ "$bad" -eq 0 ] || { echo "$bad of $times runs had unexpected failures"; exit 1; }
echo "all $times runs as expected"
