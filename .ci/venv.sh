#!/bin/sh
# Given a Python and a folder, make the folder a virtual environment with the locked packages, scepfix (editable)
# and the collection (a link to this repository). Run again, it brings the environment up to date.
set -eu

python=$1 venv=$2
root=$(pwd -P)
PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_DISABLE_PIP_VERSION_CHECK

"$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --require-hashes -r requirements/dev.txt

# pip and uv follow the link when they uninstall a copy of their own, and would delete the source: it goes first.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
link=$site/ansible_collections/scepfix/device_access
if [ -L "$link" ]; then rm "$link"; fi
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
if [ -e "$link" ]; then
    echo "$link is a copy that belongs to another installation; remove that one first" >&2
    exit 1
fi
mkdir -p "$(dirname "$link")"
ln -s "$root" "$link"
