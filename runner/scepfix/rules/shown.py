"""Which faults the signs show, which of them only follow from another, and how sure each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scepfix.domain.diagnosis import Standing
from scepfix.domain.evidence import SAYS, Evidence
from scepfix.domain.fault import Catalogue, Fault, Symptom, meets
from scepfix.rules.signs import Sign, Signs

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
        """Does the owner of the fact say so: Okta of its settings and records, a certificate of itself?"""
        return any(
            sign.says in _CERTIFICATE_OWNS
            or any(item.says in SAYS and SAYS[item.says].owner == item.witness for item in sign.evidence)
            for sign in self.own
        )

    @property
    def standing(self) -> Standing:
        if self.weak:
            return Standing.POSSIBLE
        witnesses = {item.witness for item in self.evidence}
        return Standing.CONFIRMED if self.said_by_owner or len(witnesses) > 1 else Standing.LIKELY

    @property
    def on_the_admin_side(self) -> bool:
        """An org's setting or a permission, said by its owner: it holds whatever the symptom."""
        return self.said_by_owner and Symptom.OPTION_NOT_THERE in self.fault.symptoms


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
