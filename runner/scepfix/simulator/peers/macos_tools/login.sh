#!/bin/sh
# What a device does with a command that came over SSH; both SSH faces run it through here.
# In: $SCEPFIX_WORLD, the command in $SSH_ORIGINAL_COMMAND, and $SCEPFIX_MAC or the address in $SSH_CONNECTION.
set -u
world=${SCEPFIX_WORLD:?}
if [ -z "${SCEPFIX_MAC:-}" ]; then
    # client address, client port, server address, server port
    # shellcheck disable=SC2086 # four words
    set -- $SSH_CONNECTION
    IFS= read -r folder <"$world/ssh/addresses/$3" || exit 255
    SCEPFIX_MAC=$world/macs/$folder
fi
PATH=/usr/bin:/bin:/usr/sbin:/sbin
export PATH SCEPFIX_MAC
tools=$world/tools:$PATH
told=$SCEPFIX_MAC/behaviour
command=${SSH_ORIGINAL_COMMAND:-}

# OpenSSH has let it in already: it goes away as a device does whose network is gone.
if [ -e "$told/offline" ]; then
    exit 255
fi
if [ -e "$told/refuse" ]; then
    echo "Permission denied" >&2
    exit 255
fi
if [ -e "$told/slow" ]; then
    IFS= read -r seconds <"$told/slow"
    sleep "$seconds"
fi
if [ -e "$told/garbage" ]; then
    head -c 4096 /dev/urandom
    exit 0
fi
if [ -e "$SCEPFIX_MAC/windows.json" ]; then
    # The stub PC: an answer to each of the PowerShell scripts, which is read to its end first.
    case $command in
        *[Pp][Oo][Ww][Ee][Rr][Ss][Hh][Ee][Ll][Ll]*)
            if grep -q scepfix/windows-sync/1; then
                cat >/dev/null
                echo '{"schema":"scepfix/windows-sync/1","started":"PushLaunch","problems":[],"whole":true}'
            else
                sed "s/\"@NOW@\"/$(date +%s)/" "$SCEPFIX_MAC/windows.json"
            fi
            exit 0
            ;;
    esac
    echo "'${command%% *}' is not recognized as an internal or external command," >&2
    echo "operable program or batch file." >&2
    exit 1
fi
if [ -e "$told/half" ]; then
    IFS= read -r how <"$told/half"
    whole=$(mktemp) || exit 255
    trap 'rm -f "$whole"' EXIT
    PATH=$tools /bin/sh -c "$command" >"$whole"
    status=$?
    size=$(wc -c <"$whole")
    head -c $((size / 2)) "$whole"
    # "drop": the connection is cut as well, which ssh tells by 255.
    if [ "$how" = drop ]; then
        exit 255
    fi
    exit "$status"
fi
PATH=$tools exec /bin/sh -c "$command"
