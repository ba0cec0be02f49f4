#!/bin/sh
# Intune: a custom attribute for macOS, data type string.
# Made from plugins/plugin_utils/observe_macos.sh of scepfix, which see; docs/collector.md says how to deploy it.
mode=line

# shellcheck shell=sh
# Looks at one Mac and prints what a parser reads (scepfix.parsers.macos_observation). It changes nothing.
#
# Sent on standard input of `sh -s`, after a line `nonce=...`: the nonce is fresh, so no text of the device can pass for
# one of the marking lines. The tools are called by name; the sender sets PATH. All of it is functions, so that a
# script cut on its way does nothing, and no tool can read the script from standard input.
#
# After a line `mode=line` it prints one line instead, for an MDM to collect (docs/collector.md; its reader is
# scepfix.parsers.collected_line); with `mode=jamf` that line as Jamf wants it.

log=/var/log/com.okta.deviceaccess/OktaDeviceAccess.log
daemon=/usr/local/bin/OktaDAServiceDaemon
daemon_plist=/Library/LaunchDaemons/com.okta.deviceaccess.servicedaemon.plist
app='/Applications/Okta Verify.app'
system_keychain=/Library/Keychains/System.keychain

# section NAME COMMAND...: a marking line, what the command prints, a marking line with its exit code.
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

become_root() {
    rooted=no
    if [ "$(id -u)" = 0 ]; then
        rooted=yes
    elif sudo -n true 2>/dev/null; then
        rooted=yes
        root() { sudo -n "$@"; }
    fi
}

