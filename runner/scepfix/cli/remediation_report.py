"""Shows what came of a plan: outcome and proofs of each device, actual beside predicted, and the score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from scepfix.cli.plan_report import wrapped
from scepfix.domain.diagnosis import Answer
from scepfix.domain.errors import Exit
from scepfix.domain.inert import visible
from scepfix.domain.remediation import Outcome, Remediation
from scepfix.service.apply import exit_code
from scepfix.service.score import Score, compare, score

_MEANS = {
    Outcome.AWAITING_REGISTRATION: "the new certificate is proved; the person registers at the next online sign-in",
    Outcome.VERIFIED: "the person registered with the new certificate",
    Outcome.NOTHING_TO_DO: "it is as it should be, nothing was changed",
    Outcome.NEEDS_ADMIN: "a person has something to do first; nothing was changed",
    Outcome.VERIFY_FAILED: "the profile is back, and no new certificate is proved",
    Outcome.FAILED: "it failed, and nothing was removed",
    Outcome.STRANDED: "the profile was removed and has not come back yet: call the person, and run this again",
    Outcome.UNREACHABLE: "the device could not be reached; nothing was removed",
    Outcome.SILENT: "the device did not answer in time",
    Outcome.REJECTED: "somebody rejected it",
    Outcome.EXPIRED: "the time for it is over",
}
_MARKS = {True: "as predicted", False: "NOT as predicted", None: "not scored"}
_COLOURS = {Answer.YES: "green", Answer.NO: "red", Answer.UNKNOWN: "yellow"}


def as_document(remediations: Sequence[Remediation], scores: Sequence[Score]) -> dict[str, object]:
    """Given remediations and their score, return the document (without its schema)."""
    return {
        "remediations": [
            {
                **one.as_document(),
                "predictions": [line.as_document() for line in compare(one.device.predictions, one.actual)],
            }
            for one in remediations
        ],
        "score": [one.as_document() for one in scores],
    }


def nothing_to_do(device: str) -> dict[str, object]:
    """Given the name of a healthy device, return its entry of the document: no plan, no run."""
    empty = dict.fromkeys(("fault", "playbook", "stage", "proof_grade", "plan_digest", "started_at", "ended_at"))
    return {
        "device": device,
        **empty,
        "outcome": Outcome.NOTHING_TO_DO.value,
        **dict.fromkeys(("waiting_for", "error", "new_certificate"), ""),
        "proofs": [],
        "leftovers": [],
        "actual": {},
        "predictions": [],
    }


def as_text(remediations: Sequence[Remediation], ways_in: Sequence[str] = ()) -> str:
    """Given remediations and the site's other ways in, return text for a person, styled."""
    blocks = [list(_remediation(one, ways_in)) for one in remediations] + [list(_score(score(remediations)))]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _remediation(one: Remediation, ways_in: Sequence[str]) -> Iterator[str]:
    outcome = one.outcome.value if one.outcome else "under way"
    colour = {Exit.VERDICT: "green", Exit.FAILED: "red"}.get(exit_code([one]), "yellow")
    who = f", {visible(one.device.person)}" if one.device.person else ""
    yield (
        click.style(f"{visible(one.device.name)}{who}", bold=True)
        + f": {visible(one.device.fault)}: "
        + click.style(outcome, fg=colour, bold=True)
    )
    yield from _pin(one, ways_in)
    if one.outcome is not None:
        yield wrapped(_MEANS[one.outcome], "  ", "  ")
    if one.waiting_for:
        yield wrapped(f"Waiting for {one.waiting_for}", "  ", "    ")
    if one.error:
        yield wrapped(one.error, "  ", "    ")
    if not one.device.changes:
        for number, step in enumerate(one.device.watches, 1):
            yield wrapped(step, f"    {number}. ", "       ")
    yield from _proofs(one)
    for line in compare(one.device.predictions, one.actual):
        what = visible(line.prediction.what)
        seen = f"{line.actual or 'not looked at'} ({_MARKS[line.right]})"
        yield wrapped(f"{what}: predicted {line.prediction.after}; seen: {seen}", "  ", "    ")
    if one.leftovers:
        yield wrapped(f"Still there: {', '.join(one.leftovers)}", "  ", "    ")


def _pin(one: Remediation, ways_in: Sequence[str]) -> Iterator[str]:
    """What the help desk tells the person on the phone; nothing of a device on which nothing was to change."""
    person = visible(one.device.person) or "the person"
    if one.outcome is Outcome.VERIFIED:
        yield "  " + click.style("YES", fg="green", bold=True) + f": {person} can get a recovery PIN now."
    if one.outcome is not Outcome.AWAITING_REGISTRATION:
        return
    again = "adds the account in Okta Verify again and " if one.device.fault == "device-deleted" else ""
    first = f": first {person} {again}signs in on {visible(one.device.name)}, online; then a recovery PIN can be had."
    yield "  " + click.style("NOT YET", fg="yellow", bold=True) + wrapped(first, "", "    ")
    for way in ways_in:
        yield wrapped(f"Until then: {way}", "    ", "      ")


def _proofs(one: Remediation) -> Iterator[str]:
    """One line where every point is proved; else each point, since one of them decided."""
    if one.proofs and all(proof.proved is Answer.YES for proof in one.proofs):
        witnesses = ", ".join(dict.fromkeys(proof.witness for proof in one.proofs))
        yield wrapped(
            f"Proved in all {len(one.proofs)} points ({witnesses}): new certificate, SHA-256 {one.new_certificate}. "
            "Each point: --json, or the page",
            "  ",
            "    ",
        )
        return
    for proof in one.proofs:
        said = click.style(proof.proved.value, fg=_COLOURS[proof.proved])
        yield wrapped(f"{proof.witness}: {proof.says}:", "  Proved? ", "          ") + f" {said}"


def _score(scores: Sequence[Score]) -> Iterator[str]:
    if any(one.right or one.wrong for one in scores):
        yield click.style("Was the preview right?", bold=True)
        for one in scores:
            yield f"  {one.sureness.value}: {one.right} right, {one.wrong} wrong, {one.unseen} not seen"
