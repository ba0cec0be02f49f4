#!/bin/sh
# macOS sw_vers.
set -u
# What it calls itself are this machine's tools, not the Mac's.
PATH=${PATH#*:}
IFS= read -r version <"$SCEPFIX_MAC/facts/os_version"
IFS= read -r build <"$SCEPFIX_MAC/facts/os_build"
case ${1:-} in
    -productVersion | --productVersion) echo "$version" ;;
    -buildVersion | --buildVersion) echo "$build" ;;
    -productName | --productName) echo "macOS" ;;
    *) printf 'ProductName:\t\tmacOS\nProductVersion:\t\t%s\nBuildVersion:\t\t%s\n' "$version" "$build" ;;
esac