observe() {
    become_root
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

# --- one line for an MDM to collect: no name, no secret; fewer than 2,000 characters ---------------------------------

line_limit=1999

# Given one certificate as hex: `bad`, `other`, or of a leaf with the marker what is told of it, blanks in between:
# not before, not after, serial number, place and length of its SubjectPublicKeyInfo, authority key id, key usage,
# extended key usage, whether it signed itself, and the UUID or serial number in its subject.
# The marker is OID 1.3.6.1.4.1.51150.13.1 with INTEGER 1, or the extended key usage ...13.1.1.
read_certificate() {
    LC_ALL=C awk -v serial_number="$serial_number" '
        function fail() { print "bad"; exit }
        function byte(at) {
            return (index(digits, substr(hex, at * 2 + 1, 1)) - 1) * 16 + index(digits, substr(hex, at * 2 + 2, 1)) - 1
        }
        function bytes(from, to) { return substr(hex, from * 2 + 1, (to - from) * 2) }
        # Sets tag, first and last (one behind) of the element at that byte, which must end by the limit.
        function element(at, limit,    more, size) {
            if (at + 2 > limit) fail()
            tag = bytes(at, at + 1)
            size = byte(at + 1)
            first = at + 2
            if (size > 127) {
                more = size - 128
                if (more < 1 || more > 3 || first + more > limit) fail()
                for (size = 0; more > 0; more--) size = size * 256 + byte(first++)
            }
            last = first + size
            if (last > limit) fail()
        }
        function only(at, limit, wanted) {
            element(at, limit)
            if (tag != wanted || last != limit) fail()
        }
        function next_element(wanted, limit) {
            element(last, limit)
            if (tag != wanted) fail()
        }
        function characters(from, to,    said) {
            for (said = ""; from < to; from++) said = said characters_of[byte(from)]
            return said
        }
        function moment(    said) {
            said = characters(first, last)
            if (tag == "17" && said ~ /^[0-9]+Z$/ && length(said) == 13) {
                return (substr(said, 1, 1) < "5" ? "20" : "19") said
            }
            if (tag != "18" || said !~ /^[0-9]+Z$/ || length(said) != 15) fail()
            return said
        }
        # What in a subject is a device: a UUID, or our own serial number.
        function device_named(at, limit,    inner, part, said) {
            while (at < limit) {
                element(at, limit)
                at = last
                part = first
                while (part < at) {
                    element(part, at)
                    part = last
                    inner = first
                    element(inner, part)
                    element(last, part)
                    said = said " " tolower(characters(first, last))
                }
            }
            said = said " "
            if (match(said, "[^a-z0-9_-]" uuid "[^a-z0-9_-]")) return substr(said, RSTART + 1, 36)
            if (serial_number != "-" && match(said, "[^a-z0-9_-]" tolower(serial_number) "[^a-z0-9_-]")) {
                return toupper(serial_number)
            }
            return "-"
        }
        function usages(    said, known, limit) {
            only(first, last, "30")
            said = ""
            limit = last
            for (last = first; last < limit; ) {
                next_element("06", limit)
                known = bytes(first, last)
                if (known == "2b06010505070302") said = said "c"
                else if (known == "551d2500") said = said "a"
                else if (known == "2b06010401838f4e0d0101") { said = said "m"; by_usage = 1 }
                else if (said !~ /o/) said = said "o"
            }
            return said == "" ? "0" : said
        }
        function extension(at, limit,    kind) {
            element(at, limit)
            if (tag != "06") fail()
            kind = bytes(first, last)
            element(last, limit)
            if (tag == "01") element(last, limit)
            if (tag != "04" || last != limit) fail()
            if (kind == "2b06010401838f4e0d01") {
                marked = 1
                if (bytes(first, last) != "020101") wrong = 1
            } else if (kind == "551d0f" && usage == "-") {
                only(first, last, "03")
                if (first == last) fail()
                usage = bytes(first + 1, last)
                if (usage == "") usage = "00"
            } else if (kind == "551d25" && purposes == "-") {
                purposes = usages()
            } else if (kind == "551d13") {
                only(first, last, "30")
                if (first < last) {
                    element(first, last)
                    if (tag == "01" && bytes(first, last) != "00") authority = 1
                }
            } else if (kind == "551d23" && issuer_key == "-") {
                only(first, last, "30")
                if (first < last) {
                    element(first, last)
                    if (tag == "80" && first < last) issuer_key = bytes(first, last)
                }
            }
        }
        {
            digits = "0123456789abcdef"
            for (number = 0; number < 256; number++) characters_of[number] = " "
            for (number = 33; number < 127; number++) characters_of[number] = sprintf("%c", number)
            digit = "[0-9a-f]"
            four = digit digit digit digit
            uuid = four four "-" four "-" four "-" four "-" four four four
            hex = $0
            if (hex !~ /^[0-9a-f]+$/ || length(hex) % 2) fail()
            only(0, length(hex) / 2, "30")
            if (!index(hex, "2b06010401838f4e0d01")) { print "other"; exit }
            element(first, last)
            if (tag != "30") fail()
            end = last
            last = first
            element(last, end)
            if (tag == "a0") element(last, end)
            if (tag != "02" || first == last || byte(first) > 127) fail()
            serial = bytes(first, last)
            sub(/^0+/, "", serial)
            if (serial == "") serial = "0"
            next_element("30", end)
            from = last
            next_element("30", end)
            issuer = bytes(from, last)
            next_element("30", end)
            from = last
            limit = last
            element(first, limit)
            not_before = moment()
            element(last, limit)
            not_after = moment()
            last = from
            next_element("30", end)
            self = bytes(from, last) == issuer ? "y" : "n"
            from = last
            name = device_named(first, last)
            last = from
            next_element("30", end)
            key_at = from
            key_length = last - from
            usage = purposes = issuer_key = "-"
            while (last < end) {
                element(last, end)
                if (tag != "a3") continue
                stop = last
                only(first, stop, "30")
                for (at = first; at < stop; at = behind) {
                    element(at, stop)
                    if (tag != "30") fail()
                    behind = last
                    extension(first, behind)
                }
                last = stop
            }
            if (authority || !(by_usage || (marked && !wrong))) { print "other"; exit }
            print not_before, not_after, serial, key_at, key_length, issuer_key, usage, purposes, self, name
        }'
}

der() { printf '%s' "$pem" | openssl base64 -d 2>/dev/null; }

# What OpenSSL and LibreSSL print before the hash differs.
digest() { openssl dgst "-$1" | sed 's/.*= *//' | tr 'ABCDEF' 'abcdef'; }

told_certificate() {
    hex=$(der | od -An -v -tx1 | tr -d ' \n')
    # Common names of the certificates that every System keychain holds.
    case $hex in
        *0603550403??17636f6d2e6170706c652e73797374656d64656661756c74*) echo canary ;;
        *0603550403??16636f6d2e6170706c652e6b65726265726f732e6b6463*) echo canary ;;
    esac
    told=$(printf '%s\n' "$hex" | read_certificate)
    case $told in
        other) return ;;
        '' | bad) echo bad; return ;;
    esac
    # shellcheck disable=SC2086 # ten words
    set -- $told
    key='?'
    if [ "$keys_listed" = yes ]; then
        key=n
        case $identities in *" $(der | digest sha1 | tr 'abcdef' 'ABCDEF') "*) key=y ;; esac
    fi
    public_key=$(der | tail -c "+$(($4 + 1))" | head -c "$5" | digest sha256)
    echo "$1,$2,$3,$(der | digest sha256),$public_key,$6,$key,$7,$8,$9,${10}"
}

