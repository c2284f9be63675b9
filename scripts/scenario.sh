#!/usr/bin/env bash
# Runs one scenario: scenarios/NAME/run. It uses public commands only, so what it does is what a person would do.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-}
if [ -z "$name" ] || [ ! -x "scenarios/$name/run" ]; then
    echo "usage: make scenario NAME=...   one of: $(ls scenarios | tr '\n' ' ')" >&2
    exit 2
fi
PATH="$PWD/.venv/bin:$PATH" exec "scenarios/$name/run"
