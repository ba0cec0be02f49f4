"""Remediation: one device going through one plan, and the intents it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from scepfix.domain.diagnosis import Answer
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.domain.plan import PlannedDevice, ProofGrade


class Stage(StrEnum):
    """Stages of the playbooks; each of the first six is ``playbooks/stages/NAME.yml`` (``-`` is ``_`` there)."""

    PREFLIGHT = "preflight"
    UNINSTALL = "uninstall"
    CONFIRM = "confirm"
    REINSTALL = "reinstall"
    INSPECT = "inspect"
    REMOVE_LEFTOVERS = "remove-leftovers"
    REGISTRATION = "registration"


#: The order of stages of each playbook that changes something.
STAGES: Mapping[str, tuple[Stage, ...]] = {
    "reinstall_scep_profile": (
        Stage.PREFLIGHT,
        Stage.UNINSTALL,
        Stage.CONFIRM,
        Stage.REINSTALL,
        Stage.INSPECT,
        Stage.REGISTRATION,
    ),
    "install_scep_profile": (Stage.PREFLIGHT, Stage.REINSTALL, Stage.INSPECT, Stage.REGISTRATION),
    "remove_leftover_certificates": (Stage.PREFLIGHT, Stage.REMOVE_LEFTOVERS, Stage.INSPECT, Stage.REGISTRATION),
}


class Outcome(StrEnum):
    """How a remediation ended; ``awaiting-registration`` is open still (docs/command-line.md)."""

    AWAITING_REGISTRATION = "awaiting-registration"
    VERIFIED = "verified"
    NOTHING_TO_DO = "nothing-to-do"
    NEEDS_ADMIN = "needs-admin"
    VERIFY_FAILED = "verify-failed"
    FAILED = "failed"
    STRANDED = "stranded"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """A stranded device is asked about again and again, and one that awaits registration is looked at again."""
        return self not in (Outcome.AWAITING_REGISTRATION, Outcome.STRANDED)


class StageAnswer(StrEnum):
    """What a stage says of a device; ``unknown`` is the engine's word for a run that cannot be believed."""

    DONE = "done"
    NOT_YET = "not-yet"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage run answered for one device.

    ``facts`` hold ``observation`` and ``mdm`` documents (domain.device, domain.mdm), ``profile`` (ManagedProfile),
    ``effects`` (bool: may something have been changed) and, of preflight, ``refusals`` [{code, text}].
    """

    stage: Stage
    answer: StageAnswer
    waiting_for: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proof:
    """What one witness says of the repair: ``says`` in words, ``proved`` yes, no or unknown."""

    witness: str
    says: str
    proved: Answer

    def as_document(self) -> dict[str, str]:
        return {"witness": self.witness, "says": self.says, "proved": self.proved.value}


@dataclass(frozen=True, slots=True)
class Remediation:
    """The state of one device in one plan; every change makes ``seq`` one larger.

    ``removal_asked_at``: from the moment before the first call that may remove. From then on the device is owed a
    re-install, whatever else happens, until ``reinstalled_at``. ``installed_before``: the MDM's own time of the last
    install when the removal was seen: the re-install is a later one by that clock. ``seen_excluded``: the MDM was seen
    to have it excluded since, so it is not excluded a second time. ``nudged_at``: when the device was last asked to
    check in; ``nudge``: the run that is wanted now asks again. ``held_back``: why nothing more may be removed
    (rejected, expired), "" where it may; the re-install is owed all the same. ``wake_at``: not before. ``actual``
    are observed values by the ``what`` of the predictions. All times are aware.
    """

    id: str
    plan_digest: str
    device: PlannedDevice
    proof_grade: ProofGrade
    stage: Stage
    seq: int = 0
    outcome: Outcome | None = None
    waiting_for: str = ""
    started_at: datetime | None = None
    stage_started_at: datetime | None = None
    wake_at: datetime | None = None
    removal_asked_at: datetime | None = None
    removed_at: datetime | None = None
    reinstall_asked_at: datetime | None = None
    reinstalled_at: datetime | None = None
    leftovers: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    actual: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    ended_at: datetime | None = None
    new_certificate: str = ""
    seen_excluded: bool = False
    installed_before: datetime | None = None
    nudged_at: datetime | None = None
    nudge: bool = False
    held_back: str = ""

    @property
    def owed_reinstall(self) -> bool:
        """Whether something may have been removed that was not seen to come back."""
        return self.removal_asked_at is not None and self.reinstalled_at is None

    @property
    def open(self) -> bool:
        return self.outcome is None or not self.outcome.final

    def as_document(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        return {
            "device": self.device.name,
            "fault": self.device.fault,
            "playbook": self.device.playbook,
            "stage": self.stage.value,
            "outcome": self.outcome.value if self.outcome else None,
            "waiting_for": self.waiting_for,
            "proofs": [proof.as_document() for proof in self.proofs],
            "proof_grade": self.proof_grade.value,
            "plan_digest": self.plan_digest,
            "started_at": rfc3339(self.started_at),
            "ended_at": rfc3339(self.ended_at),
            "error": self.error,
            "leftovers": list(self.leftovers),
            "new_certificate": self.new_certificate,
            "actual": dict(self.actual),
        }

    def as_row(self) -> dict[str, Any]:
        """Return all of it, JSON-shaped, for the store."""
        moments = ("started_at", "stage_started_at", "wake_at", "removal_asked_at", "removed_at", "reinstall_asked_at")
        return {
            **{name: rfc3339(getattr(self, name)) for name in (*moments, "reinstalled_at", "ended_at")},
            "id": self.id,
            "plan_digest": self.plan_digest,
            "device": self.device.as_document(),
            "proof_grade": self.proof_grade.value,
            "stage": self.stage.value,
            "seq": self.seq,
            "outcome": self.outcome.value if self.outcome else None,
            "waiting_for": self.waiting_for,
            "leftovers": list(self.leftovers),
            "proofs": [proof.as_document() for proof in self.proofs],
            "actual": dict(self.actual),
            "error": self.error,
            "new_certificate": self.new_certificate,
            "seen_excluded": self.seen_excluded,
            "installed_before": rfc3339(self.installed_before),
            "nudged_at": rfc3339(self.nudged_at),
            "nudge": self.nudge,
            "held_back": self.held_back,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Remediation:
        """Given what ``as_row`` returned, return the remediation. Raise KeyError, TypeError or ValueError."""
        moments = ("started_at", "stage_started_at", "wake_at", "removal_asked_at", "removed_at", "reinstall_asked_at")
        return cls(
            id=row["id"],
            plan_digest=row["plan_digest"],
            device=PlannedDevice.from_document(row["device"]),
            proof_grade=ProofGrade(row["proof_grade"]),
            stage=Stage(row["stage"]),
            seq=row["seq"],
            outcome=Outcome(row["outcome"]) if row["outcome"] else None,
            waiting_for=row["waiting_for"],
            leftovers=tuple(row["leftovers"]),
            proofs=tuple(Proof(one["witness"], one["says"], Answer(one["proved"])) for one in row["proofs"]),
            actual=dict(row["actual"]),
            error=row["error"],
            new_certificate=row["new_certificate"],
            # Rows of an earlier version lack these.
            seen_excluded=row.get("seen_excluded", False),
            installed_before=parse_rfc3339(row.get("installed_before")),
            nudged_at=parse_rfc3339(row.get("nudged_at")),
            nudge=row.get("nudge", False),
            held_back=row.get("held_back", ""),
            **{name: parse_rfc3339(row[name]) for name in (*moments, "reinstalled_at", "ended_at")},
        )


class EffectClass(StrEnum):
    """What may be done when nobody knows whether an effect happened (docs: decisions on the device transaction)."""

    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    QUERYABLE = "queryable"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Intent:
    """One stage run for a chunk of remediations, written down before it is done.

    ``id`` names the run folder and the runner's ident. ``state``: ``written`` → ``started`` → ``done``.
    ``results`` by remediation id, None until done.
    """

    id: str
    stage: Stage
    remediations: tuple[str, ...]
    effect_class: EffectClass
    state: str
    written_at: datetime
    started_at: datetime | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's decision about one plan digest. ``how``: ``signature`` or ``unauthenticated``."""

    plan_digest: str
    person: str
    how: str
    approved: bool
    at: datetime
    reason: str = ""

    def as_document(self) -> dict[str, Any]:
        return {
            "plan_digest": self.plan_digest,
            "person": self.person,
            "how": self.how,
            "approved": self.approved,
            "at": rfc3339(self.at),
            "reason": self.reason,
        }
