#!/bin/sh
# date, with the clock of this Mac: $SCEPFIX_MAC/behaviour/clock-offset are seconds ahead (or behind, with a minus).
set -u
PATH=${PATH#*:}
if [ -e "$SCEPFIX_MAC/behaviour/clock-offset" ]; then
    IFS= read -r offset <"$SCEPFIX_MAC/behaviour/clock-offset"
    now=$(($(date +%s) + offset))
    if date -d "@$now" +%s >/dev/null 2>&1; then
        exec date -d "@$now" "$@"
    fi
    exec date -r "$now" "$@"
fi
exec date "$@"
