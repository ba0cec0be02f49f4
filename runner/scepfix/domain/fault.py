"""Fault: an entry of the fault catalogue, and the small language in which it says what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scepfix.domain.evidence import Fact
from scepfix.domain.platform import Platform


class Symptom(StrEnum):
    """What the admin sees. *The option is not there* never looks at a device."""

    GENERATING_FAILS = "generating-fails"
    OPTION_NOT_THERE = "option-not-there"


#: Signs that rules/signs.py draws from evidence and the time; a catalogue may use them like ids of SAYS.
DRAWN_SIGNS: Mapping[str, str] = {
    "certificate.usable": "a certificate with the marker that Device Access can use now",
    "certificate.expired": "the only certificates with the marker are past their end",
    "certificate.not-yet-valid": "the only certificates with the marker are before their start",
    "certificate.wrong-type": "a listing or the log says that none has the marker, and one from Okta's CA lacks it",
    "certificate.bad-usage": "the marker is there, and the usage rules it out: no signature, no clientAuth, or a CA",
    "certificate.wrong-type-unplaced": "a certificate without the marker, from a place or a CA that nothing names",
    "certificate.wrong-store": "certificates with the marker stand only in a user's store",
    "certificate.wrong-org": "the only certificates with the marker were issued by another org's key",
    "certificate.right-org": "a certificate with the marker was issued by this org's key",
    "certificate.key-unusable": "the only valid certificates with the marker have no usable private key",
    "certificate.leftover": "beside a usable one, an older certificate with the marker still has a key or is pinned",
    "certificate.never-came": "the SCEP profile is installed, and no certificate with the marker ever came of it",
    "log.rejected-undated": "the server rejected a certificate, no time says when, and a usable one is there",
    "log.rejected-again": "the server rejected the certificate again, a day or more later",
    "log.rejected-during-outage": "the server answered with an error while Okta had a rate limit or an outage",
    "scep.secret-reset-since": "the SCEP secret was reset after the profile was installed, and no certificate came",
    "scep.secret-reset-perhaps-since": "the SCEP secret was reset; whether the profile is older is not known",
    "profile.reason-known": "the MDM says why the profile is not on the device",
    "okta.device-active-since": "the record was read as active after the first of the repeated rejections",
    "device.clock-right-since": "the clock was read as right after the first of the repeated rejections",
    "device.clock-right": "the device's clock is within five minutes",
    "device.okta-verify-old": "Okta Verify on the PC is older than 6.1.1; another evidence says that it is a PC",
    "mdm.not-seen-lately": "the MDM saw the device last more than two weeks before it was asked",
    "device.okta-verify-new-enough": "Okta Verify on the PC is 6.1.1 or newer",
    "device.macos": "the device is a Mac",
    "okta.no-record-after-sign-in": "a good certificate and an online sign-in, and still no Okta record",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """True of a sign whose id is ``says`` and whose facts meet every entry of ``where``.

    An entry is a value (equal), a list (one of), or a mapping of ``above`` / ``below`` (numbers) or
    ``version_below`` (dotted numbers). A missing fact meets only null.
    """

    says: str
    where: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignOfFault:
    """``weak`` signs alone never raise a fault above ``possible``."""

    condition: Condition
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Rival:
    """Another fault that the same evidence fits, the one fact that separates them, and what rules it out."""

    fault: str
    separated_by: str
    ruled_out_by: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A fact worth having: what to get, and the ids of evidence of which any one is the answer."""

    text: str
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlaybookChoice:
    """A playbook that replaces the fault's own once every condition is met."""

    playbook: str
    when: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the catalogue. ``steps`` are texts with values of STEP_VALUES."""

    id: str
    title: str
    meaning: str
    touches: str
    playbook: str
    symptoms: tuple[Symptom, ...]
    signs: tuple[SignOfFault, ...]
    steps: tuple[str, ...]
    explains: tuple[str, ...] = ()
    rivals: tuple[Rival, ...] = ()
    wants: tuple[Wanted, ...] = ()
    playbook_when: tuple[PlaybookChoice, ...] = ()
    by_hand: bool = False
    blocks_pin: bool = True

    def as_document(self) -> dict[str, object]:
        """Return the row as plain data, for `faults list` and `faults show`."""
        return {
            "id": self.id,
            "title": self.title,
            "meaning": self.meaning,
            "touches": self.touches,
            "playbook": self.playbook,
            "symptoms": [symptom.value for symptom in self.symptoms],
            "signs": [
                {"says": sign.condition.says, "where": dict(sign.condition.where), "weak": sign.weak}
                for sign in self.signs
            ],
            "explains": list(self.explains),
            "rivals": [{"fault": rival.fault, "separated_by": rival.separated_by} for rival in self.rivals],
            "steps": list(self.steps),
        }


@dataclass(frozen=True, slots=True)
class Signature:
    """A literal text of a log that a site knows the meaning of; white space does not count."""

    says: str
    contains: str


#: Values that a step may name, as ``{{ person }}``. Each is plain text; one that looks like a template stays text.
STEP_VALUES = ("person", "admin", "device", "codes", "prerequisite")
#: Where a person looks by hand when the option is not there; the other places are the platforms.
ADMIN_SIDE = "admin"
HANDS = (ADMIN_SIDE, *Platform)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The faults in the order in which they are repaired, and what a person can check by hand (HANDS)."""

    faults: tuple[Fault, ...]
    by_hand: Mapping[str, tuple[str, ...]]
    signatures: tuple[Signature, ...] = ()

    def fault(self, fault_id: str) -> Fault | None:
        """Return the fault of that id, or None."""
        return next((fault for fault in self.faults if fault.id == fault_id), None)


def meets(condition: Condition, says: str, facts: Mapping[str, Fact]) -> bool:
    """Given a condition and a sign's id and facts, return whether it is met."""
    return condition.says == says and all(_fact_meets(facts.get(key), want) for key, want in condition.where.items())


def _fact_meets(found: Fact | object, want: object) -> bool:
    if isinstance(want, list):
        return any(_fact_meets(found, one) for one in want)
    if not isinstance(want, dict):
        return type(found) is type(want) and found == want
    if "version_below" in want:
        have, bound = _version(found), _version(want["version_below"])
        return have is not None and bound is not None and have < bound
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return ("above" not in want or found > want["above"]) and ("below" not in want or found < want["below"])


def _version(text: object) -> tuple[int, ...] | None:
    if not isinstance(text, str):
        return None
    parts = text.strip().split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
