#!/bin/sh
# sudo of an administrator who may do everything without a password.
set -u
while [ $# -gt 0 ]; do
    case $1 in
        -u | -p | -g) shift 2 ;;
        --) shift; break ;;
        -*) shift ;;
        *=*) export "${1?}"; shift ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || exit 0
exec "$@"
