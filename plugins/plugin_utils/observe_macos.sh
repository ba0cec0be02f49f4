# shellcheck shell=sh
# Looks at one Mac and prints what the parser (scepfix.parsers.macos_observation) reads. It changes nothing.
#
# Sent on standard input of `sh -s`, after a line `nonce=…`: the nonce is fresh, so no text of the device can pass for
# one of the marking lines. The tools are called by name; the sender sets PATH. All of it is one function, so that a
# script cut on its way does nothing, and no tool can read the script from standard input.

log=/var/log/com.okta.deviceaccess/OktaDeviceAccess.log
daemon=/usr/local/bin/OktaDAServiceDaemon
daemon_plist=/Library/LaunchDaemons/com.okta.deviceaccess.servicedaemon.plist
app='/Applications/Okta Verify.app'
system_keychain=/Library/Keychains/System.keychain

# section NAME COMMAND…: a marking line, what the command prints, a marking line with its exit code.
section() {
    section_name=$1
    shift
    printf '\n@@%s begin %s\n' "${nonce:?}" "$section_name"
    "$@"
    printf '\n@@%s end %s %s\n' "$nonce" "$section_name" "$?"
}

root() { "$@"; }

# Errors of security tell that it searched another keychain than the one asked for, so they belong to the listing.
with_errors() { "$@" 2>&1; }

quiet() { "$@" 2>/dev/null; }

# A log is bytes of any kind; what Ansible carries is text.
end_of_log() { root tail -c 65536 "$log" 2>/dev/null | base64; }

# Without the SCEP challenge, which is a secret and stays on the device.
installed_profiles() {
    root profiles show -type configuration -output stdout-xml 2>/dev/null |
        sed '/<key>Challenge<\/key>/,/<\/string>/d'
}

# The name first, on a line of its own: a person chose it.
login_keychain() {
    printf '%s\n' "$1"
    with_errors root security find-certificate -a -p -Z "/Users/$1/Library/Keychains/login.keychain-db"
}

observe() {
    rooted=no
    if [ "$(id -u)" = 0 ]; then
        rooted=yes
    elif sudo -n true 2>/dev/null; then
        rooted=yes
        root() { sudo -n "$@"; }
    fi
    section clock date -u +%s
    section user echo "$rooted"
    section system quiet sw_vers
    section hardware quiet system_profiler SPHardwareDataType
    section name quiet scutil --get ComputerName
    section profiles installed_profiles
    section enrollment quiet root profiles status -type enrollment
    section certificates with_errors root security find-certificate -a -p -Z "$system_keychain"
    section identities with_errors root security find-identity -p ssl-client "$system_keychain"
    quiet ls /Users | while IFS= read -r person; do
        case $person in Shared | Guest | .*) continue ;; esac
        section login login_keychain "$person" </dev/null
    done
    section files quiet ls -d "$log" "$daemon" "$daemon_plist" "$app"
    section okta-verify quiet defaults read "$app/Contents/Info" CFBundleShortVersionString
    section log end_of_log
    printf '\n@@%s whole\n' "$nonce"
}

observe </dev/null
