# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# pb-lib.sh: what configure and the scripts beside this file share. Sourced
# by bash, after the caller has set PB_NAME, the name its messages begin with.
# Messages go to stderr, so that stdout stays free for results.

PB_TOP=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")

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

# The package of the amd64 kernel that Debian's meta-package stands for today.
pb_debian_kernel() {
    local meta

    meta=$("$PB_TOP/scripts/pb-apt" deb linux-image-amd64) || exit 1
    dpkg-deb --field "$meta" Depends |
        tr ',' '\n' | grep -om1 'linux-image-[0-9][^ ]*'
}

# Those of Debian's packages PACKAGE... that are not installed.
pb_missing() {
    dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "$@" 2>/dev/null |
        awk -v want="$*" '
            $2 == "ii" { have[$1] = 1 }
            END {
                n = split(want, name, " ")
                for (i = 1; i <= n; i++) {
                    if (!(name[i] in have)) {
                        print name[i]
                    }
                }
            }'
}

# pb_install PACKAGE...: install what is missing of them, or say why not.
# INSTALL=no forbids it.
pb_install() {
    local missing line root=()

    mapfile -t missing < <(pb_missing "$@")
    if [ ${#missing[@]} -eq 0 ]; then
        return
    fi
    line="apt-get install --no-install-recommends ${missing[*]}"
    if [ "$INSTALL" = no ] || [ "${PBKVM_OFFLINE:-0}" = 1 ]; then
        pb_die "Debian packages are missing" "$# packages installed" \
            "without: ${missing[*]}" "as root: $line"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        root=(sudo)
        if ! command -v sudo > /dev/null ||
            { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
            pb_die "Debian packages are missing, and installing them needs root" \
                "root, or a sudo that asks no password without a terminal" \
                "user $(id -un), without: ${missing[*]}" \
                "as root: $line
then run the same command again"
        fi
    fi
    pb_say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    # The system's lists may be absent (a fresh container) or too old.
    if ! "$PB_TOP/scripts/pb-log" packages "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        sh -c 'apt-get -q update && apt-get -qy install --no-install-recommends "$@"' \
        sh "${missing[@]}"; then
        pb_die "installing Debian packages failed" "apt-get to succeed" \
            "$(grep -E '^E:' "$PB_TOP/build/logs/packages.log" | tail -n 2)" \
            "check the network and apt's sources; by hand, as root:
apt-get update && $line"
    fi
}
