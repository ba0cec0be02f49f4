"""The stub PC: what it answers to the PowerShell script, put together from its state; there is no Windows behind it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime

from scepfix.simulator.keychain import Item

#: Where the moment of the answer goes, in Unix seconds.
NOW = "@NOW@"


def document(
    name: str, serial_number: str, hardware_uuid: str, items: Sequence[Item], profile: str, refused_at: datetime | None
) -> str:
    """Given a PC's name, keys, computer store, SCEP node ("" none) and last refusal, return the answer, one line."""
    found = {
        "schema": "scepfix/windows/1",
        "time": NOW,
        "administrator": True,
        "computer_name": name,
        "serial_number": serial_number,
        "hardware_uuid": hardware_uuid,
        "os_version": "10.0.26100",
        "os_build": "26100.2314",
        "roots": 14,
        "local_machine": [
            {"raw_data": base64.b64encode(item.der).decode("ascii"), "has_private_key": item.private_key}
            for item in items
        ],
        "current_user": [],
        "personal_files": [],
        "scep": [{"instance_id": profile}] if profile else [],
        "enrolled": True,
        "service_present": True,
        "okta_verify_version": "6.2.0",
        "log": base64.b64encode(_log(refused_at).encode("utf-8")).decode("ascii"),
        "problems": [],
        "whole": True,
    }
    return json.dumps(found, separators=(",", ":")) + "\n"


def _log(refused_at: datetime | None) -> str:
    """W2 and W3, as Okta's support article prints them."""
    if refused_at is None:
        return ""
    stamp = f"{refused_at:%Y-%m-%d %H:%M:%S}.154 +00:00"
    return (
        f"{stamp} [ERR] [DevicePrincipalAuthenticator.CanRegisterClient] Device cannot be registered: "
        "Could not find a valid certificate for device authentication.\n"
        f"{stamp} [INF] [ 🟦 ] [DeviceRegistrationJob::RunRegistrationLoop] Device Registration: "
        "Device not eligible for registration\n"
    )
