# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# pb-lib.sh: what configure and the scripts beside this file share. Sourced
# by bash, after the caller has set PB_NAME, the name its messages begin with.
# Messages go to stderr, so that stdout stays free for results.

# Everything downloaded lives here, outside the tree: it survives
# `make distclean` and serves every clone of this user.
PB_HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
PB_CACHE=${PBKVM_CACHE:-${XDG_CACHE_HOME:-$PB_HOME/.cache}/pbkvm}

pb_say() {
    printf '%s: %s\n' "$PB_NAME" "$*" >&2
}

# pb_die WHAT EXPECTED GOT TO-DO: the one form of error, then exit 1.
# A further line of the advice starts with a newline of its own.
pb_die() {
    local pad=$'\n            '

    {
        printf '%s: error: %s\n' "$PB_NAME" "$1"
        printf '  expected: %s\n' "${2//$'\n'/$pad}"
        printf '  got:      %s\n' "${3//$'\n'/$pad}"
        printf '  to do:    %s\n' "${4//$'\n'/$pad}"
    } >&2
    exit 1
}

# Free space in MiB where $1 is or would be made.
pb_free_mib() {
    local dir=$1

    while [ ! -d "$dir" ]; do
        dir=$(dirname "$dir")
    done
    df -Pm "$dir" | awk 'NR == 2 { print $4 }'
}
