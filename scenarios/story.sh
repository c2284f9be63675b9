# What the scenarios share: say what is done, show each command, time each step, stop at the first that fails.

story_began=$(date +%s.%N)
step_began=$story_began
step_name=""
steps=()

story() { printf '\n\033[1m%s\033[0m\n' "$*"; }

step() {
    end_step
    step_name=$*
    step_began=$(date +%s.%N)
    printf '\n\033[1;34m# %s\033[0m\n' "$*"
}

end_step() {
    [ -n "$step_name" ] || return 0
    steps+=("$(awk -v a="$step_began" -v b="$(date +%s.%N)" 'BEGIN { printf "%7.1f", b - a }') s  $step_name")
}

# Print a command as a person would type it, then run it.
show() {
    local word text=""
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./:=,@%+-]*) text+=" '${word}'" ;; *) text+=" $word" ;; esac
    done
    printf '\033[2m$%s\033[0m\n' "$text"
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
    local vm=$1 seconds=$2 pattern=$3 out deadline
    out=$(mktemp)
    deadline=$((SECONDS + seconds))
    printf '\033[2m$ isthmus console %s\033[0m\n' "$vm"
    (while sleep 1; do printf '\r'; done) | timeout "$seconds" isthmus console "$vm" >"$out" 2>/dev/null &
    local reader=$!
    until grep -aqE "$pattern" "$out"; do
        if [ $SECONDS -ge $deadline ]; then
            echo "the console of $vm never showed: $pattern; it showed:" >&2
            tail -n 20 "$out" >&2
            return 1
        fi
        sleep 0.2
    done
    kill "$reader" 2>/dev/null || true
    wait "$reader" 2>/dev/null || true
    tail -n 4 "$out" | tr -d '\r' | sed 's/^/    /'
    rm -f "$out"
}

finish() {
    end_step
    step_name=""
    printf '\n\033[1;32mDone in %s s.\033[0m Where the time went:\n' \
        "$(awk -v a="$story_began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.0f", b - a }')"
    printf '%s\n' "${steps[@]}"
    printf '\n%s\n' "$*"
}
