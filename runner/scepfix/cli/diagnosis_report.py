"""Shows a diagnosis: as the JSON document of the contract, and as text that answers the phone in its first line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

from scepfix.domain.diagnosis import Answer, Diagnosis
from scepfix.domain.evidence import SAYS, Evidence
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.service.diagnose import DiagnoseReport, DiagnoseRequest

_WIDTH = 100
_COLOURS = {Answer.YES: "green", Answer.NO: "red", Answer.UNKNOWN: "yellow"}
#: What a playbook's name does not say by itself.
_PLAYBOOK_MEANS = {
    "report": " (nothing on the device is changed)",
    **dict.fromkeys(
        ("reinstall_scep_profile", "install_scep_profile", "remove_leftover_certificates"),
        " (preview it: scepfix plan DEVICE -i INVENTORY -o plan.json)",
    ),
}
#: Of each kind this much evidence is shown; all of it is in the JSON document.
_SHOWN_OF_A_KIND = 2
#: A registration failure says its cause twice; the first time is enough for a person.
_LONGEST_SHOWN = 300
#: The facts that a person reads with a piece of evidence that has no line of a log to quote.
_TELLING = frozenset(
    [
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
    ]
)


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
            "error": item.error.as_document() if item.error else None,
        }
        for item in report.inputs
    ]
    return document


def as_text(report: DiagnoseReport, request: DiagnoseRequest) -> str:
    """Given a report and what was asked, return text for a person, styled."""
    blocks = ["\n".join(_diagnosis(found, request)) for found in report.diagnoses]
    blocks.append("\n".join(_list("Could not be read", [str(item.error) for item in report.unreadable])).lstrip("\n"))
    return "\n\n".join(block for block in blocks if block)


def _diagnosis(found: Diagnosis, request: DiagnoseRequest) -> Iterator[str]:
    """The answer and what to do come first: whoever reads this may be on the phone."""
    yield _first_line(found, request)
    yield from (_wrapped(f"Another way in: {way}", "  ", "    ") for way in found.ways_in)
    if not found.ways_in and found.pin_possible_now is not Answer.YES:
        yield "  Another way in: none is set (setting ways_in, docs/settings.md)"
    standing = f" ({found.standing})" if found.standing else ""
    name = click.style(found.fault or found.verdict.value, bold=True)
    yield f"{'Fault' if found.fault else 'Verdict'}: {name}{standing}"
    yield _wrapped(found.reason)
    if found.also:
        yield f"Also true: {', '.join(found.also)}"
    if found.playbook:
        yield f"Playbook: {found.playbook}{_PLAYBOOK_MEANS.get(found.playbook, '')}"
    yield from _list("Next", found.next_steps, numbered=True)
    yield from _list("Check by hand", found.checks)
    yield from _list("Missing", found.missing)
    yield from _list("It could also be", [f"{rival.fault}: {rival.separated_by}" for rival in found.rivals])
    if found.evidence:
        yield _heading("Evidence")
        yield from _evidence(found.evidence)
    yield from _list("Notes", found.notes)


def _first_line(found: Diagnosis, request: DiagnoseRequest) -> str:
    who = visible(request.person or "this person")
    device = f" for {visible(found.device)}" if found.device else ""
    says = {
        Answer.YES: f"{who} can get a recovery PIN{device} now.",
        Answer.NO: f"{who} cannot get a recovery PIN{device} now.",
        Answer.UNKNOWN: f"it cannot be told yet whether {who} can get a recovery PIN{device} now.",
    }[found.pin_possible_now]
    if found.fault == "admin-permission-missing" and found.pin_possible_now is Answer.NO:
        says = f"{visible(request.admin or 'this admin')} cannot generate it; a super, org or help desk admin may."
    answer = click.style(found.pin_possible_now.upper(), fg=_COLOURS[found.pin_possible_now], bold=True)
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
            if says.startswith("log."):
                yield _wrapped(_shortened(item.quote), "    | ", "    | ")
            elif facts := _facts(item):
                yield _wrapped(facts, "    ", "    ")
        if len(items) > len(shown):
            yield f"    … and {len(items) - len(shown)} more like it"


def _origin(item: Evidence) -> str:
    parts = [f"{item.witness.value}: {item.source or 'no source'}"]
    if item.line is not None:
        parts.append(f"line {item.line}")
    if item.observed_at is not None:
        parts.append(str(rfc3339(item.observed_at)))
    return ", ".join(parts)


def _shortened(quote: str) -> str:
    return quote if len(quote) <= _LONGEST_SHOWN else quote[:_LONGEST_SHOWN].rsplit(" ", 1)[0] + " …"


def _facts(item: Evidence) -> str:
    telling = {name: value for name, value in item.facts.items() if name in _TELLING and value not in (None, "", [])}
    return "; ".join(f"{name.replace('_', ' ')}: {_value(value)}" for name, value in telling.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _list(title: str, items: Sequence[str], *, numbered: bool = False) -> Iterator[str]:
    if items:
        yield _heading(title)
        for number, item in enumerate(items, 1):
            lead = f"  {number}. " if numbered else "  - "
            yield _wrapped(item, lead, " " * len(lead))


def _heading(title: str) -> str:
    return click.style(f"\n{title}", bold=True)


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
