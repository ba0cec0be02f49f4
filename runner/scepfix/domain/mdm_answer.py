"""What an MDM answered in a run, as its folder keeps it: ``mdm.json`` and ``collected.json`` (docs/run-folder.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scepfix.domain.mdm import CollectedText, ManagedProfile, MdmDevice
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.domain.policy import RepairPolicy


@dataclass(frozen=True, slots=True)
class MdmAnswer:
    """What ``mdm.json`` says: the MDM's profile and records by host, and when it was asked. ``error``: why it gave no
    answer ("" where it did). ``predicted``: hosts whose group change was only predicted (check mode).
    ``answered_within_minutes`` is the site's setting, read once for all device plays."""

    at: datetime
    profile: ManagedProfile | None
    devices: Mapping[str, MdmDevice]
    error: str = ""
    predicted: tuple[str, ...] = ()
    answered_within_minutes: int = RepairPolicy().answered_within_minutes

    def as_document(self) -> dict[str, Any]:
        return {
            "schema": "scepfix/mdm/1",
            "at": rfc3339(self.at),
            "error": self.error,
            "profile": self.profile.as_document() if self.profile else None,
            "devices": {host: one.as_document() for host, one in self.devices.items()},
            "predicted": list(self.predicted),
            "answered_within_minutes": self.answered_within_minutes,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> MdmAnswer:
        """Given mdm.json, return the answer. Raise KeyError, TypeError, ValueError or AttributeError."""
        at = parse_rfc3339(found["at"])
        if at is None:
            raise ValueError("at is no moment")
        return cls(
            at=at,
            profile=None if found["profile"] is None else ManagedProfile.from_document(found["profile"]),
            devices={str(host): MdmDevice.from_document(one) for host, one in found["devices"].items()},
            error=str(found["error"]),
            predicted=tuple(map(str, found["predicted"])),
            answered_within_minutes=int(found["answered_within_minutes"]),
        )


@dataclass(frozen=True, slots=True)
class CollectedDevice:
    """What the MDM has of one device: its record, and the collector's newest line, None where it has none."""

    record: MdmDevice
    text: CollectedText | None = None

    def as_document(self) -> dict[str, Any]:
        line = {"line": self.text.line, "collected_at": rfc3339(self.text.collected_at)} if self.text else None
        return {"record": self.record.as_document(), "text": line}

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> CollectedDevice:
        said = found["text"]
        text = None if said is None else CollectedText(str(said["line"]), parse_rfc3339(said["collected_at"]))
        return cls(MdmDevice.from_document(found["record"]), text)


@dataclass(frozen=True, slots=True)
class CollectedAnswer:
    """What ``collected.json`` says: by host, what the MDM has of the devices with a collector (none of whom it does not
    know), and when it was asked. ``error``: why it gave no answer ("" where it did)."""

    at: datetime
    devices: Mapping[str, CollectedDevice]
    error: str = ""

    def as_document(self) -> dict[str, Any]:
        return {
            "schema": "scepfix/collected/1",
            "at": rfc3339(self.at),
            "error": self.error,
            "devices": {host: one.as_document() for host, one in self.devices.items()},
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> CollectedAnswer:
        """Given collected.json, return the answer. Raise KeyError, TypeError, ValueError or AttributeError."""
        at = parse_rfc3339(found["at"])
        if at is None:
            raise ValueError("at is no moment")
        devices = {str(host): CollectedDevice.from_document(one) for host, one in found["devices"].items()}
        return cls(at, devices, str(found["error"]))
