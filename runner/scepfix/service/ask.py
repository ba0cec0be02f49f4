"""Asks about one device: the device itself, its MDM, Okta. Who does not answer is named, and the others count."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scepfix.domain.certificate import Certificate
from scepfix.domain.device import Identity, Observation
from scepfix.domain.errors import InputError, ScepfixError
from scepfix.domain.evidence import Evidence
from scepfix.domain.fault import Signature
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.service.observe import NotObserved
from scepfix.service.observed_evidence import (
    evidence_of_mdm,
    evidence_of_mdm_certificates,
    evidence_of_observation,
    notes_of_mdm,
    notes_of_observation,
    serial_numbers_with_marker,
)
from scepfix.service.ports import Mdm, Okta
from scepfix.service.read_evidence import ReadSource

#: Kinds of ReadSource that were asked, not handed over.
ASKED = frozenset({"device", "mdm", "okta"})
#: What Okta says of the org and the admin; the rest is about a device, and counts only where it is known which.
_OF_THE_ORG = frozenset(
    {
        "okta.admin-may-generate",
        "okta.pin-setting",
        "okta.secret-reset",
        "okta.unavailable",
        "prerequisite.unmet",
    }
)


@dataclass(frozen=True, slots=True)
class Question:
    """About whom: the device's name ("" where there is none) and reading (None: it was not looked at), the person and
    the admin ("" where unknown). ``issuers`` and ``signatures`` are the site's own."""

    device: str = ""
    reading: Observation | NotObserved | None = None
    person: str = ""
    admin: str = ""
    issuers: Sequence[Certificate] = ()
    signatures: Sequence[Signature] = ()


def ask(
    question: Question, mdm: Mdm | None, okta: Okta | None, now: Callable[[], datetime], tell: Callable[[str], None]
) -> tuple[ReadSource, ...]:
    """Given a question, whom to ask and the clock, return what each said, or why it said nothing.

    The MDM is asked only about a device that said its serial number: a name proves nothing. ``tell`` is given a line
    for the person who waits.
    """
    reading = question.reading if isinstance(question.reading, Observation) else None
    identity = reading.identity if reading is not None else Identity()
    answers: list[ReadSource] = []
    profile: ManagedProfile | None = None
    of_mdm: ReadSource | None = None
    if mdm is not None and identity.serial_number:
        tell("asking the MDM …")
        marked = serial_numbers_with_marker(reading) if reading is not None else frozenset[str]()
        profile, of_mdm = _ask_mdm(mdm, identity, question.issuers, marked, now)
    if question.reading is not None:
        answers.append(_device(question, question.reading, profile.identifier if profile else ""))
    if of_mdm is not None:
        answers.append(of_mdm)
    if okta is not None:
        tell("asking Okta …")
        answers.append(_ask_okta(okta, identity, question))
    return tuple(replace(one, evidence=_about(one.evidence, question.device)) for one in answers)


def _device(question: Question, reading: Observation | NotObserved, identifier: str) -> ReadSource:
    source = visible(f"device {question.device}")
    if isinstance(reading, NotObserved):
        error = InputError(
            f"device-{reading.code}", visible(reading.reason), where=source, hint=_hint(question.device, reading)
        )
        return ReadSource(source, "device", error=error)
    evidence = evidence_of_observation(reading, question.issuers, question.signatures, identifier)
    return ReadSource(source, "device", tuple(evidence), tuple(notes_of_observation(reading)))


def _hint(device: str, silence: NotObserved) -> str:
    name = visible(device)
    if silence.code == "unreachable":
        return f"make {name} answer (awake? online? the right way in?), then run this again"
    if silence.code == "failed":
        return f"put that right on {name}, then run this again"
    more = f"; what the run left is in {visible(silence.folder)}" if silence.folder else ""
    return f"look at {name} again{more}"


def _ask_mdm(
    mdm: Mdm, identity: Identity, issuers: Sequence[Certificate], marked: Collection[str], now: Callable[[], datetime]
) -> tuple[ManagedProfile | None, ReadSource]:
    source = f"MDM record of {visible(identity.serial_number)}"
    try:
        profile = mdm.profile()
        record = mdm.devices([identity.serial_number]).get(identity.serial_number)
        differs = _differs(identity, record)
        if differs:
            raise InputError("identity-mismatch", differs, where=source, hint="find out which device this is")
        asked = record.identity.mdm_id if record is not None and record.managed else ""
        listed = mdm.certificates([asked]).get(asked) if asked else None
    except ScepfixError as error:
        return None, ReadSource(source, "mdm", error=_as_input(error, source))
    evidence = evidence_of_mdm(record, profile, now())
    if listed is not None:
        evidence += evidence_of_mdm_certificates(listed, issuers, marked)
    return profile, ReadSource(source, "mdm", tuple(evidence), tuple(notes_of_mdm(record)))


def _differs(identity: Identity, record: MdmDevice | None) -> str:
    """Two keys must agree before two records are of one device."""
    if record is None or not record.identity.hardware_uuid or not identity.hardware_uuid:
        return ""
    if record.identity.hardware_uuid.upper() == identity.hardware_uuid.upper():
        return ""
    return "the MDM's device with that serial number has another hardware UUID than the one that answered"


def _ask_okta(okta: Okta, identity: Identity, question: Question) -> ReadSource:
    try:
        evidence = okta.device_evidence(identity, question.person, question.admin)
    except ScepfixError as error:
        return ReadSource("Okta", "okta", error=_as_input(error, "Okta"))
    if identity != Identity():
        return ReadSource("Okta", "okta", tuple(evidence), okta.notes())
    notes = ("Okta was asked about the org and the admin only: which device it is about is not known", *okta.notes())
    return ReadSource("Okta", "okta", tuple(item for item in evidence if item.says in _OF_THE_ORG), notes)


def _as_input(error: ScepfixError, source: str) -> InputError:
    return InputError(error.code, error.message, where=error.where or source, hint=error.hint)


def _about(evidence: Sequence[Evidence], device: str) -> tuple[Evidence, ...]:
    if not device:
        return tuple(evidence)
    return tuple(replace(item, facts={**item.facts, "device": device}) for item in evidence)
