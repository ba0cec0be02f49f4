#!/bin/sh
# Peers are independent programs the tests compare with. Given nothing, install the absent ones with apt-get (root), and
# nanomdm with Go where that is here; given --list, print the absent ones and what is not tested without them. No peer is
# needed to use scepfix.
set -eu
cd "${0%/*}/.."

# Kept in .peers/bin, which git ignores; tests look there first (tests/contract/nanomdm_server.py).
nanomdm="github.com/micromdm/nanomdm/cmd/nanomdm@v0.9.0"
nanomdm_absent() {
    ! [ -x .peers/bin/nanomdm ] && ! command -v nanomdm >/dev/null 2>&1 && [ -z "${SCEPFIX_NANOMDM:-}" ]
}
build_nanomdm() {
    if ! command -v go >/dev/null 2>&1; then
        echo "peers: no Go here, so nanomdm is not built: its tests run against a small one of our own"
    elif GOBIN="$PWD/.peers/bin" GOTOOLCHAIN=local timeout 600 go install "$nanomdm" >.peers.log 2>&1; then
        rm -f .peers.log
        echo "peers: built nanomdm in .peers/bin"
    else
        echo "peers: nanomdm could not be built: $(tail -n 1 .peers.log)" >&2
        rm -f .peers.log
    fi
}

peers="openssl|openssl|another reading of the same certificates
scepserver|scep|enrolment at a real SCEP server
rg|ripgrep|the yardstick of the log benchmark"

absent=$(echo "$peers" | while IFS='|' read -r tool package what; do
    command -v "$tool" >/dev/null 2>&1 || echo "$tool|$package|$what"
done)

if [ -z "$absent" ] && ! nanomdm_absent; then
    echo "peers: all present"
    exit 0
fi
if [ "${1:-}" = "--list" ]; then
    echo "peers absent, their tests were skipped:"
    if nanomdm_absent; then
        echo "  nanomdm (make peers builds it where Go is): the real MDM server, with Macs that speak its protocol"
    fi
    [ -z "$absent" ] || echo "$absent" | while IFS='|' read -r tool package what; do
        echo "  $tool (Debian package $package): $what"
    done
    exit 0
fi

if nanomdm_absent; then
    build_nanomdm
fi
if [ -z "$absent" ]; then
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
