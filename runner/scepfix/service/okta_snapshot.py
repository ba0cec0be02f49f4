"""The use *know deleted devices*: keep what Okta tells of its devices, and say which of them were deleted since."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from scepfix.domain.errors import InputError, RefusedError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.parsers.okta_deletions import Deletion, read_deletions, read_export
from scepfix.parsers.okta_snapshot import KnownDevice, Snapshot, keys_of
from scepfix.service.ports import Directory, SmallFiles

#: Okta keeps its System Log so long.
LOG_DAYS = 90
#: The serial numbers that an inventory can have (parsers/connection_values.py), each a line of a list.
_SELECTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{1,58}[A-Za-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot that was brought up to date: how many records live, are new, and are there no more."""

    snapshot: Snapshot
    living: int
    new: int
    vanished: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted record. ``reason`` says why it is not selected: "" for those that are."""

    deletion: Deletion
    known: KnownDevice | None = None
    serial_number: str = ""
    name: str = ""
    people: tuple[str, ...] = ()
    joined_by: str = ""
    reason: str = ""

    def as_document(self) -> dict[str, Any]:
        return {
            "device_id": self.deletion.device_id,
            "serial_number": self.serial_number,
            "name": self.name,
            "people": list(self.people),
            "deleted_at": rfc3339(self.deletion.at),
            "deleted_by": self.deletion.actor,
            "joined_by": self.joined_by,
        }


@dataclass(frozen=True, slots=True)
class DeletedDevices:
    """What was deleted in a time: ``devices`` are selected, each has a serial number; ``set_aside`` came back;
    ``unknown`` cannot be selected: they cannot be joined with a device, or have no serial number."""

    since: datetime
    until: datetime
    devices: tuple[Deleted, ...]
    set_aside: tuple[Deleted, ...]
    unknown: tuple[Deleted, ...]
    snapshot_taken_at: datetime | None

    def as_document(self) -> dict[str, Any]:
        return {
            "since": rfc3339(self.since),
            "until": rfc3339(self.until),
            "snapshot_taken_at": rfc3339(self.snapshot_taken_at),
            "devices": [one.as_document() for one in self.devices],
            "set_aside": [{**one.as_document(), "reason": one.reason} for one in self.set_aside],
            "unknown": [{**one.as_document(), "reason": one.reason} for one in self.unknown],
        }


def take_snapshot(before: Snapshot, devices: Iterable[KnownDevice], now: datetime) -> Taken:
    """Given the snapshot so far, all records of now and the time, return the new one.

    A record that is there no more stays as it was last seen; what a record tells no more (people whom Okta unlinks
    when it is deactivated) stays known, too.
    """
    kept = dict(before.devices)
    living: set[str] = set()
    for one in devices:
        living.add(one.device_id)
        kept[one.device_id] = _merged(before.devices.get(one.device_id), one)
    vanished = len(before.devices.keys() - living)
    return Taken(Snapshot(before.org, now, kept), len(living), len(living - before.devices.keys()), vanished)


def check_range(since: datetime, until: datetime, now: datetime, exported: bool) -> None:
    """Raise UsageError (``time-range``) where the range is none, or longer ago than the log goes back."""
    if since >= until:
        raise UsageError("time-range", "the range ends before it begins", where="--until", hint="check the two times")
    begins = now - timedelta(days=LOG_DAYS)
    if since < begins and not exported:
        raise UsageError(
            "time-range",
            f"Okta keeps its System Log for {LOG_DAYS} days: nothing before {rfc3339(begins)} can be asked for",
            where="--since",
            hint="give --export FILE, a JSON export of the System Log of that time (of a SIEM, say), or a later time",
        )


def deleted_devices(
    deletions: Iterable[Deletion],
    snapshot: Snapshot,
    directory: Directory,
    since: datetime,
    until: datetime,
    tell: Callable[[str], None],
) -> DeletedDevices:
    """Given deletions, the snapshot and the org, return which devices they were of. Raise OktaError.

    A device is told by the snapshot, by its record's id, else by the serial number, UDID or SID in the event; never by
    its display name. One that has a living record again is set aside. One without a serial number is listed among the
    unknown: by nothing else is a device selected.
    """
    found = [_joined(one, snapshot) for one in deletions if since <= one.at <= until]
    known = _latest(one for one in found if not one.reason)
    tell(f"{len(found)} deletions; looking whether any of {len(known)} devices came back …")
    back = _living(known, directory) if known else {}
    devices: list[Deleted] = []
    nameless: list[Deleted] = []
    set_aside: list[Deleted] = []
    for one in known:
        returned = next((back[key] for key in _keys(one) if key in back), None)
        if returned is None:
            (devices if _SELECTABLE.fullmatch(one.serial_number) else nameless).append(one)
        else:
            again = f"it came back as the record {returned.device_id}"
            set_aside.append(
                replace(one, reason=again + (f", made {rfc3339(returned.created)}" if returned.created else ""))
            )
    unknown = [one for one in found if one.reason]
    unknown += [replace(one, reason=_without_serial_number(one)) for one in nameless]
    return DeletedDevices(since, until, tuple(devices), tuple(set_aside), tuple(unknown), snapshot.taken_at)


def selection(found: DeletedDevices) -> str:
    """Given what was deleted, return a file for ``plan --devices``: serial numbers, and comments.

    Raise RefusedError (``empty-selection``) where there is none.
    """
    if not found.devices:
        raise RefusedError(
            "empty-selection",
            "no deleted device is left to select",
            where="scepfix okta deleted",
            hint="nothing ever means all devices; without --output the list says why",
        )
    lines = [f"# Deleted in Okta from {rfc3339(found.since)} to {rfc3339(found.until)}"]
    for one in found.devices:
        deletion = one.deletion
        lines += [f"# {one.name or deletion.device_id}, {rfc3339(deletion.at)}, by {deletion.actor or 'nobody named'}"]
        lines += [one.serial_number]
    return "\n".join(lines) + "\n"


def exported_deletions(files: SmallFiles, path: str) -> tuple[Deletion, ...]:
    """Given the reader of files and the path of an export of the System Log, return its deletions.

    Raise InputError (``log-export``) where it is none.
    """
    try:
        return tuple(read_deletions(read_export(files.read(path), path)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "log-export",
            "an entry is no event of Okta's System Log",
            where=visible(path),
            hint="export the events as Okta's API tells them: eventType, published, outcome, actor, target",
        ) from error


def _without_serial_number(one: Deleted) -> str:
    """Return why a device that is known cannot be selected, and by which keys a person finds it."""
    if one.serial_number:
        return f"no inventory can have its serial number {one.serial_number!r}"
    udid = one.deletion.udid or (one.known.udid if one.known else "")
    sid = one.deletion.sid or (one.known.sid if one.known else "")
    keys = " and ".join(f"{name} {value}" for name, value in (("UDID", udid), ("SID", sid)) if value)
    return f"no serial number of it is known, only {keys}: look it up in the MDM"


def _merged(before: KnownDevice | None, now: KnownDevice) -> KnownDevice:
    if before is None:
        return now
    return replace(
        now,
        serial_number=now.serial_number or before.serial_number,
        udid=now.udid or before.udid,
        sid=now.sid or before.sid,
        people=now.people or before.people,
        first_seen=before.first_seen or now.first_seen,
    )


def _joined(deletion: Deletion, snapshot: Snapshot) -> Deleted:
    known = snapshot.devices.get(deletion.device_id)
    told = keys_of(deletion.serial_number, deletion.udid, deletion.sid)
    if known is not None and known.keys:
        pairs = ((deletion.serial_number, known.serial_number), (deletion.udid, known.udid))
        differ = next((pair for pair in pairs if all(pair) and pair[0] != pair[1]), None)
        if differ:
            reason = f"two devices: the event says {differ[0]}, the snapshot {differ[1]}"
            return Deleted(deletion, known, name=known.display_name, reason=reason)
        serial_number = known.serial_number or deletion.serial_number
        return Deleted(deletion, known, serial_number, known.display_name, known.people, "snapshot")
    name = known.display_name if known else deletion.display_name
    if told:
        return Deleted(deletion, known, deletion.serial_number, name, joined_by="event")
    if known is not None:
        reason = "the snapshot has its record, which had neither serial number nor UDID nor SID"
    else:
        reason = "its record is not in the snapshot, and the event names neither serial number nor UDID nor SID"
    return Deleted(deletion, known, name=name, reason=reason)


def _keys(one: Deleted) -> frozenset[str]:
    mine = one.known.keys if one.known else frozenset()
    return mine | keys_of(one.deletion.serial_number, one.deletion.udid, one.deletion.sid)


def _latest(found: Iterable[Deleted]) -> list[Deleted]:
    """Of two deletions of one device the latest counts."""
    kept: list[Deleted] = []
    seen: set[str] = set()
    for one in sorted(found, key=lambda each: each.deletion.at, reverse=True):
        if not _keys(one) & seen:
            kept.append(one)
        seen |= _keys(one)
    return sorted(kept, key=lambda each: each.deletion.at)


def _living(known: Iterable[Deleted], directory: Directory) -> Mapping[str, KnownDevice]:
    """Return the living records of those devices, by key. A list lags behind: each is read by its id."""
    wanted: set[str] = set()
    gone: set[str] = set()
    for one in known:
        wanted |= _keys(one)
        gone.add(one.deletion.device_id)
    back: dict[str, KnownDevice] = {}
    for record in directory.devices():
        shared = record.keys & wanted
        if shared and record.device_id not in gone and directory.lives(record.device_id):
            back |= dict.fromkeys(shared, record)
    return back
