#!/bin/sh
# macOS system_profiler, for the two data types that matter here.
set -u
# What it calls itself are this machine's tools, not the Mac's.
PATH=${PATH#*:}
if [ -e "$SCEPFIX_MAC/behaviour/other-identity" ]; then
    { IFS= read -r serial && IFS= read -r uuid; } <"$SCEPFIX_MAC/behaviour/other-identity"
else
    IFS= read -r serial <"$SCEPFIX_MAC/facts/serial_number"
    IFS= read -r uuid <"$SCEPFIX_MAC/facts/hardware_uuid"
fi
kind='' xml=no
for argument do
    case $argument in
        SP*) kind=$argument ;;
        -xml) xml=yes ;;
        *) ;;
    esac
done
case $kind in
    SPHardwareDataType)
        cat <<HARDWARE
Hardware:

    Hardware Overview:

      Model Name: MacBook Pro
      Model Identifier: Mac15,3
      Chip: Apple M3
      Memory: 16 GB
      Serial Number (system): $serial
      Hardware UUID: $uuid
      Provisioning UDID: $uuid
      Activation Lock Status: Disabled

HARDWARE
        ;;
    SPConfigurationProfileDataType)
        if [ "$xml" = yes ]; then
            cat "$SCEPFIX_MAC/profiles-sp.xml"
        fi
        ;;
    *) ;;
esac
