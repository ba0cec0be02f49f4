#!/bin/sh
# macOS profiles, tool 8.0 and later: it shows, and neither installs anything nor removes what an MDM delivered.
set -u
# What it calls itself are this machine's tools, not the Mac's.
PATH=${PATH#*:}
mac=$SCEPFIX_MAC
verb=${1:-help}
[ $# -eq 0 ] || shift
kind=configuration output=''
case $verb in
    -C | -P | -L) verb=list ;;
    -I | -R | -v | --version) verb=${verb#-} ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
        -type | -t) kind=${2:-}; shift ;;
        -output | -o) output=${2:-}; shift ;;
        -identifier | -password | -path | -p | -user | -U | -F) [ $# -lt 2 ] || shift ;;
        *) ;;
    esac
    shift
done
case $verb in
    show | list)
        if [ "$kind" = enrollment ]; then
            echo "Device Enrollment configuration:"
            echo "(null)"
        elif [ "$output" = stdout-xml ]; then
            cat "$mac/profiles.xml"
        else
            cat "$mac/profiles.txt"
        fi
        ;;
    status)
        cat "$mac/enrollment"
        ;;
    install | I)
        echo "profiles tool no longer supports installs.  Use System Settings Profiles to add configuration profiles."
        exit 1
        ;;
    remove | R)
        # Its real text is not known: nobody may rely on this one.
        echo "profiles: the profile cannot be removed" >&2
        exit 1
        ;;
    version)
        echo "version: 8.0"
        ;;
    renew | sync | validate | help) ;;
    *)
        echo "profiles: unknown verb" >&2
        exit 1
        ;;
esac
