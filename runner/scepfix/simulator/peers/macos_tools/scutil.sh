#!/bin/sh
# macOS scutil --get.
set -u
# What it calls itself are this machine's tools, not the Mac's.
PATH=${PATH#*:}
if [ "${1:-}" = --get ]; then
    case ${2:-} in
        ComputerName | HostName | LocalHostName)
            IFS= read -r name <"$SCEPFIX_MAC/facts/name"
            printf '%s\n' "$name"
            exit 0
            ;;
        *) ;;
    esac
fi
exit 1