# A line each: `canary`, `bad` (not listed whole), or a certificate.
told_certificates() {
    listing=$(with_errors root security find-certificate -a -p -Z "$system_keychain") || echo bad
    identities=$(with_errors root security find-identity -p ssl-client "$system_keychain") || identities=''
    keys_listed=no
    case $identities in
        *SecKeychainOpen*) ;;
        *'identities found'*) keys_listed=yes ;;
    esac
    case $listing in *'security: '*) echo bad ;; esac
    pem='' inside=no
    printf '%s\n' "$listing" | while IFS= read -r text; do
        case $text in
            -----BEGIN*) pem='' inside=yes ;;
            -----END*) inside=no; told_certificate </dev/null ;;
            *) [ "$inside" = no ] || pem="$pem$text
" ;;
        esac
    done
}

# A line each: s (the computer's) or u (a person's), identifier, moment of installation, payload types; then `end`, without
# which they are no answer. Only profiles with a SCEP payload, and of single sign-on, which may use the same certificate.
told_profiles() {
    [ "$rooted" = yes ] || return
    LC_ALL=C
    export LC_ALL
    installed_profiles | awk '
        function plain(said,    at, one, result) {
            gsub(/&lt;/, "<", said)
            gsub(/&gt;/, ">", said)
            gsub(/&quot;/, "\"", said)
            gsub(/&apos;/, "\047", said)
            gsub(/&amp;/, "\\&", said)
            for (at = 1; at <= length(said); at++) {
                one = substr(said, at, 1)
                if (one !~ /[A-Za-z0-9._-]/) one = sprintf("%%%02X", codes[one])
                result = result one
            }
            return result
        }
        function moment(said) {
            if (said !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]( \+0000|Z)$/) {
                return "-"
            }
            said = substr(said, 1, 19)
            gsub(/[^0-9]/, "", said)
            return said "Z"
        }
        BEGIN {
            RS = "<"
            for (number = 1; number < 256; number++) codes[sprintf("%c", number)] = number
        }
        NR == 1 && /There are no configuration profiles installed/ { none = 1 }
        NR > 1 {
            at = index($0, ">")
            tag = substr($0, 1, at - 1)
            said = substr($0, at + 1)
            if (!at) broken = 1
            else if (tag == "dict" || tag == "array") {
                depth++
                seen = 1
                if (tag == "dict" && depth == 3) identifier = installed = types = wanted = ""
            }
            else if (tag == "/dict" || tag == "/array") {
                if (tag == "/dict" && depth == 3 && wanted != "") {
                    whose = owner == "_computerlevel" ? "s," : "u,"
                    found = found whose plain(identifier) "," moment(installed) "," types "\n"
                }
                depth--
            }
            else if (tag == "dict/" || tag == "array/") seen = 1
            else if (tag == "key") {
                if (depth == 1) owner = said
                else if (depth == 3) key = said
                else if (depth == 5) inner = said
            }
            else if (tag == "string" || tag == "date") {
                if (depth == 3 && key == "ProfileIdentifier") identifier = said
                if (depth == 3 && key == "ProfileInstallDate") installed = said
                if (depth == 5 && key == "ProfileItems" && inner == "PayloadType") {
                    types = types (types == "" ? "" : "+") plain(said)
                    if (said ~ /^com\.apple\.security\.scep$|sso/) wanted = 1
                }
            }
        }
        END {
            if (none || (seen && !broken && depth == 0)) printf "%send\n", found
        }'
}

