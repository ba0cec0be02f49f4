"""Short ways to write Evidence in tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from scepfix.domain.diagnosis import Diagnosis
from scepfix.domain.evidence import Evidence, Fact, Witness
from scepfix.domain.fault import Catalogue, Symptom
from scepfix.parsers import located_yaml
from scepfix.parsers.fault_catalogue import read_catalogue
from scepfix.rules.diagnose import diagnose
from scepfix.rules.steps import Circumstances

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
CATALOGUE_FILE = Path(__file__).parents[1] / "runner" / "scepfix" / "rules" / "faults.yml"


@cache
def catalogue() -> Catalogue:
    return read_catalogue(located_yaml.parse(CATALOGUE_FILE.read_text("utf-8"), "faults.yml"))


def at(text: str) -> datetime:
    """``11-23 08:15`` of the year of NOW, UTC; or RFC 3339."""
    return datetime.fromisoformat(text if len(text) > 11 else f"{NOW.year}-{text}:00+00:00")


def said(says: str, when: str | None = None, **facts: Fact) -> Evidence:
    """Somebody's word in a ticket."""
    return Evidence(Witness.TICKET, "ticket", says, observed_at=at(when) if when else None, facts=facts)


def log(says: str, when: str | None = None, *, line: int = 1, source: str = "log", platform: str = "macos") -> Evidence:
    found = said(says, when, platform=platform)
    return replace(found, source=source, line=line)


def device(says: str, when: str | None = None, **facts: Fact) -> Evidence:
    return replace(said(says, when, **facts), witness=Witness.DEVICE, source="device")


def mdm(says: str, when: str | None = None, **facts: Fact) -> Evidence:
    return replace(said(says, when, **facts), witness=Witness.MDM, source="mdm")


def okta(says: str, when: str | None = "11-24 08:00", **facts: Fact) -> Evidence:
    return replace(said(says, when, **facts), witness=Witness.OKTA, source="okta")


def certificate(
    days_old: int = 30, days_left: int = 335, *, by: Witness = Witness.DEVICE, name: str = "a", **facts: Fact
) -> Evidence:
    """A marker certificate in the System keychain with its key, unless the facts say otherwise."""
    known: dict[str, Fact] = {
        "device_access_marker": True,
        "not_before": (NOW - timedelta(days=days_old)).isoformat(),
        "not_after": (NOW + timedelta(days=days_left)).isoformat(),
        "store": "system",
        "private_key": True,
        "sha256": name * 8,
        **facts,
    }
    return Evidence(by, "keychain", "keychain.certificate", line=1, facts=known)


def judged(
    *evidence: Evidence, symptom: Symptom | None = Symptom.GENERATING_FAILS, person: str | None = None
) -> Diagnosis:
    return diagnose(evidence, catalogue(), NOW, Circumstances(symptom=symptom, person=person))
