# shellcheck shell=bash
# What the scenarios share: say what is done, show each command, time each step, stop at the first that fails.
# A story sources this, defines `interrupted` (what Ctrl-C must take back) and ends with `finish`.

story_began=$(date +%s.%N)
step_began=$story_began
step_name=""
steps=()
if [ -t 1 ]; then bold=$'\033[1m' blue=$'\033[1;34m' dim=$'\033[2m' plain=$'\033[0m'; else bold="" blue="" dim="" plain=""; fi

story() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }

step() {
    end_step
    step_name=$*
    step_began=$(date +%s.%N)
    printf '\n%s# %s%s\n' "$blue" "$*" "$plain"
}

seconds_since() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }

end_step() {
    [ -n "$step_name" ] || return 0
    steps+=("$(printf '%7s s  %s' "$(seconds_since "$step_began")" "$step_name")")
}

# Print a command as a person would type it.
typed() {
    local word text=""
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./:=,@%+~-]*) text+=" '${word}'" ;; *) text+=" ${word/#"$HOME"/\~}" ;; esac
    done
    printf '%s$%s%s\n' "$dim" "$text" "$plain"
}

show() {
    typed "$@"
    "$@"
}

# until_true SECONDS COMMAND...: repeat a command until it succeeds.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { echo "did not succeed in time: $*" >&2; return 1; }
        sleep 0.5
    done
}

# console VM SECONDS PATTERN: press Enter at a serial console until what the guest writes matches PATTERN; show the end of it.
console() {
    local vm=$1 seconds=$2 pattern=$3 heard reader deadline
    heard=$(mktemp)
    deadline=$((SECONDS + seconds))
    typed isthmus console "$vm"
    (while sleep 1; do printf '\r'; done) | timeout "$seconds" isthmus console "$vm" >"$heard" 2>/dev/null &
    reader=$!
    until grep -aqE "$pattern" "$heard"; do
        if [ $SECONDS -ge $deadline ] || ! kill -0 "$reader" 2>/dev/null; then
            printf 'the console of %s never showed: %s; it showed:\n%s\n' "$vm" "$pattern" "$(tail -n 20 "$heard")" >&2
            kill "$reader" 2>/dev/null || true
            rm -f "$heard"
            return 1
        fi
        sleep 0.2
    done
    kill "$reader" 2>/dev/null || true
    wait "$reader" 2>/dev/null || true
    tr -d '\r' <"$heard" | sed 's/\x1b\[[0-9;?]*[A-Za-z]//g' | grep -av '^ *$' | uniq | tail -n 2 | sed 's/^/    /'
    printf '\n'
    rm -f "$heard"
}

# fail MESSAGE: stop the story before it begins.
fail() {
    printf '%s\n' "$*" >&2
    exit 2
}

interrupted() { :; }

ended() {
    local code=$?
    trap - EXIT INT TERM
    if [ "$code" -ge 128 ]; then
        printf '\n%sInterrupted: taking back what the story made.%s\n' "$bold" "$plain" >&2
        interrupted
    elif [ "$code" != 0 ]; then
        printf '\n%sThe story stopped at: %s%s\n' "$bold" "${step_name:-its beginning}" "$plain" >&2
        kubectl get events --field-selector type=Warning --sort-by .lastTimestamp --request-timeout=5s 2>/dev/null | tail -n 5 >&2
    fi
    exit "$code"
}
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

finish() {
    end_step
    step_name=""
    printf '\n%sDone in %.0f s.%s Where the time went:\n' "$bold" "$(seconds_since "$story_began")" "$plain"
    printf '%s\n' "${steps[@]}" "" "$@"
}