# `none` (there is no log), `?`, `-` (nothing in it is known), or m1, m2, m3, mx (another failure) with the moment of the
# last one of each, in the order in which they stand there.
told_log() {
    quiet ls -d "$log" >/dev/null || { echo none; return; }
    { root tail -c 65536 "$log" 2>/dev/null || echo @@unread; } | LC_ALL=C awk '
        function said(what) { order[what] = NR; moments[what] = at }
        {
            at = "-"
            time = "[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9][:.][0-9][0-9][0-9]"
            if (match($0, time " [+-][0-9][0-9]:?[0-9][0-9] ") && RSTART < 8) {
                at = substr($0, RSTART, RLENGTH)
                gsub(/[^0-9+-]/, "", at)
            }
            if ($0 == "@@unread") unread = 1
            if (!index($0, "Recovery-Management")) next
            if (index($0, "Creating a new recovery enrollment")) said("m1")
            else if (!index($0, "Error Domain=OktaDAServiceDaemon")) next
            else if (index($0, "Cert error: JWT generation") && index($0, "noMatchingCertificate")) said("m2")
            else if (index($0, "Registration error: Response decoding") && /keyNotFound\(CodingKeys\(stringValue: \\*"id/) {
                said("m3")
            }
            else said("mx")
        }
        END {
            for (;;) {
                best = ""
                for (what in order) if (best == "" || order[what] < order[best]) best = what
                if (best == "") break
                list = list (list == "" ? "" : ",") best ":" moments[best]
                delete order[best]
            }
            if (list == "") list = "-"
            print unread ? "?" : list
        }'
}

# plain VALUE PATTERN: the value where it is of that form, else a hyphen.
plain() { printf '%s\n' "$1" | LC_ALL=C grep -E -x -e "$2" || echo -; }

line() {
    # What is told may have a question mark in it: no pattern of file names.
    set -f
    become_root
    at=$(date -u +%Y%m%d%H%M%SZ)
    hardware=$(quiet system_profiler SPHardwareDataType)
    serial_number=$(printf '%s\n' "$hardware" | sed -n 's/^[ 	]*Serial Number[^:]*:[ 	]*//p')
    serial_number=$(plain "$serial_number" '[A-Za-z0-9-]{4,40}')
    uuid=$(printf '%s\n' "$hardware" | sed -n 's/^[ 	]*Hardware UUID:[ 	]*//p')
    uuid=$(plain "$uuid" '[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}')
    version=$(plain "$(quiet sw_vers -productVersion)" '[0-9.]{1,20}')
    build=$(plain "$(quiet sw_vers -buildVersion)" '[A-Za-z0-9.]{1,20}')
    okta=$(plain "$(quiet defaults read "$app/Contents/Info" CFBundleShortVersionString)" '[0-9.]{1,30}')
    enrolled='?'
    case $(quiet root profiles status -type enrollment) in
        *'MDM enrollment: Yes'*) enrolled=y ;;
        *'MDM enrollment: No'*) enrolled=n ;;
    esac
    service=n
    case $(quiet ls -d "$daemon" "$daemon_plist") in ?*) service=y ;; esac
    head="scepfix1 os=macos at=$at sn=$serial_number uuid=$uuid version=$version build=$build root=$rooted"
    lines=$(told_log)
    head="$head enrolled=$enrolled service=$service okta=$okta log=${lines:-?}"
    tail='' profiles='?' count=0
    for told in $(told_profiles); do
        case $told in end) profiles=$count ;; *) count=$((count + 1)) tail="$tail p=$told" ;; esac
    done
    if [ "$profiles" = '?' ] || [ "${#tail}" -gt 700 ]; then
        profiles='?' tail=''
    fi
    certificates=$(told_certificates)
    complete=n
    if printf '%s\n' "$certificates" | grep -q -x canary; then
        complete=y
    fi
    if printf '%s\n' "$certificates" | grep -q -x bad; then
        complete=n
    fi
    body='' count=0 more=0
    for told in $(printf '%s\n' "$certificates" | grep , | LC_ALL=C sort -r); do
        count=$((count + 1))
        # The rest is what comes behind: complete=, profiles=, certificates=, more=, sum=.
        if [ "$more" -gt 0 ] || [ $((${#head} + ${#body} + ${#told} + ${#tail} + 75)) -gt "$line_limit" ]; then
            more=$((more + 1)) complete=n
        else
            body="$body c=$told"
        fi
    done
    told="$head complete=$complete profiles=$profiles certificates=$count more=$more$body$tail"
    told="$told sum=$(printf %s "$told" | digest sha256 | cut -c 1-16)"
    if [ "${mode:-}" = jamf ]; then
        told="<result>$told</result>"
    fi
    printf '%s\n' "$told"
}

case ${mode:-observe} in
    observe) observe </dev/null ;;
    *) line </dev/null ;;
esac
