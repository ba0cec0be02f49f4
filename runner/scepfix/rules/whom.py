"""Whom and what the evidence is about: sorts it by device, keeps what is about one person, finds the symptom."""

from __future__ import annotations

from collections.abc import Sequence

from scepfix.domain.evidence import Evidence
from scepfix.domain.fault import Symptom

#: Facts of an org, an admin or a ticket: they hold for every device that the input speaks of.
_SHARED = frozenset(
    {
        "okta.pin-setting",
        "okta.admin-may-generate",
        "ticket.symptom",
        "prerequisite.unmet",
        "okta.unavailable",
        "okta.secret-reset",
    }
)


def sort_by_device(evidence: Sequence[Evidence], asked: str | None = None) -> list[tuple[str | None, list[Evidence]]]:
    """Given evidence and the device asked about, return (device, its evidence) for each device named.

    With one device named (``facts.device``, whatever its case), all of it is about that one. With several, what names
    none and is no fact of the whole org stands by itself: whose it is would be a guess.
    """
    names: dict[str, str] = {asked.casefold(): asked} if asked else {}
    named: dict[str, list[Evidence]] = {key: [] for key in names}
    rest: list[Evidence] = []
    for item in evidence:
        device = item.facts.get("device")
        if isinstance(device, str) and device:
            names.setdefault(device.casefold(), device)
            named.setdefault(device.casefold(), []).append(item)
        else:
            rest.append(item)
    if len(named) < 2:
        return [(next(iter(names.values()), None), list(evidence))]
    shared = [item for item in rest if item.says in _SHARED]
    alone = [item for item in rest if item.says not in _SHARED]
    by_device: list[tuple[str | None, list[Evidence]]] = [
        (names[key], [*items, *shared]) for key, items in named.items()
    ]
    return [*by_device, *([(None, [*alone, *shared])] if alone else [])]


def about_person(
    evidence: Sequence[Evidence], person: str | None
) -> tuple[list[Evidence], tuple[str, ...], tuple[str, ...]]:
    """Given evidence and a name (None: not said), return what is about that person, notes and open questions.

    PINs and registration are per person: with several people named and nobody asked about, none of theirs counts.
    """
    people = {str(item.facts["person"]) for item in evidence if item.facts.get("person")}
    if person is None and len(people) < 2:
        return list(evidence), (), ()
    wanted = (person or "").casefold()
    mine = [item for item in evidence if str(item.facts.get("person") or wanted).casefold() == wanted]
    left_out = len(evidence) - len(mine)
    notes = (f"{left_out} pieces of evidence are about other people and were left out",) if left_out else ()
    asks = (f"person: whom is this about (--user)? It speaks of {', '.join(sorted(people)[:5])}",) if not person else ()
    return mine, notes, asks


def stated_symptom(evidence: Sequence[Evidence], stated: Symptom | None) -> tuple[Symptom | None, str]:
    """Given evidence and what was stated to us, return the symptom (None: unknown) and a contradiction (or "")."""
    seen = {str(item.facts.get("symptom")) for item in evidence if item.says == "ticket.symptom"}
    known = {symptom for symptom in Symptom if symptom.value in seen} | ({stated} if stated else set())
    if stated is None and len(known) > 1:
        return None, "the symptom is stated in two ways: generating fails, and the option is not there"
    return stated or next(iter(known), None), ""
