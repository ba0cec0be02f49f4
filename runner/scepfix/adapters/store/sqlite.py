"""The store in one SQLite file: plans, approvals, remediations, intents, and who owns which device."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.domain.plan import Plan
from scepfix.domain.remediation import Approval, EffectClass, Intent, Outcome, Remediation, Stage, StageResult
from scepfix.service.ports import DeviceTakenError, SeqError

SCHEMA_VERSION = 1
#: How long a process waits for another one's transaction; each of ours takes milliseconds.
BUSY_SECONDS = 30.0

# ``live_owner`` has one row per known key of a device that a remediation may still do something to: two repairs of one
# device meet there even where one of them knows only its serial number and the other only its hardware UUID.
_SCHEMA = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE plan (digest TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE approval (number INTEGER PRIMARY KEY, plan_digest TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX approval_of_plan ON approval (plan_digest);
CREATE TABLE remediation (
    id TEXT PRIMARY KEY, plan_digest TEXT NOT NULL, seq INTEGER NOT NULL, outcome TEXT, open INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX remediation_of_plan ON remediation (plan_digest, open);
CREATE TABLE live_owner (device_key TEXT PRIMARY KEY, remediation TEXT NOT NULL REFERENCES remediation (id));
CREATE INDEX live_owner_by_remediation ON live_owner (remediation);
CREATE TABLE intent (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, stage TEXT NOT NULL, effect_class TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('written', 'started', 'done')),
    written_at TEXT NOT NULL, started_at TEXT, done_at TEXT
);
CREATE INDEX intent_by_state ON intent (state);
CREATE TABLE intent_remediation (
    intent TEXT NOT NULL REFERENCES intent (id), remediation TEXT NOT NULL REFERENCES remediation (id),
    position INTEGER NOT NULL, PRIMARY KEY (intent, remediation)
);
CREATE INDEX intent_of_remediation ON intent_remediation (remediation);
CREATE TABLE outcome (
    intent TEXT NOT NULL REFERENCES intent (id), remediation TEXT NOT NULL, answer TEXT NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (intent, remediation)
);
"""


