"""Which faults the signs show, which of them only follow from another, and how sure each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scepfix.domain.diagnosis import Standing
from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.fault import Catalogue, Fault, Symptom, meets
from scepfix.rules.signs import Sign, Signs

#: Consequences that any fault of a device has: seen by a second witness, they confirm none.
_FIT_EVERYTHING = frozenset({"okta.not-registered", "log.device-not-registered", "device.offline"})
#: A certificate's own word is enough about these.
_CERTIFICATE_OWNS = frozenset({"certificate.expired", "certificate.wrong-org"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A fault, the signs that show it, and those of the faults that follow from it. ``weak``: hints only."""

    fault: Fault
    own: tuple[Sign, ...]
    weak: bool
    followed_by: tuple[Sign, ...] = ()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        unique = {id(item): item for sign in (*self.own, *self.followed_by) for item in sign.evidence}
        return tuple(unique.values())

    @property
    def said_by_owner(self) -> bool:
        """Does the owner of the fact say so: Okta of its settings and records, a certificate that we read of itself?"""
        return any(sign.said_by_owner or (sign.says in _CERTIFICATE_OWNS and _was_read(sign)) for sign in self.own)

    @property
    def standing(self) -> Standing:
        if self.weak:
            return Standing.POSSIBLE
        telling = (
            sign for sign in (*self.own, *self.followed_by) if sign.says not in _FIT_EVERYTHING or sign in self.own
        )
        witnesses = {item.witness for sign in telling for item in sign.evidence}
        return Standing.CONFIRMED if self.said_by_owner or len(witnesses) > 1 else Standing.LIKELY

    @property
    def on_the_admin_side(self) -> bool:
        """An org's setting or a permission, said by its owner: it holds whatever the symptom."""
        return self.said_by_owner and Symptom.OPTION_NOT_THERE in self.fault.symptoms


def _was_read(sign: Sign) -> bool:
    """Was the certificate itself read (there is a hash of the source, or it was not hearsay)?"""
    return any(item.sha256 is not None or item.witness is not Witness.TICKET for item in sign.evidence)


def shown_faults(catalogue: Catalogue, signs: Signs) -> list[Shown]:
    """Given the catalogue and the signs, return the faults that show, in the order of repair."""
    shown: list[Shown] = []
    for fault in catalogue.faults:
        strong: list[Sign] = []
        weak: list[Sign] = []
        for sign in signs.signs:
            ways = [way for way in fault.signs if meets(way.condition, sign.says, sign.facts)]
            if ways:
                (weak if all(way.weak for way in ways) else strong).append(sign)
        if strong or weak:
            shown.append(Shown(fault, tuple(strong + weak), weak=not strong))
    return _without_consequences(shown)


def _without_consequences(shown: Sequence[Shown]) -> list[Shown]:
    """Drop a fault that follows from one at least as sure; its signs stay, as support of that one."""
    kept: list[Shown] = []
    for one in shown:
        if any(one.fault.id in other.fault.explains and (one.weak or not other.weak) for other in shown):
            continue
        support = [sign for other in shown if other.fault.id in one.fault.explains for sign in other.own]
        kept.append(one if one.weak else replace(one, followed_by=tuple(support)))
    return kept
