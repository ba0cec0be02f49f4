#!/bin/sh
# Peers are independent programs the tests compare with. Given nothing, install the absent ones with apt-get (root);
# given --list, print the absent ones and what is not tested without them. No peer is needed to use scepfix.
set -eu

peers="openssl|openssl|another reading of the same certificates
scepserver|scep|enrolment at a real SCEP server
rg|ripgrep|the yardstick of the log benchmark"

absent=$(echo "$peers" | while IFS='|' read -r tool package what; do
    command -v "$tool" >/dev/null 2>&1 || echo "$tool|$package|$what"
done)

if [ -z "$absent" ]; then
    echo "peers: all present"
    exit 0
fi
if [ "${1:-}" = "--list" ]; then
    echo "peers absent, their tests were skipped:"
    echo "$absent" | while IFS='|' read -r tool package what; do
        echo "  $tool (Debian package $package): $what"
    done
    exit 0
fi

packages=$(echo "$absent" | cut -d '|' -f 2 | tr '\n' ' ')
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    echo "peers: to install them, as root on Debian: apt-get install $packages" >&2
    exit 1
fi
# The index may be absent on a fresh image; without it apt-get knows no package.
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
}
echo "peers: installed $packages"
