#!/bin/sh
# cat, ls and tail of a simulated Mac: absolute paths are looked up inside its folder, and told as they were asked.
set -u
name=${0##*/}
# Without the first entry of PATH, which is this folder.
PATH=${PATH#*:}
cd "$SCEPFIX_MAC/root" || exit 1
for argument do
    shift
    case $argument in
        /*) argument=.$argument ;;
        *) ;;
    esac
    set -- "$@" "$argument"
done
if [ "$name" = ls ]; then
    # The paths come back with the dot; the exit code of ls counts, which a pipe would lose.
    listed=$(ls "$@" 2>&1)
    status=$?
    [ -z "$listed" ] || printf '%s\n' "$listed" | sed 's|^\./|/|'
    exit "$status"
fi
exec "$name" "$@"
