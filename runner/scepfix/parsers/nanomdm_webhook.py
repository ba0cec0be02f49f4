"""What NanoMDM posts to its webhook: a check-in of a device, or its answer to an MDM command.

JSON, described by NanoMDM's ``service/webhook/event.json``; the device's own message is in it as a base64 property
list (``raw_payload``). Of that only what is needed is kept: no push token, no unlock token, no bootstrap token.

>>> event = read_webhook_event(b'''{"topic": "mdm.Connect", "created_at": "2026-11-24T09:00:00Z", "acknowledge_event": {
...   "ids": {"id": "66ADE930-5FDF-5EC4-8429-15640684C489", "type": "Device"}, "status": "Idle", "raw_payload": ""}}''')
>>> event.device, event.topic, event.status
('66ADE930-5FDF-5EC4-8429-15640684C489', 'mdm.Connect', 'Idle')
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from scepfix.domain.errors import InputError
from scepfix.domain.moment import parse_rfc3339
from scepfix.parsers.plist_bytes import read_plist

#: What NanoMDM makes of a UDID or EnrollmentID goes into paths, where a comma and a colon have a meaning of their own.
ENROLLMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", re.ASCII)
_COMMAND = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_EVENT = re.compile(r"[\x21-\x7e]{0,128}", re.ASCII)
_WORD = re.compile(r"[A-Za-z ]{1,40}", re.ASCII)
_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event, of one device channel; all text is as it came.

    ``device`` is the enrollment id, "" for an event of a user channel, which tells nothing here. ``status`` and
    ``command`` are those of an answer (``Acknowledged``, ``Error``, ``NotNow``, ``Idle``, …). ``profiles`` are the
    identifiers of a ProfileList, ``certificates`` the DERs of a CertificateList, None where it is no such answer.
    ``serial_number``, ``hardware_uuid``, ``name`` and ``push_topic`` are "" where the message does not say them.

    ``created_at``, by NanoMDM's clock, and ``event_id`` ("" where it has none) say which event it is, not what it
    tells: two that tell the same are equal. None: as of its coming.
    """

    topic: str
    device: str = ""
    command: str = ""
    status: str = ""
    serial_number: str = ""
    hardware_uuid: str = ""
    name: str = ""
    push_topic: str = ""
    profiles: tuple[str, ...] | None = None
    certificates: tuple[bytes, ...] | None = field(default=None, repr=False)
    created_at: datetime | None = field(default=None, compare=False)
    event_id: str = field(default="", compare=False)


def read_webhook_event(body: bytes) -> WebhookEvent:
    """Given the body of a request, return the event. Raise InputError where it is none; no content is in the error."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _no_event("it is no JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("topic"), str):
        raise _no_event("it has no topic")
    topic = document["topic"]
    if not re.fullmatch(r"[A-Za-z.]{1,64}", topic, re.ASCII):
        raise _no_event("its topic is no word")
    created_at, event_id = parse_rfc3339(document.get("created_at")), document.get("event_id", "")
    if created_at is None:
        raise _no_event("it does not say when it was created")
    if not isinstance(event_id, str) or not _EVENT.fullmatch(event_id):
        raise _no_event("its event_id is no identifier")
    said = document.get("acknowledge_event" if topic == "mdm.Connect" else "checkin_event")
    if not isinstance(said, dict):
        raise _no_event("what its topic promises is not in it")
    return replace(_told(topic, said), created_at=created_at, event_id=event_id)


def _told(topic: str, said: Mapping[str, Any]) -> WebhookEvent:
    device = _device(said)
    status = said.get("status", "")
    if not device:
        return WebhookEvent(topic)
    if topic == "mdm.Connect":
        return _answer(device, status, said)
    if topic in ("mdm.Authenticate", "mdm.TokenUpdate", "mdm.CheckOut"):
        message = _message(said)
        return WebhookEvent(
            topic,
            device,
            serial_number=_text(message, "SerialNumber"),
            hardware_uuid=_text(message, "UDID"),
            name=_text(message, "DeviceName"),
            push_topic=_text(message, "Topic"),
        )
    return WebhookEvent(topic, device)


def _answer(device: str, status: object, said: Mapping[str, Any]) -> WebhookEvent:
    if not isinstance(status, str) or not _WORD.fullmatch(status):
        raise _no_event("its status is no word")
    command = said.get("command_uuid", "")
    if not isinstance(command, str) or (command and not _COMMAND.fullmatch(command)):
        raise _no_event("its command_uuid is no identifier")
    if status != "Acknowledged":
        return WebhookEvent("mdm.Connect", device, command, status)
    message = _message(said)
    queried = message.get("QueryResponses")
    queried = queried if isinstance(queried, dict) else {}
    return WebhookEvent(
        "mdm.Connect",
        device,
        command,
        status,
        serial_number=_text(queried, "SerialNumber"),
        hardware_uuid=_text(message, "UDID"),
        name=_text(queried, "DeviceName"),
        profiles=_profiles(message.get("ProfileList")),
        certificates=_certificates(message.get("CertificateList")),
    )


def _device(said: Mapping[str, Any]) -> str:
    """Return the id of the device channel, "" where the event is of a user channel."""
    ids = said.get("ids")
    if ids is None:
        # NanoMDM before 0.8, and MicroMDM: the device's own word.
        ids = {"id": said.get("udid"), "type": "Device"}
    if not isinstance(ids, dict) or not isinstance(ids.get("id"), str):
        raise _no_event("it does not say whose it is")
    if ids.get("type") != "Device":
        return ""
    if not ENROLLMENT_ID.fullmatch(ids["id"]):
        raise _no_event("the device's id is no UDID")
    return str(ids["id"])


def _message(said: Mapping[str, Any]) -> Mapping[str, Any]:
    raw = said.get("raw_payload")
    if not isinstance(raw, str):
        raise _no_event("it has no raw_payload")
    try:
        data = base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _no_event("its raw_payload is no base64") from error
    found = read_plist(data, "raw_payload")
    if not isinstance(found, dict):
        raise _no_event("its raw_payload is no dictionary")
    return found


def _profiles(listed: object) -> tuple[str, ...] | None:
    if listed is None:
        return None
    if not isinstance(listed, list):
        raise _no_event("its ProfileList is no list")
    # An entry that cannot be read could be the profile: then nothing may be concluded from its absence.
    found = [one.get("PayloadIdentifier") if isinstance(one, dict) else None for one in listed]
    if any(not isinstance(one, str) for one in found):
        raise _no_event("an entry of its ProfileList has no PayloadIdentifier")
    return tuple(str(one) for one in found)


def _certificates(listed: object) -> tuple[bytes, ...] | None:
    if listed is None:
        return None
    if not isinstance(listed, list):
        raise _no_event("its CertificateList is no list")
    found = [one.get("Data") if isinstance(one, dict) else None for one in listed]
    if any(not isinstance(one, bytes) for one in found):
        raise _no_event("an entry of its CertificateList has no Data")
    return tuple(one for one in found if isinstance(one, bytes))


def _text(members: Mapping[str, Any], key: str) -> str:
    value = members.get(key)
    return value[:_NAME_CHARACTERS] if isinstance(value, str) else ""


def _no_event(what: str) -> InputError:
    return InputError("no-webhook-event", f"this is no event of NanoMDM: {what}", where="webhook")
