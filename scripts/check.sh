#!/usr/bin/env bash
# Linters, types, import contracts, sizes and unit tests, all at once (types and tests take the time).
# All run even when one fails; exit code 1 if any did. Under 90 s.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
bin=.venv/bin
sources=(src tests scripts bench hatch_build.py)
[ -x $bin/ruff ] || { echo "make setup first" >&2; exit 2; }
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
names=() processes=()

# check NAME COMMAND...: start it; `settle` shows how it ended.
check() {
    local name=$1
    shift
    (
        SECONDS=0
        "$@" >"$output/$name" 2>&1
        code=$?
        echo $SECONDS >"$output/$name.seconds"
        exit $code
    ) &
    names+=("$name") processes+=($!)
}

# settle: wait for all in turn; a failure shows all that was said, a success its last line.
settle() {
    local name
    failed=()
    for i in "${!names[@]}"; do
        name=${names[i]}
        if wait "${processes[i]}"; then
            printf '  ok    %-18s %3d s  %s\n' "$name" "$(cat "$output/$name.seconds")" "$(tail -n 1 "$output/$name")"
        else
            printf '  FAIL  %s\n' "$name"
            sed 's/^/        /' "$output/$name"
            failed+=("$name")
        fi
    done
}

check "types" $bin/mypy
check "lint" $bin/ruff check -q "${sources[@]}"
check "format" $bin/ruff format -q --check "${sources[@]}"
check "import contracts" $bin/lint-imports --no-logo
check "sizes" $bin/python scripts/sizes.py
check "unit tests" $bin/pytest tests/unit --timeout 60 --numprocesses auto --maxprocesses 8
settle
grep -E '^ ' "$output/sizes"
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]} (make fix mends what a program can mend)"; exit 1; }
