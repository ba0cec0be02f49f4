"""One look at a PC: what ``observe_windows.ps1`` printed, one line of JSON, as an observation.

It has not met a real Windows: formats are those of Microsoft's documentation. The line begins with
``{"schema":"scepfix/windows/1"``; what a shell prints around it is passed over. The serial number and UUID are those of
Win32_BIOS and Win32_ComputerSystemProduct. A person's own certificates, by SID, come as Windows keeps them
(windows_certificate_blob.py). ``scep`` are the nodes of the ClientCertificateInstall CSP: what an MDM asked for, and
how that stands (Microsoft's documentation: Status 1 done, 2 pending, 16 failed, 32 unknown).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime
from typing import Any

from scepfix.domain.certificate import issued_by_okta
from scepfix.domain.device import Identity, InstalledProfile, Observation, StoredCertificate
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import SCEP_TYPE
from scepfix.parsers.macos_observation import LIMIT_BYTES, LOG_BYTES, LONGEST_TEXT, clock_offset_seconds
from scepfix.parsers.windows_certificate_blob import certificate_in_blob
from scepfix.parsers.x509 import read_certificate

_BEGIN = b'{"schema":"scepfix/windows/1"'
_STATUS = {1: "done", 2: "pending", 16: "failed"}
_SID = re.compile(r"S-1-[0-9-]{1,100}", re.ASCII)
_MOST = 2000
#: Placeholders of boards that were never given a number (SMBIOS); many machines share them.
_NO_SERIAL = frozenset({"", "NONE", "DEFAULT STRING", "SYSTEM SERIAL NUMBER", "TO BE FILLED BY O.E.M.", "0"})
_NO_UUID = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
    }
)


def parse_windows_observation(data: bytes, sent_at: datetime, received_at: datetime) -> Observation:
    """Given what the script printed and the controller's aware times around the look, return the observation.

    Raise InputError where it is no whole answer. ``complete``: LocalMachine\\My was listed by an administrator without
    an error, and the roots that every Windows has were seen.
    """
    found = document_after(data, _BEGIN)
    problems = [str(one) for one in _list(found.get("problems"))]
    certificates, whole = _store(found.get("local_machine"), "local-machine", problems)
    complete = whole and found.get("administrator") is True and _number(found.get("roots")) > 0
    if not complete:
        problems.append("the computer's certificates were not listed whole (an administrator is needed)")
    certificates += _store(found.get("current_user"), "current-user", problems)[0]
    certificates += _personal(found.get("personal"), problems)
    seconds = found.get("time")
    return Observation(
        platform=Platform.WINDOWS,
        observed_at=received_at,
        identity=identity_of_pc(_text(found.get("serial_number")), _text(found.get("hardware_uuid")), problems),
        name=_text(found.get("computer_name")),
        os_version=_text(found.get("os_version")),
        os_build=_text(found.get("os_build")),
        clock_offset_seconds=clock_offset_seconds(str(seconds), sent_at, received_at, problems),
        complete=complete,
        certificates=tuple(certificates),
        profiles=_profiles(found.get("scep")),
        enrolled=_truth(found.get("enrolled")),
        daemon_present=_truth(found.get("service_present")),
        okta_verify_version=_text(found.get("okta_verify_version")),
        log=_log(found.get("log"), problems),
        problems=tuple(visible(problem)[:LONGEST_TEXT] for problem in problems[:50]),
    )


def document_after(data: bytes, begin_with: bytes) -> dict[str, Any]:
    """Given what a script printed and how its line begins, return the object. Raise InputError where it is cut."""
    if len(data) > LIMIT_BYTES:
        raise InputError("observation-too-large", f"more than {LIMIT_BYTES // 1024**2} MiB", hint="look at the device")
    begin = data.find(begin_with)
    if begin < 0:
        raise InputError("observation-cut", "the device said something else", hint="is its shell PowerShell?")
    line = data[begin:].split(b"\n")[0]
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError("observation-cut", "the answer is cut, or no JSON", hint="look again") from None
    if not isinstance(found, dict) or found.get("whole") is not True:
        raise InputError("observation-cut", "the answer ends before its last word", hint="look again")
    return found


def _store(value: object, store: str, problems: list[str]) -> tuple[list[StoredCertificate], bool]:
    """Return the certificates of interest, and whether all of the store could be read."""
    entries = _list(value)
    found, whole = [], _is_list(value) and len(entries) <= _MOST
    for one in entries[:_MOST]:
        entry = one if isinstance(one, dict) else {}
        der = _bytes(entry.get("raw_data"))
        kept = None if der is None else _of_interest(der)
        if der is None or kept is None:
            whole = False
            problems.append(f"a certificate of {store} could not be read")
        elif kept:
            found.append(StoredCertificate(der, store, _truth(entry.get("has_private_key"))))
    return found, whole


def _personal(value: object, problems: list[str]) -> list[StoredCertificate]:
    """Return those of people's own stores; one that lies in a file and in the registry is there twice."""
    if not _is_list(value):
        problems.append("people's own certificates could not be read")
    found: dict[tuple[str, bytes], StoredCertificate] = {}
    for one in _list(value)[:_MOST]:
        entry = one if isinstance(one, dict) else {}
        sid = _text(entry.get("sid"))
        store = f"user:{sid}" if _SID.fullmatch(sid) else "user"
        for blob in _list(entry.get("blobs"))[:_MOST]:
            der = certificate_in_blob(_bytes(blob) or b"")
            if der is not None and _of_interest(der):
                found[store, der] = StoredCertificate(der, store)
    return list(found.values())


