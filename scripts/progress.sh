# shellcheck shell=bash
# What long steps of the scripts show: a line that moves on a terminal, a line now and then elsewhere.

# quietly LOG COMMAND...: run it, show its output only if it fails.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
}

# steps LABEL: reads lines "PERCENT<tab>TEXT".
steps() {
    local live=0
    [ -t 1 ] && live=1
    awk -F '\t' -v live=$live '
        live       { printf "\r\033[K      %3d %%  %s", $1, substr($2, 1, 60); fflush() }
        !live && $1 >= next_at { printf "      %3d %%  %s\n", $1, $2; fflush(); next_at = 20 * (int($1 / 20) + 1) }
        END        { if (live) printf "\r\033[K" }'
}

# apt_progress: reads APT::Status-Fd (dlstatus and pmstatus, each from 0 to 100) as one way from 0 to 100.
apt_progress() {
    awk -F: '
        $1 == "dlstatus" { printf "%d\tdownloading\n", $3 / 2; fflush() }
        $1 == "pmstatus" { printf "%d\t%s\n", 50 + $3 / 2, $4; fflush() }' | steps
}

# pip_progress TOTAL: reads pip's output; it names each package as it collects it.
pip_progress() {
    awk -v total="$1" '
        /^(Collecting|Requirement already)/ { printf "%d\t%s\n", 90 * ++n / total, $2; fflush() }
        /^Installing/ { printf "90\tunpacking\n"; fflush() }' | steps
}
