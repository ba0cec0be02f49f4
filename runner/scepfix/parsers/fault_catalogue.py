"""The fault catalogue and a site's own beside it: located YAML in, Catalogue out, every problem with file and line."""

from __future__ import annotations

import re
from dataclasses import replace
from math import isfinite

from scepfix.domain.evidence import COMMON_FACTS, SAYS
from scepfix.domain.fault import (
    DRAWN_SIGNS,
    HANDS,
    STEP_VALUES,
    Catalogue,
    Condition,
    Fault,
    PlaybookChoice,
    Rival,
    Signature,
    SignOfFault,
    Symptom,
    Wanted,
)
from scepfix.parsers.located_yaml import Located, Path
from scepfix.parsers.schema import Checker

_REQUIRED = ("id", "title", "meaning", "touches", "playbook", "symptoms", "signs", "steps")
_OPTIONAL = ("explains", "rivals", "wants", "playbook_when", "by_hand", "blocks_pin")
_FAULT_ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_PLAYBOOK = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*){0,2}")
_STEP_VALUE = re.compile(r"\{\{ ?([^{}%#]*?) ?\}\}")
_SITE_SIGN = re.compile(r"site\.[a-z][a-z0-9-]*")
_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9})*", re.ASCII)
#: A shorter signature would meet ordinary prose.
_SHORTEST_SIGNATURE = 12


def read_catalogue(shipped: Located, site: Located | None = None) -> Catalogue:
    """Given the shipped catalogue and, where there is one, a site's, return both as one.

    A site's fault of a shipped id replaces it in its place; the others follow at the end. Raise UsageError that
    lists every problem with file and line.
    """
    catalogue = _read(shipped, known_faults=())
    if site is None:
        return catalogue
    added = _read(site, known_faults=tuple(fault.id for fault in catalogue.faults))
    replaced = {fault.id: fault for fault in added.faults}
    kept = [replaced.pop(fault.id, fault) for fault in catalogue.faults]
    by_hand = {**catalogue.by_hand, **{key: value for key, value in added.by_hand.items() if value}}
    return replace(catalogue, faults=(*kept, *replaced.values()), by_hand=by_hand, signatures=added.signatures)


def _read(located: Located, known_faults: tuple[str, ...]) -> Catalogue:
    check = Checker(located)
    top = check.mapping(located.data, (), (), ("by_hand", "faults", "signatures"))
    faults = check.items(top.get("faults"), ("faults",), lambda item, path: _fault(check, item, path))
    ids = [fault.id for fault in faults]
    for index, fault in enumerate(faults):
        path: Path = ("faults", index)
        if fault.id and fault.id in ids[:index]:
            check.problem((*path, "id"), f"the fault {fault.id!r} stands here a second time")
        named = [((*path, "explains", at), other) for at, other in enumerate(fault.explains)]
        named += [((*path, "rivals", at, "fault"), rival.fault) for at, rival in enumerate(fault.rivals)]
        for place, other in named:
            if other and other not in ids and other not in known_faults:
                check.one_of(other, place, (*ids, *known_faults))
    hands = check.mapping(top.get("by_hand") or {}, ("by_hand",), (), HANDS)
    by_hand = {place: check.items(hands.get(place), ("by_hand", place), check.text) for place in HANDS}
    signatures = check.items(top.get("signatures"), ("signatures",), lambda item, path: _signature(check, item, path))
    check.finish("catalogue", "the form of a catalogue is in docs/faults.md")
    return Catalogue(faults, by_hand, signatures)


def _fault(check: Checker, value: object, path: Path) -> Fault:
    fields = check.mapping(value, path, _REQUIRED, _OPTIONAL)

    def text(key: str) -> str:
        return check.text(fields[key], (*path, key)) if key in fields else ""

    fault_id = text("id")
    if fault_id and not _FAULT_ID.fullmatch(fault_id):
        check.problem((*path, "id"), f"{fault_id!r}: a fault id is lower-case words joined by hyphens")
    signs = check.items(fields.get("signs"), (*path, "signs"), lambda item, at: _sign(check, item, at))
    if "signs" in fields and not signs:
        check.problem((*path, "signs"), "a fault needs at least one sign")
    symptoms = check.items(
        fields.get("symptoms"), (*path, "symptoms"), lambda item, at: Symptom(check.one_of(item, at, Symptom))
    )
    if "symptoms" in fields and not symptoms:
        check.problem((*path, "symptoms"), "a fault needs at least one symptom")
    return Fault(
        id=fault_id,
        title=text("title"),
        meaning=text("meaning"),
        touches=text("touches"),
        playbook=_playbook(check, fields.get("playbook", "report"), (*path, "playbook")),
        symptoms=symptoms,
        signs=signs,
        steps=check.items(fields.get("steps"), (*path, "steps"), lambda item, at: _step(check, item, at)),
        explains=check.items(fields.get("explains"), (*path, "explains"), check.text),
        rivals=check.items(fields.get("rivals"), (*path, "rivals"), lambda item, at: _rival(check, item, at)),
        wants=check.items(fields.get("wants"), (*path, "wants"), lambda item, at: _wanted(check, item, at)),
        playbook_when=check.items(
            fields.get("playbook_when"), (*path, "playbook_when"), lambda item, at: _choice(check, item, at)
        ),
        by_hand="by_hand" in fields and check.truth(fields["by_hand"], (*path, "by_hand")),
        blocks_pin="blocks_pin" not in fields or check.truth(fields["blocks_pin"], (*path, "blocks_pin")),
    )


