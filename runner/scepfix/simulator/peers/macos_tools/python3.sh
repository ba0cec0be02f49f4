#!/bin/sh
# python3 on a Mac without developer tools: a shim that opens an installer and fails.
echo "xcode-select: note: No developer tools were found, requesting install." >&2
exit 1
