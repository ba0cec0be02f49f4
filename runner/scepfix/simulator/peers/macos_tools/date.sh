#!/bin/sh
# date, with the clock of this Mac: $SCEPFIX_MAC/behaviour/clock-offset are seconds ahead (or behind, with a minus), of
# the Unix seconds in $SCEPFIX_NOW where a test moves the clock.
set -u
PATH=${PATH#*:}
offset=0
if [ -e "$SCEPFIX_MAC/behaviour/clock-offset" ]; then
    IFS= read -r offset <"$SCEPFIX_MAC/behaviour/clock-offset"
elif [ -z "${SCEPFIX_NOW:-}" ]; then
    exec date "$@"
fi
now=$((${SCEPFIX_NOW:-$(date +%s)} + offset))
if date -d "@$now" +%s >/dev/null 2>&1; then
    exec date -d "@$now" "$@"
fi
exec date -r "$now" "$@"
