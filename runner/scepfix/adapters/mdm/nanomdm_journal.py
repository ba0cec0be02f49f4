"""The journal beside NanoMDM: what was sent to which device, and what the webhook told. One SQLite file.

Two programs have it open: ``scepfix serve`` writes what the webhook tells, and whoever repairs writes what it sends.
No payload of a device or of a profile is kept: those hold tokens and challenges.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scepfix.adapters.mdm.nanomdm_standing import OPEN, Change, Listed, Sent, Standing, State, standing
from scepfix.domain.errors import InputError, ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339
from scepfix.parsers.nanomdm_webhook import WebhookEvent
from scepfix.parsers.x509 import read_certificate

_VERSION = 1
_BUSY_SECONDS = 30.0

#: NanoMDM posts an event once and at once, though not always in order: one that is behind by more is posted anew.
_LATE = timedelta(minutes=5)
#: What a clock says that was never set; from times before it nothing can be taken away.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
#: Events that tell whether a device is managed.
_CHECK_INS = frozenset({"mdm.Authenticate", "mdm.TokenUpdate", "mdm.CheckOut"})

#: Commands that only ask; the newest of each is kept for a device.
IDENTITY, PROFILES, CERTIFICATES = "DeviceInformation", "ProfileList", "CertificateList"

# ``tick`` numbers everything that is written down, so that what came before what can be told without a clock.
_SCHEMA = """
CREATE TABLE tick (number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE device (
    id TEXT PRIMARY KEY, serial_number TEXT NOT NULL, hardware_uuid TEXT NOT NULL, name TEXT NOT NULL,
    push_topic TEXT NOT NULL, managed INTEGER NOT NULL, enrolled INTEGER NOT NULL, last_seen_at TEXT NOT NULL
);
CREATE INDEX device_by_serial ON device (serial_number);
CREATE TABLE sent (
    device TEXT NOT NULL, command TEXT NOT NULL, change TEXT NOT NULL, profile TEXT NOT NULL, number INTEGER NOT NULL,
    sent_at TEXT NOT NULL, state TEXT NOT NULL, settled INTEGER NOT NULL, settled_at TEXT,
    PRIMARY KEY (device, command)
);
CREATE TABLE question (
    device TEXT NOT NULL, kind TEXT NOT NULL, command TEXT NOT NULL, number INTEGER NOT NULL, asked_at TEXT NOT NULL,
    answered_at TEXT, PRIMARY KEY (device, kind)
);
CREATE INDEX question_by_command ON question (command);
CREATE TABLE listed (
    device TEXT NOT NULL, profile TEXT NOT NULL, number INTEGER NOT NULL, installed INTEGER NOT NULL,
    PRIMARY KEY (device, profile)
);
CREATE TABLE certificate_list (
    device TEXT PRIMARY KEY, taken_at TEXT NOT NULL, issued_at TEXT, document TEXT NOT NULL
);
"""
# What NanoMDM's clock said of the newest event and the newest check-in of a device, and the events of its last minutes.
# A journal from before these tables is read as it is.
_SCHEMA_OF_EVENTS = """
CREATE TABLE IF NOT EXISTS heard (device TEXT PRIMARY KEY, newest TEXT NOT NULL, checked_in TEXT);
CREATE TABLE IF NOT EXISTS event (
    device TEXT NOT NULL, created_at TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (device, created_at, name)
);
"""


@dataclass(frozen=True, slots=True)
class Question:
    """The newest question of a kind to a device; ``answered_at`` None where it is open."""

    asked_at: datetime
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """What the journal knows of one device: text as it came. ``questions`` by kind."""

    id: str
    serial_number: str
    hardware_uuid: str
    name: str
    managed: bool
    last_seen_at: datetime
    standing: Standing
    questions: Mapping[str, Question]


class JournalError(ScepfixError):
    """The journal cannot be written or read."""


class Journal:
    """The file; any number of threads and processes may use it. ``read_only``: no file is made and none changed."""

    def __init__(self, file: Path, profile: str, now: Callable[[], datetime], *, read_only: bool = False) -> None:
        """Given the file, the identifier of the profile that is moved and a clock, open it. Raise UsageError."""
        self._file, self._profile, self._now = file, profile, now
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            if read_only:
                self._connection = self._open("ro") if file.exists() else None
                return
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            self._connection = self._open("rw")
            # What was sent must be known after a power cut: a device without its profile is owed it. Not WAL: its
            # readers write a file, and a preview may write nothing.
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._change() as run:
                version = run("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in _SCHEMA.split(";"):
                        run(statement)
                    run(f"PRAGMA user_version = {_VERSION}")
                if version in (0, _VERSION):
                    for statement in _SCHEMA_OF_EVENTS.split(";"):
                        run(statement)
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise self._unusable(str(error)) from error
        except ScepfixError:
            self.close()
            raise
        if version not in (0, _VERSION):
            self.close()
            raise self._unusable(f"it has version {version}, and this scepfix reads {_VERSION}")

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    # --- what we send -------------------------------------------------------------------------------------------------

    def begin_change(self, change: Change, command: str, devices: Sequence[str]) -> None:
        """Write down, before it is sent, that a command goes to those devices. Raise JournalError.

        Nothing changes where that is written down already.
        """
        at = _text(self._now())
        with self._change() as run:
            number = _tick(run)
            for one in devices:
                run(
                    "INSERT OR IGNORE INTO sent VALUES (?, ?, ?, ?, ?, ?, ?, 0, NULL)",
                    (one, command, change, self._profile, number, at, State.ASKED),
                )

    def taken(self, command: str) -> None:
        """Write down that NanoMDM has put a command into its queues. Raise JournalError."""
        with self._change() as run:
            run("UPDATE sent SET state = ? WHERE command = ? AND state = ?", (State.WAITING, command, State.ASKED))

    def unsure(self, change: Change, devices: Collection[str]) -> dict[str, str]:
        """Return by device the command of that kind that perhaps was taken, perhaps not. Raise JournalError."""
        rows = self._rows(
            "SELECT device, command FROM sent WHERE change = ? AND profile = ? AND state = ? ORDER BY number",
            (change, self._profile, State.ASKED),
        )
        return {str(row["device"]): str(row["command"]) for row in rows if row["device"] in devices}

    def refused(self, command: str, devices: Sequence[str]) -> None:
        """Write down that NanoMDM did not take a command for those devices. Raise JournalError."""
        with self._change() as run:
            number = _tick(run)
            for one in devices:
                _settle(run, one, command, State.REFUSED, number, self._now())
                run("DELETE FROM question WHERE device = ? AND command = ?", (one, command))

    def begin_question(self, kind: str, command: str, devices: Sequence[str]) -> None:
        """Write down, before it is asked, a question to those devices. Raise JournalError."""
        at = _text(self._now())
        with self._change() as run:
            number = _tick(run)
            for one in devices:
                run(
                    "INSERT OR REPLACE INTO question VALUES (?, ?, ?, ?, ?, NULL)",
                    (one, kind, command, number, at),
                )

    # --- what the webhook tells ---------------------------------------------------------------------------------------

    def take(self, event: WebhookEvent) -> None:
        """Write down what an event tells; once this comes back it is on the disk. Raise JournalError.

        One that was taken before, or is older than those of its device by more than five minutes, tells nothing:
        somebody posts it anew.
        """
        if not event.device:
            return
        now = self._now()
        created_at = event.created_at or now
        with self._change() as run:
            if not _is_new(run, event, created_at, now):
                return
            number = _tick(run)
            _seen(run, event, number, now)
            if event.topic in _CHECK_INS:
                _check_in(run, event, created_at, now)
            if event.topic == "mdm.Authenticate":
                # Enrolling empties NanoMDM's queue of the device, and took every managed profile with it.
                run(
                    "UPDATE sent SET state = ?, settled = ?, settled_at = ? WHERE device = ? AND state IN (?, ?, ?)",
                    (State.DROPPED, number, _text(now), event.device, State.ASKED, State.WAITING, State.NOT_NOW),
                )
                run("DELETE FROM question WHERE device = ? AND answered_at IS NULL", (event.device,))
            if event.topic == "mdm.Connect" and event.command:
                self._answer(run, event, number, now)

    def _answer(self, run: Any, event: WebhookEvent, number: int, now: datetime) -> None:
        state = {"Acknowledged": State.ACKNOWLEDGED, "NotNow": State.NOT_NOW}.get(event.status, State.ERROR)
        _settle(run, event.device, event.command, state, number, now)
        # Only the first answer to a question of ours: any other list may be older than what is known.
        asked = run(
            "SELECT kind, number, asked_at FROM question WHERE device = ? AND command = ? AND answered_at IS NULL",
            (event.device, event.command),
        ).fetchone()
        if asked is None or event.status == "NotNow":
            return
        run(
            "UPDATE question SET answered_at = ? WHERE device = ? AND command = ?",
            (_text(now), event.device, event.command),
        )
        if asked["kind"] == PROFILES and event.profiles is not None:
            installed = self._profile in event.profiles
            run(
                "INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?)",
                (event.device, self._profile, number, installed),
            )
            self._settle_by_list(run, event.device, asked["number"], installed, number, now)
        if asked["kind"] == CERTIFICATES and event.certificates is not None:
            # As of the asking: the answer is no older than that.
            document = json.dumps([base64.b64encode(der).decode("ascii") for der in event.certificates])
            run(
                "INSERT OR REPLACE INTO certificate_list VALUES (?, ?, ?, ?)",
                (event.device, asked["asked_at"], _issued_at(event.certificates), document),
            )

    def _settle_by_list(self, run: Any, device: str, asked: int, installed: bool, number: int, now: datetime) -> None:
        """NanoMDM posts an event once: an answer to a command that came while nobody listened is lost.

        A list that was asked for after a command, and answered, tells what became of it: commands are done in their
        order. One that was put off is sent again before all others, so one that was not put off again since the list
        was asked for is in the queue no more: NanoMDM 0.9 forgets it where a later command is answered (storage/kv).
        """
        waiting = run(
            "SELECT command, change FROM sent WHERE device = ? AND profile = ? AND number < ?"
            " AND (state IN (?, ?) OR (state = ? AND settled < ?)) ORDER BY number",
            (device, self._profile, asked, *sorted(OPEN), State.NOT_NOW, asked),
        ).fetchall()
        for command, change in waiting:
            seen = installed is (Change(change) is Change.INSTALL)
            _settle(run, device, command, State.SEEN if seen else State.LOST, number, now)

    # --- what is known ------------------------------------------------------------------------------------------------

    def devices(self, serial_numbers: Collection[str] | None = None) -> tuple[KnownDevice, ...]:
        """Return the devices with those serial numbers, or all, last seen first. Raise JournalError."""
        found = self._rows("SELECT * FROM device ORDER BY last_seen_at DESC, id")
        wanted = [row for row in found if serial_numbers is None or row["serial_number"] in serial_numbers]
        return self._known(wanted)

    def by_id(self, ids: Collection[str]) -> tuple[KnownDevice, ...]:
        """Return the devices with those ids. Raise JournalError."""
        return self._known([row for row in self._rows("SELECT * FROM device ORDER BY id") if row["id"] in ids])

    def certificates(self, ids: Collection[str]) -> dict[str, tuple[datetime, tuple[bytes, ...]]]:
        """Return by id when the newest list of certificates was asked for, and its DERs. Raise JournalError."""
        found = {}
        for one in ids:
            for row in self._rows("SELECT * FROM certificate_list WHERE device = ?", (one,)):
                ders = tuple(base64.b64decode(der) for der in json.loads(row["document"]))
                found[one] = (_moment(row["taken_at"]), ders)
        return found

    def not_to_install(self, ids: Collection[str]) -> set[str]:
        """Return those whose newest command is an install that NanoMDM took, and that waits or brought the profile.

        Another would enrol them once more. They may be in the journal by that command only. Raise JournalError.
        """
        commands, lists = self._commands(ids), self._lists()
        enrolled = {row["id"]: int(row["enrolled"]) for row in self._rows("SELECT id, enrolled FROM device")}
        found = set()
        for one, sent in commands.items():
            last, how = sent[-1], standing(sent, lists.get(one), enrolled.get(one, 0))
            waits = last.alive and last.state is not State.ASKED
            brought = last.done and how.installed is True and not how.perhaps_excluded
            if last.change is Change.INSTALL and (waits or brought):
                found.add(one)
        return found

    def last_change(self, ids: Collection[str]) -> datetime | None:
        """Return when the newest command that moves the profile was sent to any of them. Raise JournalError."""
        rows = self._rows("SELECT device, sent_at FROM sent")
        return max((_moment(row["sent_at"]) for row in rows if row["device"] in ids), default=None)

    def last_issued_at(self) -> datetime | None:
        """Return the newest of: an install of ours that was acknowledged, the beginning of a certificate with the
        marker in the newest list of a device. Raise JournalError."""
        rows = [
            *self._rows(
                "SELECT max(settled_at) AS at FROM sent WHERE change = ? AND profile = ? AND state IN (?, ?)",
                (Change.INSTALL, self._profile, State.ACKNOWLEDGED, State.SEEN),
            ),
            *self._rows("SELECT max(issued_at) AS at FROM certificate_list"),
        ]
        return max((_moment(row["at"]) for row in rows if row["at"]), default=None)

    def push_topic(self) -> str:
        """Return the push topic that a device told last, "" where none did. Raise JournalError."""
        rows = self._rows("SELECT push_topic FROM device WHERE push_topic != '' ORDER BY last_seen_at DESC LIMIT 1")
        return str(rows[0]["push_topic"]) if rows else ""

    def _known(self, rows: Sequence[sqlite3.Row]) -> tuple[KnownDevice, ...]:
        commands, lists = self._commands({row["id"] for row in rows}), self._lists()
        questions: dict[str, dict[str, Question]] = {}
        for row in self._rows("SELECT * FROM question"):
            answered = _moment(row["answered_at"]) if row["answered_at"] else None
            questions.setdefault(row["device"], {})[row["kind"]] = Question(_moment(row["asked_at"]), answered)
        return tuple(
            KnownDevice(
                id=row["id"],
                serial_number=row["serial_number"],
                hardware_uuid=row["hardware_uuid"],
                name=row["name"],
                managed=bool(row["managed"]),
                last_seen_at=_moment(row["last_seen_at"]),
                standing=standing(commands.get(row["id"], ()), lists.get(row["id"]), row["enrolled"]),
                questions=questions.get(row["id"], {}),
            )
            for row in rows
        )

    def _commands(self, ids: Collection[str]) -> dict[str, list[Sent]]:
        found: dict[str, list[Sent]] = {}
        for row in self._rows("SELECT * FROM sent WHERE profile = ? ORDER BY number", (self._profile,)):
            if row["device"] in ids:
                found.setdefault(row["device"], []).append(_sent(row))
        return found

    def _lists(self) -> dict[str, Listed]:
        rows = self._rows("SELECT * FROM listed WHERE profile = ?", (self._profile,))
        return {row["device"]: Listed(row["number"], bool(row["installed"])) for row in rows}

    # --- SQLite -------------------------------------------------------------------------------------------------------

    def _open(self, mode: str) -> sqlite3.Connection:
        address = f"{self._file.absolute().as_uri()}?mode={mode}"
        found = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        found.row_factory = sqlite3.Row
        # Whoever opened the MDM has nothing to close: the connection ends with the journal.
        weakref.finalize(self, found.close)
        return found

    @contextmanager
    def _change(self) -> Iterator[Any]:
        connection = self._connection
        if connection is None:
            raise JournalError("mdm-journal", "it was opened to read only", where=visible(str(self._file)))
        with self._lock:
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection.execute
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._broken(error) from error

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        if self._connection is None:
            return []
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._broken(error) from error

    def _broken(self, error: sqlite3.Error) -> JournalError:
        return JournalError(
            "mdm-journal",
            f"the journal of NanoMDM cannot be used: {visible(str(error))}",
            where=visible(str(self._file)),
            hint="is the disk full? Is it the file that mdm.journal names?",
        )

    def _unusable(self, why: str) -> UsageError:
        return UsageError(
            "mdm-journal",
            f"the journal of NanoMDM cannot be opened: {visible(why)}",
            where=visible(str(self._file)),
            hint="check mdm.journal in the settings, the folder's owner and its free space",
        )


def _tick(run: Any) -> int:
    number = run("INSERT INTO tick DEFAULT VALUES").lastrowid
    run("DELETE FROM tick WHERE number < ?", (number,))
    return int(number)


def _is_new(run: Any, event: WebhookEvent, created_at: datetime, now: datetime) -> bool:
    """Was this event not taken before? Note it down."""
    row = run("SELECT newest FROM heard WHERE device = ?", (event.device,)).fetchone()
    known = _moment(row["newest"]) if row else _FIRST
    # A clock that once was ahead must not make all that follows old.
    if min(known, now) - created_at > _LATE:
        return False
    name = f"{event.topic} {event.event_id} {event.command}"
    if not run("INSERT OR IGNORE INTO event VALUES (?, ?, ?)", (event.device, _text(created_at), name)).rowcount:
        return False
    newest = max(known, created_at)
    run(
        "INSERT INTO heard VALUES (?, ?, NULL) ON CONFLICT (device) DO UPDATE SET newest = excluded.newest",
        (event.device, _text(newest)),
    )
    run("DELETE FROM event WHERE device = ? AND created_at < ?", (event.device, _text(min(newest, now) - _LATE)))
    return True


def _check_in(run: Any, event: WebhookEvent, created_at: datetime, now: datetime) -> None:
    """Whether the device is managed is told by the check-in that was created last, in whatever order they come."""
    known = run("SELECT checked_in FROM heard WHERE device = ?", (event.device,)).fetchone()["checked_in"]
    # Of a clock that was ahead by more than a little, as in _is_new.
    if known and created_at < _moment(known) <= now + _LATE:
        return
    run("UPDATE heard SET checked_in = ? WHERE device = ?", (_text(created_at), event.device))
    run("UPDATE device SET managed = ? WHERE id = ?", (event.topic != "mdm.CheckOut", event.device))


def _seen(run: Any, event: WebhookEvent, number: int, now: datetime) -> None:
    enrols = event.topic == "mdm.Authenticate"
    run(
        "INSERT OR IGNORE INTO device VALUES (?, '', '', '', '', 1, 0, ?)",
        (event.device, _text(now)),
    )
    run("UPDATE device SET last_seen_at = ? WHERE id = ?", (_text(now), event.device))
    if enrols:
        run("UPDATE device SET enrolled = ? WHERE id = ?", (number, event.device))
    for column in ("serial_number", "hardware_uuid", "name", "push_topic"):
        value = getattr(event, column)
        if value:
            # A lone surrogate is text that SQLite refuses.
            value = value.encode("utf-8", "backslashreplace").decode("utf-8")
            run(f"UPDATE device SET {column} = ? WHERE id = ?", (value, event.device))  # noqa: S608 - fixed words


def _settle(run: Any, device: str, command: str, state: State, number: int, now: datetime) -> None:
    # What a device said for good stays: it repeats an answer where it did not get the reply.
    run(
        "UPDATE sent SET state = ?, settled = ?, settled_at = ? WHERE device = ? AND command = ?"
        " AND state NOT IN (?, ?)",
        (state, number, _text(now), device, command, State.ACKNOWLEDGED, State.ERROR),
    )


def _sent(row: sqlite3.Row) -> Sent:
    return Sent(
        change=Change(row["change"]),
        number=row["number"],
        sent_at=_moment(row["sent_at"]),
        state=State(row["state"]),
        settled=row["settled"],
        settled_at=_moment(row["settled_at"]) if row["settled_at"] else None,
    )


def _issued_at(ders: Sequence[bytes]) -> str | None:
    """Return when the newest certificate with the Device Access marker begins."""
    found = []
    for der in ders:
        with suppress(InputError):
            found.append(read_certificate(der))
    return max((_text(one.not_before) for one in found if one.marker), default=None)


def _text(moment: datetime) -> str:
    """All of one form, so that SQLite sorts them as times; microseconds, since removal and install may be close."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    found = parse_rfc3339(text)
    if found is None:
        raise JournalError("mdm-journal", "a moment in the journal of NanoMDM cannot be read")
    return found