class SqliteStore:
    """Implements service.ports.Store. For one thread; any number of processes may have the file open."""

    def __init__(self, file: Path) -> None:
        """Given the database file (made with mode 0600 in a folder of mode 0700 where it is not there), open it.

        Raise UsageError where it cannot be opened, is no database of ours, or is one of a newer scepfix.
        """
        self._file = file
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One process at a time: SQLite does not wait where two change a new file to WAL at once, it says "locked".
            with self._lock("opening", fcntl.LOCK_EX):
                _make(file)
                self._connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
                try:
                    self._prepare()
                except BaseException:
                    self._connection.close()
                    raise
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                "database-unusable",
                f"the database cannot be opened: {visible(str(error))}",
                where=visible(str(file)),
                hint="check --database, its folder's owner and its free space",
            ) from error

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A committed intent must be there after a power cut: the call that it announces may have been made.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self._transaction() as run:
            tables = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                for statement in _SCHEMA.split(";"):
                    run(statement)
                run("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
                return
            found = run("SELECT version FROM schema_version").fetchone() if "schema_version" in tables else None
        if found is None or found[0] != SCHEMA_VERSION:
            what = "has no schema_version" if found is None else f"has schema version {found[0]}"
            raise UsageError(
                "database-other-schema",
                f"the database {what}; this scepfix reads version {SCHEMA_VERSION}",
                where=visible(str(self._file)),
                hint="name another file with --database, or use the scepfix that made this one",
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """Yield ``execute`` inside one transaction that holds the write lock from its start."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
            except BaseException:
                # SQLite may have rolled back by itself, on a full disk for one.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise ScepfixError(
                "database-unusable",
                f"the database cannot be written: {visible(str(error))}",
                where=visible(str(self._file)),
                hint="is the disk full? The same command goes on once there is space",
            ) from error

    def save_plan(self, plan: Plan) -> None:
        """Keep the plan; one with the same digest is replaced: it is the same change, planned again."""
        with self._transaction() as run:
            run("INSERT OR REPLACE INTO plan VALUES (?, ?)", (plan.digest(), _json(plan.as_document())))

    def plan(self, digest: str) -> Plan | None:
        """Return the plan with that digest, or None."""
        row = self._connection.execute("SELECT document FROM plan WHERE digest = ?", (digest,)).fetchone()
        return Plan.from_document(json.loads(row[0])) if row else None

    def save_approval(self, approval: Approval) -> None:
        """Keep the approval or rejection beside all earlier ones."""
        with self._transaction() as run:
            run(
                "INSERT INTO approval (plan_digest, document) VALUES (?, ?)",
                (approval.plan_digest, _json(approval.as_document())),
            )

    def approvals(self, digest: str) -> tuple[Approval, ...]:
        """Return what was decided about that plan, oldest first."""
        rows = self._connection.execute(
            "SELECT document FROM approval WHERE plan_digest = ? ORDER BY number", (digest,)
        )
        return tuple(_approval(json.loads(document)) for (document,) in rows)

    def begin(self, remediations: Sequence[Remediation]) -> tuple[Remediation, ...]:
        """Insert those that are not there yet (by id), all or none, and return what is stored of each.

        Raise DeviceTakenError where a device has another live owner.
        """
        with self._transaction() as run:
            for one in remediations:
                if not run("SELECT 1 FROM remediation WHERE id = ?", (one.id,)).fetchone():
                    run(
                        "INSERT INTO remediation VALUES (?, ?, ?, ?, ?, ?)",
                        (one.id, one.plan_digest, one.seq, one.outcome, one.open, _json(one.as_row())),
                    )
                    _own(run, one)
            return tuple(
                _remediation(run("SELECT document FROM remediation WHERE id = ?", (one.id,)).fetchone()[0])
                for one in remediations
            )

    def remediations(self, digest: str | None = None, *, only_open: bool = False) -> tuple[Remediation, ...]:
        """Return the remediations of one plan, or of all, in the order in which they were begun."""
        rows = self._connection.execute(
            "SELECT document FROM remediation"
            " WHERE (:digest IS NULL OR plan_digest = :digest) AND (open OR NOT :only_open) ORDER BY rowid",
            {"digest": digest, "only_open": only_open},
        )
        return tuple(_remediation(document) for (document,) in rows)

    def commit(self, changed: Sequence[Remediation], intents: Sequence[Intent]) -> None:
        """Write both in one transaction; each remediation must be stored with ``seq - 1``. Raise SeqError otherwise."""
        with self._transaction() as run:
            _write(run, changed, intents)

    def open_intents(self, remediation_ids: Sequence[str]) -> tuple[Intent, ...]:
        """Return the intents of those remediations that are not done, oldest first."""
        wanted = set(remediation_ids)
        rows = self._connection.execute(
            "SELECT id, stage, effect_class, state, written_at, started_at, done_at FROM intent"
            " WHERE state IN ('written', 'started') ORDER BY number"
        ).fetchall()
        found = []
        for row in rows:
            members = self._connection.execute(
                "SELECT remediation FROM intent_remediation WHERE intent = ? ORDER BY position", (row[0],)
            )
            intent = _intent(row, tuple(member for (member,) in members))
            if wanted.intersection(intent.remediations):
                found.append(intent)
        return tuple(found)

    def claim(self, intent_id: str, at: datetime) -> bool:
        """Compare-and-set ``written`` → ``started``; False where somebody else started it."""
        with self._transaction() as run:
            changed = run(
                "UPDATE intent SET state = 'started', started_at = ? WHERE id = ? AND state = 'written'",
                (rfc3339(at), intent_id),
            )
            return bool(changed.rowcount)

    def finish(
        self,
        intent_id: str,
        results: Mapping[str, StageResult],
        changed: Sequence[Remediation],
        at: datetime,
        intents: Sequence[Intent] = (),
    ) -> None:
        """Write the outcome, the changed remediations and the next intents in one transaction.

        Raise SeqError where a remediation was changed meanwhile or the intent is not ``started``: then nothing is
        written, and whoever was quicker has written it.
        """
        with self._transaction() as run:
            done = run(
                "UPDATE intent SET state = 'done', done_at = ? WHERE id = ? AND state = 'started'",
                (rfc3339(at), intent_id),
            )
            if not done.rowcount:
                raise SeqError("intent-not-started", "this stage run is done already, or was never started")
            for remediation, result in results.items():
                run(
                    "INSERT INTO outcome VALUES (?, ?, ?, ?)",
                    (intent_id, remediation, result.answer, _json(_result(result))),
                )
            _write(run, changed, intents)

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        """Hold a name while this process lives; yield False where another process, or this one, holds it.

        The lock belongs to an open file beside the database, so the system drops it when the process dies. A child
        that is just being made has it too, until it has become another program.
        """
        with self._lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
            yield held

    @contextmanager
    def _lock(self, name: str, how: int) -> Iterator[bool]:
        file = self._file.with_name(f"{self._file.name}.{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.lock")
        handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, how)
                held = True
            except BlockingIOError:
                held = False
            yield held
        finally:
            os.close(handle)


def _make(file: Path) -> None:
    """Make the file where it is not there: by us, not by SQLite, with its mode from the first byte on.

    One that is there is not opened: closing it would drop the locks that this process has on it through SQLite
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _write(run: Any, changed: Sequence[Remediation], intents: Sequence[Intent]) -> None:
    for one in changed:
        found = run(
            "UPDATE remediation SET seq = ?, outcome = ?, open = ?, document = ? WHERE id = ? AND seq = ?",
            (one.seq, one.outcome, one.open, _json(one.as_row()), one.id, one.seq - 1),
        )
        if not found.rowcount:
            raise SeqError(
                "remediation-changed",
                f"the repair of {visible(one.device.name)} was changed by another process",
                where=one.id,
                hint="run the command again",
            )
        _own(run, one)
    for intent in intents:
        run(
            "INSERT INTO intent (id, stage, effect_class, state, written_at) VALUES (?, ?, ?, 'written', ?)",
            (intent.id, intent.stage, intent.effect_class, rfc3339(intent.written_at)),
        )
        for position, remediation in enumerate(intent.remediations):
            run("INSERT INTO intent_remediation VALUES (?, ?, ?)", (intent.id, remediation, position))


def _own(run: Any, one: Remediation) -> None:
    """Give the device to a remediation that may still do something to it, else take it away. Raise DeviceTakenError.

    One that awaits registration only asks Okta, for weeks: it must not keep a device that broke again from a new plan.
    """
    run("DELETE FROM live_owner WHERE remediation = ?", (one.id,))
    if not one.open or one.outcome is Outcome.AWAITING_REGISTRATION:
        return
    for key in device_keys(one.device.identity, one.device.name):
        owner = run("SELECT remediation FROM live_owner WHERE device_key = ?", (key,)).fetchone()
        if owner:
            raise DeviceTakenError(
                "device-taken",
                f"another repair of {visible(one.device.name)} is going on",
                where=owner[0],
                hint="apply that plan again to go on with it; one device has one repair at a time",
            )
        run("INSERT INTO live_owner VALUES (?, ?)", (key, one.id))


def device_keys(identity: Identity, name: str) -> tuple[str, ...]:
    """Return every key by which a device is known; its name only where it has no other."""
    keys = {"serial": identity.serial_number, "uuid": identity.hardware_uuid, "mdm": identity.mdm_id}
    return tuple(f"{kind}:{key.upper()}" for kind, key in keys.items() if key) or (f"name:{name}",)


def _json(document: Mapping[str, Any]) -> str:
    # ASCII only: a lone surrogate from a hostile name is text that SQLite would refuse.
    return json.dumps(document, separators=(",", ":"))


def _remediation(document: str) -> Remediation:
    return Remediation.from_row(json.loads(document))


def _approval(found: Mapping[str, Any]) -> Approval:
    at = parse_rfc3339(found["at"])
    if at is None:
        raise ValueError("an approval without a moment")
    return Approval(found["plan_digest"], found["person"], found["how"], bool(found["approved"]), at, found["reason"])


def _intent(row: tuple[str, ...], remediations: tuple[str, ...]) -> Intent:
    identity, stage, effect_class, state, written_at, started_at, done_at = row
    written = parse_rfc3339(written_at)
    if written is None:
        raise ValueError("an intent without a moment")
    return Intent(
        identity,
        Stage(stage),
        remediations,
        EffectClass(effect_class),
        state,
        written,
        parse_rfc3339(started_at),
        parse_rfc3339(done_at),
    )


def _result(result: StageResult) -> dict[str, Any]:
    # The device's log tells nothing about the repair, and anything may stand in it.
    facts = dict(result.facts)
    if isinstance(facts.get("observation"), dict):
        facts["observation"] = {**facts["observation"], "log": ""}
    return {
        "stage": result.stage.value,
        "answer": result.answer.value,
        "waiting_for": result.waiting_for,
        "facts": facts,
    }
