"""Plan: what would change on which device, why it may, and the digest that an approval is bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from scepfix.domain.device import Identity
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.domain.platform import Platform

#: First line of what is hashed; another form of the covered fields gets another number.
DIGEST_FORMAT = "scepfix-plan-digest/1"


class Sureness(StrEnum):
    """How far a prediction can be relied on."""

    CERTAIN = "certain"
    ASSUMED = "assumed"
    UNKNOWABLE = "unknowable"


class ProofGrade(StrEnum):
    """What a repair is proved by at least; the weakest last (docs/command-line.md)."""

    CERTIFICATE = "certificate"
    MDM = "mdm"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One thing, now and after. ``what`` is a stable id (``profile``, ``certificate``, ``mdm-scope``, …)."""

    what: str
    now: str
    after: str
    sureness: Sureness

    def as_document(self) -> dict[str, str]:
        return {"what": self.what, "now": self.now, "after": self.after, "sureness": self.sureness.value}


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """A marker certificate that was on the device when the plan was made. All lower-case hex."""

    sha256: str
    serial_number: str
    public_key_sha256: str

    def as_document(self) -> dict[str, str]:
        return {
            "sha256": self.sha256,
            "serial_number": self.serial_number,
            "public_key_sha256": self.public_key_sha256,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> KnownCertificate:
        return cls(*(str(found[key]) for key in ("sha256", "serial_number", "public_key_sha256")))


@dataclass(frozen=True, slots=True)
class PlannedDevice:
    """One device of a plan.

    ``connection`` are the Ansible connection variables, checked, no secret. ``facts`` are the normalised facts that the
    plan relies on (ids and words, no clock times). ``before`` are the marker certificates there now; ``remove`` the
    SHA-256 of those to be removed by name (leftovers). ``watches`` say what a person should know before approving.
    """

    name: str
    host: str
    platform: Platform
    identity: Identity
    person: str
    fault: str
    playbook: str
    connection: Mapping[str, str | int]
    facts: Mapping[str, str]
    before: tuple[KnownCertificate, ...] = ()
    remove: tuple[str, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    one_way_steps: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    reason: str = ""
    standing: str = ""

    @property
    def changes(self) -> bool:
        """Whether its playbook changes anything: ``report`` and ``inspect_device`` do not."""
        return self.playbook not in ("report", "inspect_device", "")

    def covered(self) -> dict[str, Any]:
        """Return what the digest covers of it: no evidence bytes, no clock times, no challenge."""
        return {
            "name": self.name,
            "identity": self.identity.as_document(),
            # Whoever answers at another address would be believed.
            "connection": dict(self.connection),
            "platform": self.platform.value,
            "person": self.person,
            "fault": self.fault,
            "playbook": self.playbook,
            "before": [one.as_document() for one in self.before],
            "remove": list(self.remove),
            "facts": dict(self.facts),
            "one_way_steps": list(self.one_way_steps),
            "predictions": [one.as_document() for one in self.predictions],
        }

    def as_document(self) -> dict[str, Any]:
        return {
            **self.covered(),
            "host": self.host,
            "watches": list(self.watches),
            "reason": self.reason,
            "standing": self.standing,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> PlannedDevice:
        """Given what ``as_document`` returned, return the device. Raise KeyError, TypeError or ValueError."""
        return cls(
            name=str(found["name"]),
            host=str(found["host"]),
            platform=Platform(found["platform"]),
            identity=Identity.from_document(found["identity"]),
            person=str(found["person"]),
            fault=str(found["fault"]),
            playbook=str(found["playbook"]),
            connection={str(key): value for key, value in dict(found["connection"]).items()},
            facts={str(key): str(value) for key, value in dict(found["facts"]).items()},
            before=tuple(KnownCertificate.from_document(one) for one in found["before"]),
            remove=tuple(map(str, found["remove"])),
            predictions=tuple(
                Prediction(str(one["what"]), str(one["now"]), str(one["after"]), Sureness(one["sureness"]))
                for one in found["predictions"]
            ),
            one_way_steps=tuple(map(str, found["one_way_steps"])),
            watches=tuple(map(str, found["watches"])),
            reason=str(found["reason"]),
            standing=str(found["standing"]),
        )


@dataclass(frozen=True, slots=True)
class SetAside:
    """A device that was asked for and is not in the plan, and why (an id and a sentence)."""

    name: str
    code: str
    reason: str

    def as_document(self) -> dict[str, str]:
        return {"name": self.name, "code": self.code, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Plan:
    """What would change. ``content_sha256`` is that of the playbooks, roles and plugins; ``variables`` are the settings
    that steer them, none of them secret. ``requester`` is who made it. Times are aware."""

    devices: tuple[PlannedDevice, ...]
    set_aside: tuple[SetAside, ...]
    proof_grade: ProofGrade
    content_sha256: str
    variables: Mapping[str, str | int]
    requester: str
    made_at: datetime
    expires_at: datetime

    def digest(self) -> str:
        """Return ``sha256:`` and the hex of a tree: one leaf per device, above them what covers all of them."""
        leaves = sorted(_hash(device.covered()) for device in self.devices)
        top = {
            "format": DIGEST_FORMAT,
            "devices": leaves,
            "content_sha256": self.content_sha256,
            "variables": dict(self.variables),
            "proof_grade": self.proof_grade.value,
            # Who may approve depends on who asked.
            "requester": self.requester,
        }
        return f"sha256:{_hash(top)}"

    def as_document(self) -> dict[str, Any]:
        """Return the JSON form of the contract (without ``schema``)."""
        return {
            "digest": self.digest(),
            "made_at": rfc3339(self.made_at),
            "expires_at": rfc3339(self.expires_at),
            "requester": self.requester,
            "proof_grade": self.proof_grade.value,
            "content_sha256": self.content_sha256,
            "variables": dict(self.variables),
            "devices": [device.as_document() for device in self.devices],
            "set_aside": [one.as_document() for one in self.set_aside],
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Plan:
        """Given what ``as_document`` returned, return the plan. Raise KeyError, TypeError or ValueError."""
        canonical(found)  # what has no canonical form is no plan, wherever in it that is
        made_at, expires_at = parse_rfc3339(found["made_at"]), parse_rfc3339(found["expires_at"])
        if made_at is None or expires_at is None:
            raise ValueError("made_at or expires_at is no moment")
        return cls(
            devices=tuple(PlannedDevice.from_document(one) for one in found["devices"]),
            set_aside=tuple(
                SetAside(str(one["name"]), str(one["code"]), str(one["reason"])) for one in found["set_aside"]
            ),
            proof_grade=ProofGrade(found["proof_grade"]),
            content_sha256=str(found["content_sha256"]),
            variables=dict(found["variables"]),
            requester=str(found["requester"]),
            made_at=made_at,
            expires_at=expires_at,
        )


def canonical(value: Any) -> bytes:
    """Given JSON-shaped data, return its one byte form: sorted keys, no blanks, UTF-8, no floats.

    Raise TypeError for a float, for keys that are no text and for what is not JSON: two writers would spell it
    differently. Raise ValueError for text that UTF-8 cannot hold (half of a surrogate pair).
    """
    _refuse_ambiguous(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _hash(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _refuse_ambiguous(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("a float has no canonical form")
    if isinstance(value, Mapping):
        for key, one in value.items():
            if not isinstance(key, str):
                raise TypeError("a key that is no text has no canonical form")
            _refuse_ambiguous(one)
    elif isinstance(value, list | tuple):
        for one in value:
            _refuse_ambiguous(one)
