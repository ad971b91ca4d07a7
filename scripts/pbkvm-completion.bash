# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Completion of pbkvm for bash:  source scripts/pbkvm-completion.bash

# Names of the running machines: folders, one each.
_pbkvm_machines() {
    local top=/tmp/pbkvm-$UID dir

    if [ -d "${XDG_RUNTIME_DIR:-}" ]; then
        top=$XDG_RUNTIME_DIR/pbkvm
    fi
    for dir in "$top"/*/; do
        if [ -e "$dir/machine.json" ]; then
            basename "$dir"
        fi
    done
}

# _pbkvm_words LIST: those of LIST that begin as the current word does.
_pbkvm_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_pbkvm_files() {
    compopt -o filenames 2> /dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
}

# Options of a command of pbkvm.
_pbkvm_options() {
    case $1 in
    run|replay) echo '--lab --host --32 --64 --as --print --help --' ;;
    gdb) echo '--primary --symbols --script --batch --help --' ;;
    status) echo '--once --json --list --interval --help' ;;
    timeline) echo '--output --samples --seconds --interval --help' ;;
    doctor) echo '--host --help' ;;
    esac
}

_pbkvm() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local command=${COMP_WORDS[1]}

    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        _pbkvm_words 'run gdb status doctor replay timeline --help'
        return
    fi
    case $command:$before in
    gdb:--symbols|gdb:--script|timeline:--samples|timeline:--output|timeline:-o)
        _pbkvm_files
        return ;;
    run:-accel|replay:-accel)
        _pbkvm_words 'pbkvm'
        return ;;
    run:-kernel|run:-initrd|replay:replay)
        _pbkvm_files
        return ;;
    *:--as|*:--interval|*:--seconds)
        return ;;
    esac
    case $word in
    --*) _pbkvm_words "$(_pbkvm_options "$command")" ;;
    -*) case $command in
        run|replay) _pbkvm_words '-accel -kernel -initrd -append -m -serial
            -gdb -qmp -action -device' ;;
        timeline) _pbkvm_words '-o' ;;
        esac ;;
    */*) _pbkvm_files ;;
    *) case $command in
        gdb|status) _pbkvm_words "$(_pbkvm_machines)" ;;
        timeline)
            _pbkvm_files
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(
                compgen -W "$(_pbkvm_machines)" -- "$word") ;;
        esac ;;
    esac
}

complete -F _pbkvm pbkvm scripts/pbkvm build/pbkvm