def _of_interest(der: bytes) -> bool | None:
    """Has it the marker, or does it look like Okta's? None where it cannot be read."""
    try:
        one = read_certificate(der)
    except InputError:
        return None
    return one.marker or issued_by_okta(one.issuer, one.subject)


def identity_of_pc(serial: str, uuid: str, problems: list[str]) -> Identity:
    """Given what a PC says of itself, return its keys; what many machines share is none, and a problem."""
    serial, uuid = serial.upper(), uuid.upper()
    if serial in _NO_SERIAL or not re.fullmatch(r"[A-Z0-9][A-Z0-9 ._/-]{2,60}", serial, re.ASCII):
        problems.append("the device did not say its serial number")
        serial = ""
    if uuid in _NO_UUID or not re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", uuid, re.ASCII):
        problems.append("the device did not say its hardware UUID")
        uuid = ""
    return Identity(serial_number=serial, hardware_uuid=uuid)


def _profiles(value: object) -> tuple[InstalledProfile, ...] | None:
    """Windows has no profiles: a node of the SCEP configuration service is what an MDM delivers."""
    if not _is_list(value):
        return None
    nodes = [one for one in _list(value)[:_MOST] if isinstance(one, dict)]
    return tuple(
        InstalledProfile(_text(one.get("instance_id")), (SCEP_TYPE,), enrolment=_enrolment(one)) for one in nodes
    )


def _enrolment(node: dict[str, Any]) -> str:
    """Return how an enrolment stands: a word, the error's number (an HRESULT), the SHA-1 of the certificate it got."""
    code = _number(node.get("error_code")) & 0xFFFFFFFF
    thumbprint = _text(node.get("thumbprint")).lower()
    return ", ".join(
        [
            _STATUS.get(_number(node.get("status")), "unknown"),
            *([f"error 0x{code:08X}"] if code else []),
            *([f"certificate {thumbprint}"] if re.fullmatch("[0-9a-f]{40}", thumbprint) else []),
        ]
    )


def _log(value: object, problems: list[str]) -> bytes:
    log = _bytes(value)
    if log is None:
        problems.append("the end of the Device Access log could not be read")
        return b""
    return log[-LOG_BYTES:]


def _bytes(value: object) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def _text(value: object) -> str:
    return visible(value.strip())[:LONGEST_TEXT] if isinstance(value, str) else ""


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _is_list(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and isinstance(value.get("value"), list))


def _list(value: object) -> list[Any]:
    """Windows PowerShell 5.1 sometimes wraps a list in ``{"value": […], "Count": n}``."""
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, list) else []