def _step(check: Checker, value: object, path: Path) -> str:
    """Read a step: text with values in double braces, nothing else of Jinja2 (no loop, call or filter)."""
    step = check.text(value, path)
    for name in _STEP_VALUE.findall(step):
        check.one_of(name, path, STEP_VALUES)
    if re.search(r"\{[{%#]|[}%#]\}", _STEP_VALUE.sub("", step)):
        check.problem(path, f"a step names values as {{{{ person }}}}, nothing more; values: {', '.join(STEP_VALUES)}")
    return step


def _playbook(check: Checker, value: object, path: Path) -> str:
    name = check.text(value, path)
    if name and not _PLAYBOOK.fullmatch(name):
        check.problem(
            path, f"{name!r}: a playbook is a name such as report, or namespace.collection.name; never a path"
        )
    return name


def _condition(
    check: Checker, value: object, path: Path, *, optional: tuple[str, ...] = ()
) -> tuple[Condition, dict[str, object]]:
    fields = check.mapping(value, path, ("says",), ("where", *optional))
    says = check.text(fields["says"], (*path, "says")) if "says" in fields else ""
    if says and says not in SAYS and says not in DRAWN_SIGNS and not _SITE_SIGN.fullmatch(says):
        check.one_of(says, (*path, "says"), (*SAYS, *DRAWN_SIGNS))
    where = fields.get("where", {})
    if not isinstance(where, dict):
        check.problem((*path, "where"), "where must be a mapping of facts")
        where = {}
    known_facts = (*SAYS[says].facts, *COMMON_FACTS) if says in SAYS else ()
    for key, want in where.items():
        if known_facts:
            check.one_of(key, (*path, "where", key), known_facts)
        for one in want if isinstance(want, list) else [want]:
            if problem := _not_comparable(one):
                check.problem((*path, "where", key), f"{key}: {problem}")
    return Condition(says, where), fields


def _not_comparable(want: object) -> str:
    """Given what a fact is compared with, say what is wrong with it; empty where nothing is."""
    if not isinstance(want, dict):
        plain = want is None or isinstance(want, str | int) or (isinstance(want, float) and isfinite(want))
        return "" if plain else "compare with a text, a number, true or false, a list of these, or a mapping"
    if set(want) == {"version_below"}:
        bound = want["version_below"]
        dotted = isinstance(bound, str) and _VERSION.fullmatch(bound)
        return "" if dotted else f'version_below takes dotted numbers in quotes, such as "6.1.1", found {bound!r}'
    if not want or not set(want) <= {"above", "below"}:
        return f"a comparison has above, below or both, or version_below alone, found {', '.join(map(str, want))}"
    wrong = [
        bound
        for bound in want.values()
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not isfinite(bound)
    ]
    return f"above and below take a number without quotes, found {wrong[0]!r}" if wrong else ""


def _conditions(check: Checker, value: object, path: Path) -> tuple[Condition, ...]:
    return check.items(value, path, lambda item, at: _condition(check, item, at)[0])


def _sign(check: Checker, value: object, path: Path) -> SignOfFault:
    condition, fields = _condition(check, value, path, optional=("weak",))
    return SignOfFault(condition, weak="weak" in fields and check.truth(fields["weak"], (*path, "weak")))


def _rival(check: Checker, value: object, path: Path) -> Rival:
    fields = check.mapping(value, path, ("fault", "separated_by"), ("ruled_out_by",))
    return Rival(
        fault=check.text(fields.get("fault", ""), (*path, "fault")),
        separated_by=check.text(fields.get("separated_by", ""), (*path, "separated_by")),
        ruled_out_by=_conditions(check, fields.get("ruled_out_by"), (*path, "ruled_out_by")),
    )


def _wanted(check: Checker, value: object, path: Path) -> Wanted:
    fields = check.mapping(value, path, ("text", "says"))
    return Wanted(
        text=check.text(fields.get("text", ""), (*path, "text")),
        says=check.items(
            fields.get("says"), (*path, "says"), lambda item, at: _condition(check, {"says": item}, at)[0].says
        ),
    )


def _choice(check: Checker, value: object, path: Path) -> PlaybookChoice:
    fields = check.mapping(value, path, ("playbook", "when"))
    return PlaybookChoice(
        playbook=_playbook(check, fields.get("playbook", "report"), (*path, "playbook")),
        when=_conditions(check, fields.get("when"), (*path, "when")),
    )


def _signature(check: Checker, value: object, path: Path) -> Signature:
    fields = check.mapping(value, path, ("says", "contains"))
    says, contains = str(fields.get("says", "")), check.text(fields.get("contains", ""), (*path, "contains"))
    if says != "log.registered" and not _SITE_SIGN.fullmatch(says):
        check.problem(
            (*path, "says"), f"{says!r}: a site's signature says log.registered or an id that begins with site."
        )
    squeezed = "".join(contains.split())
    if contains and (
        not squeezed.isascii() or len(squeezed) < _SHORTEST_SIGNATURE or "\\" in squeezed or ">" in squeezed
    ):
        check.problem(
            (*path, "contains"),
            f"a signature is a literal ASCII text of at least {_SHORTEST_SIGNATURE} characters without \\ and >",
        )
    return Signature(says, contains)
