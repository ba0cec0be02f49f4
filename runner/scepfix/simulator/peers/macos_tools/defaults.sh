#!/bin/sh
# macOS defaults read, for the version of Okta Verify.
set -u
# What it calls itself are this machine's tools, not the Mac's.
PATH=${PATH#*:}
IFS= read -r version <"$SCEPFIX_MAC/facts/okta_verify_version"
case "${1:-} ${2:-} ${3:-}" in
    "read /Applications/Okta Verify.app/Contents/Info"*" CFBundleShortVersionString") echo "$version" ;;
    *)
        echo "The domain/default pair of (${2:-}, ${3:-}) does not exist" >&2
        exit 1
        ;;
esac
