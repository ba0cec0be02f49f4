#!/bin/sh
# macOS security, as far as certificates go (Apple's SecurityTool: keychain_find.c, identity_find.m, keychain_delete.c).
set -u
# What it calls itself are this machine's tools, not the Mac's.
PATH=${PATH#*:}
mac=$SCEPFIX_MAC
IFS= read -r user <"$mac/facts/user"
system=$mac/keychains/system
login=$mac/keychains/login-$user

fail() {
    echo "security: $1" >&2
    exit "$2"
}

# Sets $folders to the folders of the keychains named, one a line. One that cannot be opened is told on stderr; where
# none is left, the default search list is searched instead.
search() {
    folders=''
    for path do
        case $path in
            /Library/Keychains/System.keychain) folder=$system ;;
            /Users/*/Library/Keychains/login.keychain*)
                folder=${path#/Users/}
                folder=$mac/keychains/login-${folder%%/*}
                ;;
            *) folder='' ;;
        esac
        if [ -n "$folder" ] && [ -d "$folder" ]; then
            folders="$folders$folder
"
        else
            echo "security: SecKeychainOpen $path: The specified keychain could not be found." >&2
        fi
    done
    if [ -z "$folders" ]; then
        folders="$login
$system
"
    fi
}

# Calls "$@ PATH" (without .cert) for each certificate in $folders; an unreadable keychain looks like an empty one.
each() {
    if [ -e "$mac/behaviour/unreadable-keychain" ]; then
        return
    fi
    while IFS= read -r folder; do
        [ -n "$folder" ] || continue
        for file in "$folder"/*.cert; do
            if [ -e "$file" ]; then
                "$@" "${file%.cert}"
            fi
        done
    done <<FOLDERS
$folders
FOLDERS
}

named() {
    [ -z "$name" ] || grep -i -F -q -e "$name" "$1.name"
}

print_certificate() {
    if [ "$all" = no ] && [ "$found" -gt 0 ]; then
        return
    fi
    named "$1" || return 0
    found=$((found + 1))
    if [ "$hash" = yes ] && [ "$pem" = yes ]; then
        cat "$1.cert"
    elif [ "$pem" = yes ]; then
        tail -n +3 "$1.cert"
    else
        if [ "$hash" = yes ]; then
            head -n 2 "$1.cert"
        fi
        IFS= read -r label <"$1.name"
        case $1 in
            "$system"/*) echo 'keychain: "/Library/Keychains/System.keychain"' ;;
            *) echo "keychain: \"/Users/$user/Library/Keychains/login.keychain-db\"" ;;
        esac
        printf 'version: 256\nclass: 0x80001000 \nattributes:\n    "labl"<blob>="%s"\n' "$label"
    fi
}

find_certificate() {
    all=no hash=no pem=no name='' found=0
    while getopts ac:e:mpZ option; do
        case $option in
            a) all=yes ;;
            c) name=$OPTARG ;;
            p) pem=yes ;;
            Z) hash=yes ;;
            e | m) ;;
            *) exit 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    search "$@"
    each print_certificate
    if [ "$all" = no ] && [ "$found" -eq 0 ]; then
        fail "SecKeychainSearchCopyNext: The specified item could not be found in the keychain." 44
    fi
}

# In: $valid_only. Counts in $number.
print_identity() {
    [ -e "$1.key" ] || return 0
    {
        IFS= read -r sha1
        read -r starts ends
        IFS= read -r problem
        IFS= read -r label
    } <"$1.key"
    if [ "$now" -gt "$ends" ]; then
        problem=CSSMERR_TP_CERT_EXPIRED
    elif [ "$now" -lt "$starts" ]; then
        problem=CSSMERR_TP_CERT_NOT_VALID_YET
    fi
    if [ -z "$problem" ]; then
        number=$((number + 1))
        printf '%3d) %s "%s"\n' "$number" "$sha1" "$label"
    elif [ "$valid_only" = no ]; then
        number=$((number + 1))
        printf '%3d) %s "%s" (%s)\n' "$number" "$sha1" "$label" "$problem"
    fi
}

find_identity() {
    listed=no policy="X.509 Basic"
    while getopts p:s:v option; do
        case $option in
            p) if [ "$OPTARG" = ssl-client ]; then policy="SSL (client)"; fi ;;
            v) listed=yes ;;
            s) ;;
            *) exit 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    search "$@"
    now=$("${0%/*}/date" +%s)
    if [ "$listed" = no ]; then
        printf '\nPolicy: %s\n  Matching identities\n' "$policy"
        number=0 valid_only=no
        each print_identity
        printf '     %d identities found\n\n  Valid identities only\n' "$number"
    fi
    number=0 valid_only=yes
    each print_identity
    printf '     %d valid identities found\n' "$number"
}

# In: $wanted (a hash, upper case) or $name; collects the paths in $matches and their number in $found.
match() {
    if [ -n "$wanted" ]; then
        { read -r _ _ sha256 && read -r _ _ sha1; } <"$1.cert"
        [ "$wanted" = "$sha256" ] || [ "$wanted" = "$sha1" ] || return 0
    else
        named "$1" || return 0
    fi
    if [ "$kind" = identity ] && [ ! -e "$1.key" ]; then
        return
    fi
    found=$((found + 1))
    matches=$1
}

delete() {
    kind=$1
    shift
    wanted='' name='' found=0 matches=''
    OPTIND=1
    while getopts c:tZ: option; do
        case $option in
            c) name=$OPTARG ;;
            Z) wanted=$(printf %s "$OPTARG" | tr abcdef ABCDEF) ;;
            t) ;;
            *) exit 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    [ -n "$wanted$name" ] || exit 2
    search "$@"
    each match
    if [ "$found" -ne 1 ]; then
        echo "Unable to delete certificate matching \"${wanted:-$name}\"" >&2
        exit 1
    fi
    # Without its certificate the key is no identity any more: neither verb leaves one behind.
    rm -f "$matches.cert" "$matches.key" "$matches.name"
}

get_identity_preference() {
    service='' hash=no pem=no
    while getopts s:u:cpZ option; do
        case $option in
            s) service=$OPTARG ;;
            p) pem=yes ;;
            Z) hash=yes ;;
            u | c) ;;
            *) exit 2 ;;
        esac
    done
    for folder in "$mac"/preferences/*; do
        [ -d "$folder" ] || continue
        IFS= read -r known <"$folder/service"
        if [ "$known" = "$service" ]; then
            for file in "$folder"/*.cert; do
                if [ "$hash" = yes ]; then head -n 2 "$file"; fi
                if [ "$pem" = yes ]; then tail -n +3 "$file"; fi
                if [ "$hash$pem" = nono ]; then
                    IFS= read -r label <"${file%.cert}.name"
                    echo "identity: \"$label\""
                fi
            done
            return
        fi
    done
    fail "SecIdentityCopyPreferred: The specified item could not be found in the keychain." 44
}

[ $# -gt 0 ] || exit 2
verb=$1
shift
case $verb in
    find-certificate) find_certificate "$@" ;;
    find-identity) find_identity "$@" ;;
    delete-certificate) delete certificate "$@" ;;
    delete-identity) delete identity "$@" ;;
    get-identity-preference) get_identity_preference "$@" ;;
    list-keychains)
        printf '    "/Users/%s/Library/Keychains/login.keychain-db"\n' "$user"
        echo '    "/Library/Keychains/System.keychain"'
        ;;
    *) fail "unknown command \"$verb\"" 2 ;;
esac
