#!/usr/bin/env bash
# The one test command: ./test.sh [SECTION…]
#
# Sections, in order: format, lint, tests, judges. Without arguments all of them run; the first that fails ends it.
# What each one covers: docs/testing.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-2}
# Only the colours of a terminal that is one.
[ -t 1 ] || export CARGO_TERM_COLOR=never

sections=(format lint tests judges)
summary=()
began=$SECONDS

# Where a section's commands are missing, it says what to install instead of failing somewhere deep down.
prepare() {
    command -v cargo >/dev/null || fail_early "cargo is missing: install Rust 1.95 or later (rust-toolchain.toml)"
    command -v cc >/dev/null || tests/judges/install gcc libc6-dev
}

fail_early() {
    echo "test.sh: $1" >&2
    exit 1
}

format() { cargo fmt --check; }

lint() { cargo clippy --locked --all-targets -- -D warnings; }

tests() {
    # Some tests live in a process whose clock jumps.
    tests/judges/install faketime
    if command -v cargo-nextest >/dev/null; then
        cargo nextest run --locked --no-fail-fast
        # nextest leaves out the examples in the documentation.
        cargo test --locked --doc
    else
        cargo test --locked --no-fail-fast
    fi
}

judges() { tests/judges/run; }

run_section() {
    local name=$1 start=$SECONDS status=0
    printf '\n======== %s ========\n' "$name"
    # A subshell with -e of its own: a function called in a condition would go on after a failure.
    set +e
    (set -e; "$name")
    status=$?
    set -e
    local took=$((SECONDS - start))
    if [ "$status" -ne 0 ]; then
        summary+=("$(printf '%-8s FAILED  %4d s' "$name" "$took")")
        report
        printf '\n%s failed; run it alone with: ./test.sh %s\n' "$name" "$name"
        exit 1
    fi
    summary+=("$(printf '%-8s ok      %4d s' "$name" "$took")")
}

report() {
    printf '\n======== summary ========\n'
    printf '%s\n' "${summary[@]}"
    printf '%-8s         %4d s\n' "all" "$((SECONDS - began))"
}

main() {
    local wanted=("$@") name
    [ ${#wanted[@]} -gt 0 ] || wanted=("${sections[@]}")
    for name in "${wanted[@]}"; do
        [[ " ${sections[*]} " == *" $name "* ]] || fail_early "there is no section $name; there are: ${sections[*]}"
    done
    prepare
    for name in "${wanted[@]}"; do
        run_section "$name"
    done
    report
}

main "$@"
