"""Run: what one stage run is about, and the effects it wrote down (docs/run-folder.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scepfix.domain.device import Identity
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.domain.plan import KnownCertificate
from scepfix.domain.platform import Platform

#: Of a device that nobody connects to: what its collector printed is asked of the MDM (docs/collector.md).
COLLECTOR = "collector"
#: How old such a line may be before a repair: inventories are taken once a day, and rarely to the minute.
LINE_HOURS = 26


@dataclass(frozen=True, slots=True)
class RunDevice:
    """One device of a run.

    ``channel``: "" where it is connected to, else COLLECTOR. ``before``: marker certificates there when the plan was
    made; ``remove``: SHA-256 of those to be deleted by name; ``removal_asked_at``: when the first call was made that
    may have removed the profile; ``seen_excluded``: since then the MDM was seen to have it in the exclusion group, so
    who is not in there now was put back by somebody. ``nudge``: ask the device once more to check in.
    ``installed_before``: the MDM's time of the last install when the removal was seen.
    """

    name: str
    platform: Platform = Platform.MACOS
    identity: Identity = field(default_factory=Identity)
    before: tuple[KnownCertificate, ...] = ()
    remove: tuple[str, ...] = ()
    playbook: str = ""
    removal_asked_at: datetime | None = None
    removed_at: datetime | None = None
    installed_before: datetime | None = None
    seen_excluded: bool = False
    channel: str = ""
    nudge: bool = False

    def as_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "platform": self.platform.value,
            "channel": self.channel,
            "identity": self.identity.as_document(),
            "before": [one.as_document() for one in self.before],
            "remove": list(self.remove),
            "playbook": self.playbook,
            "removal_asked_at": rfc3339(self.removal_asked_at),
            "removed_at": rfc3339(self.removed_at),
            "installed_before": rfc3339(self.installed_before),
            "seen_excluded": self.seen_excluded,
            "nudge": self.nudge,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> RunDevice:
        """Given an entry of ``devices`` of run.json, return the device. Raise KeyError, TypeError or ValueError."""
        return cls(
            name=str(found["name"]),
            platform=Platform(found.get("platform") or Platform.MACOS),
            identity=Identity.from_document(found.get("identity") or {}),
            before=tuple(KnownCertificate.from_document(one) for one in found.get("before") or ()),
            remove=tuple(map(str, found.get("remove") or ())),
            playbook=str(found.get("playbook") or ""),
            removal_asked_at=parse_rfc3339(found.get("removal_asked_at")),
            removed_at=parse_rfc3339(found.get("removed_at")),
            installed_before=parse_rfc3339(found.get("installed_before")),
            seen_excluded=found.get("seen_excluded") is True,
            nudge=found.get("nudge") is True,
            channel=COLLECTOR if found.get("channel") == COLLECTOR else "",
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What ``run.json`` says. ``by_hand``: no engine stands behind it, so the stages wait and gate by themselves."""

    intent: str
    stage: str
    devices: Mapping[str, RunDevice]
    config: str | None = None
    read_only: bool = False
    wait_seconds: float = 0
    by_hand: bool = False

    def as_document(self) -> dict[str, Any]:
        return {
            "schema": "scepfix/run/1",
            "intent": self.intent,
            "stage": self.stage,
            "config": self.config,
            "read_only": self.read_only,
            "wait_seconds": self.wait_seconds,
            "by_hand": self.by_hand,
            "devices": {host: device.as_document() for host, device in self.devices.items()},
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Run:
        """Given run.json, return the run. Raise KeyError, TypeError, ValueError or AttributeError."""
        if found["schema"] != "scepfix/run/1":
            raise ValueError("another schema")
        return cls(
            intent=str(found["intent"]),
            stage=str(found["stage"]),
            devices={str(host): RunDevice.from_document(one) for host, one in found["devices"].items()},
            config=None if found.get("config") is None else str(found["config"]),
            read_only=bool(found.get("read_only")),
            wait_seconds=float(found.get("wait_seconds") or 0),
            by_hand=bool(found.get("by_hand")),
        )


@dataclass(frozen=True, slots=True)
class Effect:
    """One call that changes something, written down before it is made. ``outcome`` is ``done``, ``failed``, or "" where
    nobody knows: the call may have been made."""

    number: int
    verb: str
    targets: tuple[str, ...]
    key: str
    at: datetime
    outcome: str = ""
    error: str = ""

    def as_document(self) -> dict[str, Any]:
        return {
            "schema": "scepfix/effect/1",
            "verb": self.verb,
            "targets": list(self.targets),
            "key": self.key,
            "at": rfc3339(self.at),
        }

    @classmethod
    def from_document(cls, number: int, found: Mapping[str, Any], done: Mapping[str, Any] | None) -> Effect:
        """Given N, effects/N.json and N.done.json or None, return the effect. Raise KeyError or ValueError."""
        at = parse_rfc3339(found["at"])
        if at is None:
            raise ValueError("at is no moment")
        return cls(
            number=number,
            verb=str(found["verb"]),
            targets=tuple(map(str, found["targets"])),
            key=str(found["key"]),
            at=at,
            outcome=str(done.get("outcome") or "") if done else "",
            error=str(done.get("error") or "") if done else "",
        )


#: The verbs of effects.
EXCLUDE, PUT_BACK, NUDGE, DELETE = "exclude", "put-back", "nudge", "delete-certificate"
