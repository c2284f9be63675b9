#!/usr/bin/env bash
# Linters, types, import contracts, sizes and unit tests. Runs all of them even when one fails; exit code 1 if any did.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
failed=()

run() {
    local name=$1 start=$SECONDS
    shift
    if "$@"; then printf '  ok    %-18s %3d s\n' "$name" $((SECONDS - start)); else failed+=("$name"); printf '  FAIL  %s\n' "$name"; fi
}

run "ruff" $bin/ruff check -q src tests scripts bench
run "ruff format" $bin/ruff format -q --check src tests scripts bench
run "mypy --strict" $bin/mypy --no-error-summary
run "import contracts" $bin/lint-imports --no-logo -q
run "sizes" $bin/python scripts/sizes.py
run "unit tests" $bin/pytest tests/unit -x --timeout 60
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]} (make fix mends what a program can mend)"; exit 1; }
