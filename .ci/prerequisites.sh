#!/bin/sh
# Given PYTHON (empty: look for one), print the Python to build with; say what is missing and how to install it.
# Exit 1 when something is missing. Nothing is installed here.
set -eu

missing=""
for tool in git make ssh; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done

# Trying beats looking: the shims of version managers are on PATH for versions that are not installed.
in_range='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
python="" incomplete=""
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    "$candidate" -c "$in_range" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
    incomplete=${incomplete:-$candidate}
done
if [ -z "$python" ]; then
    if [ -n "$incomplete" ]; then
        missing="$missing venv-and-ensurepip-of-$incomplete"
    else
        missing="$missing python-3.11-to-3.13"
    fi
fi

if [ -n "$missing" ]; then
    echo "missing:$missing" >&2
    lines="apt-get:apt-get install git make python3 python3-venv openssh-client
dnf:dnf install git make python3 openssh-clients
brew:brew install git make python@3.13 openssh"
    found=$(echo "$lines" | while IFS=: read -r manager line; do
        if command -v "$manager" >/dev/null 2>&1; then echo "install: $line"; fi
    done)
    # On a system with none of the three, all lines together at least name the packages.
    [ -n "$found" ] || found=$(echo "$lines" | while IFS=: read -r _ line; do echo "install: $line"; done)
    echo "$found" >&2
    exit 1
fi
echo "$python"
