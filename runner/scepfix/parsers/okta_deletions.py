"""Deletions of devices in Okta's System Log: events as the API lists them, or as somebody exported them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339

DELETED = "device.lifecycle.delete"


@dataclass(frozen=True, slots=True)
class Deletion:
    """A device record that was deleted. Texts are inert, "" where the event says nothing; keys are upper case."""

    device_id: str
    at: datetime
    actor: str = ""
    display_name: str = ""
    serial_number: str = ""
    udid: str = ""
    sid: str = ""


def read_deletions(events: Iterable[Mapping[str, Any]]) -> Iterator[Deletion]:
    """Given events (``LogEvent``), yield each deletion of a device that succeeded; other events are passed over.

    Raise ValueError, KeyError, TypeError or AttributeError where an event has another form.
    """
    for event in events:
        if event["eventType"] != DELETED or event["outcome"]["result"] != "SUCCESS":
            continue
        at = parse_rfc3339(event["published"])
        if at is None:
            raise ValueError("no moment of an event")
        actor = event.get("actor") or {}
        who = _text(actor, "alternateId") or _text(actor, "displayName") or _text(actor, "id")
        for target in event.get("target") or ():
            if target.get("type") != "Device":
                continue
            detail = target.get("detailEntry") or {}
            yield Deletion(
                _text(target, "id"),
                at,
                who,
                _text(target, "displayName"),
                _text(detail, "serialNumber").upper(),
                _text(detail, "udid").upper(),
                _text(detail, "sid").upper(),
            )


def read_export(data: bytes, name: str) -> list[Mapping[str, Any]]:
    """Given the bytes of an export of the System Log, return its events: a JSON array, or a JSON object a line.

    Raise InputError (``log-export``) naming the line that is none.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(name, "this is no UTF-8 text") from error
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _wrong(name, "the JSON array is cut or broken") from error
        events = list(found)
    else:
        events = [_line(line, name, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not all(isinstance(event, dict) for event in events):
        raise _wrong(name, "not each entry is an event")
    return events


def _line(line: str, name: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"{name}:{number}", "this line is no JSON") from error


def _wrong(where: str, message: str) -> InputError:
    return InputError(
        "log-export",
        message,
        where=visible(where),
        hint="export the System Log as JSON: one array, or one event a line (CSV does not have the devices' ids)",
    )


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return visible(value.strip()) if isinstance(value, str) else ""
