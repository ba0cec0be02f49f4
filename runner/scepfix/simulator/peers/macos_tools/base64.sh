#!/bin/sh
# macOS base64 of standard input: one long line.
set -u
PATH=${PATH#*:}
base64 | tr -d '\n'
echo
