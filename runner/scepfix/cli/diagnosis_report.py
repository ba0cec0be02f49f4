"""Shows a diagnosis: as the JSON document of the contract, and as text that answers the phone in its first line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

from scepfix.domain.diagnosis import Answer, Diagnosis
from scepfix.domain.evidence import SAYS, Evidence, rfc3339
from scepfix.domain.inert import visible
from scepfix.service.diagnose import DiagnoseReport, DiagnoseRequest

_WIDTH = 100
_COLOURS = {Answer.YES: "green", Answer.NO: "red", Answer.UNKNOWN: "yellow"}
_WORDS = {Answer.YES: "YES", Answer.NO: "NO", Answer.UNKNOWN: "NOT KNOWN"}
#: Of each kind this much evidence is shown; all of it is in the JSON document.
_SHOWN_OF_A_KIND = 2
_LONGEST_SHOWN = 700


def as_document(report: DiagnoseReport) -> dict[str, object]:
    """Given a report, return the diagnosis document (without its schema)."""
    document = report.top.as_document()
    if len(report.diagnoses) > 1:
        document["diagnoses"] = [found.as_document() for found in report.diagnoses]
    document["inputs"] = [
        {
            "source": item.source,
            "kind": item.kind,
            "read": item.error is None and not item.skipped,
            "evidence": len(item.evidence),
            "error": None
            if item.error is None
            else {
                "code": item.error.code,
                "message": item.error.message,
                "where": item.error.where,
                "hint": item.error.hint,
            },
        }
        for item in report.inputs
    ]
    return document


def as_text(report: DiagnoseReport, request: DiagnoseRequest) -> str:
    """Given a report and what was asked, return text for a person, styled."""
    blocks = ["\n".join(_diagnosis(found, request)) for found in report.diagnoses]
    if report.unreadable:
        blocks.append(
            _heading("Could not be read") + "\n" + "\n".join(_item(str(item.error)) for item in report.unreadable)
        )
    return "\n\n".join(blocks)


def _diagnosis(found: Diagnosis, request: DiagnoseRequest) -> Iterator[str]:
    yield _first_line(found, request)
    yield from (_wrapped(f"Another way in: {way}", "  ", "    ") for way in found.ways_in)
    if found.fault:
        yield f"Fault: {click.style(found.fault, bold=True)} ({found.standing})"
    else:
        yield f"Verdict: {click.style(found.verdict.value, bold=True)}" + (
            f" ({found.standing})" if found.standing else ""
        )
    yield _wrapped(found.reason)
    if found.also:
        yield f"Also true: {', '.join(found.also)}"
    if found.playbook:
        yield f"Playbook: {found.playbook}"
    if found.evidence:
        yield _heading("Evidence")
        yield from _evidence(found.evidence)
    yield from _list("It could also be", [f"{rival.fault}: {rival.separated_by}" for rival in found.rivals])
    yield from _list("Missing", found.missing)
    yield from _list("Next", found.next_steps, numbered=True)
    yield from _list("Notes", found.notes)


def _first_line(found: Diagnosis, request: DiagnoseRequest) -> str:
    who = visible(request.person or "this person")
    device = f" for {visible(found.device)}" if found.device else ""
    answer = click.style(_WORDS[found.pin_possible_now], fg=_COLOURS[found.pin_possible_now], bold=True)
    says = {
        Answer.YES: f"{who} can get a recovery PIN{device} now.",
        Answer.NO: f"{who} cannot get a recovery PIN{device} now.",
        Answer.UNKNOWN: f"whether {who} can get a recovery PIN{device} now cannot be told yet.",
    }[found.pin_possible_now]
    if found.fault == "admin-permission-missing" and found.pin_possible_now is Answer.NO:
        says = f"{visible(request.admin or 'this admin')} cannot generate it; a super, org or help desk admin may."
    return f"{answer}: {says}"


def _evidence(evidence: Sequence[Evidence]) -> Iterator[str]:
    kinds: dict[tuple[str, str], list[Evidence]] = {}
    for item in evidence:
        kinds.setdefault((item.says, item.source), []).append(item)
    for (says, _), items in kinds.items():
        # The latest decides, so it is the one to see.
        shown = items[-_SHOWN_OF_A_KIND:]
        meaning = SAYS[says].text if says in SAYS else "A sign of this site."
        yield f"  {meaning} [{says}]"
        for item in shown:
            yield f"    {_origin(item)}"
            if quote := _quote(item):
                yield textwrap.fill(
                    quote, _WIDTH, initial_indent="    | ", subsequent_indent="    | ", break_on_hyphens=False
                )
        if len(items) > len(shown):
            yield f"    … and {len(items) - len(shown)} more like it"


def _origin(item: Evidence) -> str:
    parts = [f"{item.witness.value}: {item.source or 'no source'}"]
    if item.line is not None:
        parts.append(f"line {item.line}")
    if item.observed_at is not None:
        parts.append(str(rfc3339(item.observed_at)))
    return ", ".join(parts)


def _quote(item: Evidence) -> str:
    facts = [
        f"{name} {_value(value)}"
        for name, value in item.facts.items()
        if value not in (None, "", []) and name in _TELLING
    ]
    quote = item.quote if len(item.quote) <= _LONGEST_SHOWN else item.quote[:_LONGEST_SHOWN] + " …"
    return quote if item.says.startswith("log.") else "; ".join(facts) or quote


_TELLING = (
    "subject",
    "serial_number",
    "not_before",
    "not_after",
    "device_access_marker",
    "private_key",
    "store",
    "org_issuer",
    "enabled",
    "allowed",
    "reason",
    "codes",
    "identifier",
    "version",
    "offset_seconds",
    "days",
    "id",
    "device_id",
    "symptom",
)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _list(title: str, items: Sequence[str], *, numbered: bool = False) -> Iterator[str]:
    if items:
        yield _heading(title)
        for number, item in enumerate(items, 1):
            yield _item(item, f"{number}." if numbered else "-")


def _heading(title: str) -> str:
    return click.style(f"\n{title}", bold=True)


def _item(text: str, bullet: str = "-") -> str:
    lead = f"  {bullet} "
    return _wrapped(text, lead, " " * len(lead))


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
