"""``scepfix doctor``: is everything ready for a repair? One line for each thing, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.cli.plan_report import wrapped
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.errors import Exit
from scepfix.service.doctor import exit_of

#: What stands before the dot of an id, and what a person reads over those lines.
_GROUPS = {
    "settings": "Settings",
    "machine": "This machine",
    "repairs": "Repairs",
    "mdm": "MDM",
    "way-back": "The way back: would the profile and its certificate come back?",
    "group": "Exclusion group",
    "okta": "Okta",
}
_MARKS = {CheckResult.PASS: "pass", CheckResult.FAIL: "FAIL", CheckResult.UNKNOWN: "?   "}
_COLOURS = {CheckResult.PASS: "green", CheckResult.FAIL: "red", CheckResult.UNKNOWN: "yellow"}


@click.command(
    epilog="Exit codes: 0 every line passes, 1 a line fails, 2 bad usage or settings, 3 something could not be "
    "looked at.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-i", "--inventory", metavar="INVENTORY", help="Also read this Ansible inventory.")
@shared_options
@click.pass_obj
def doctor(shared: Shared, inventory: str | None) -> Exit:
    """Look whether settings, this machine, the MDM and Okta are ready for a repair. Nothing is changed.

    \b
    Examples:
      scepfix doctor
      scepfix doctor -i inventory.yml --json
    """
    checks = wiring.examination(shared.config, shared.database, inventory, shared.tell)
    if shared.as_json:
        shared.print_document("doctor", as_document(checks))
    else:
        shared.print_text(as_text(checks))
    return exit_of(checks)


def as_document(checks: Sequence[Check]) -> dict[str, object]:
    """Given the lines, return the document (without its schema)."""
    return {"checks": [check.as_document() for check in checks]}


def as_text(checks: Sequence[Check]) -> str:
    """Given the lines in their order, return what a person reads."""
    lines: list[str] = []
    for group, members in groupby(checks, key=lambda check: check.id.partition(".")[0]):
        lines += [click.style(_GROUPS.get(group, group), bold=True), *_group(list(members)), ""]
    return "\n".join([*lines, _summary(checks)])


def _group(checks: Sequence[Check]) -> Iterator[str]:
    width = max(len(check.id) for check in checks)
    indent = " " * (width + 10)
    for check, following in zip(checks, [*checks[1:], None], strict=True):
        mark = click.style(_MARKS[check.result], fg=_COLOURS[check.result])
        yield f"  {mark}  {check.id:<{width}}  " + wrapped(check.message, indent, indent).lstrip()
        # Lines that nobody could look at for one reason want one thing to be done.
        if check.hint and (following is None or following.hint != check.hint):
            yield wrapped(f"→ {check.hint}", indent, f"{indent}  ")


def _summary(checks: Sequence[Check]) -> str:
    count = {result: sum(check.result is result for check in checks) for result in CheckResult}
    parts = [f"{count[CheckResult.PASS]} pass"]
    if count[CheckResult.FAIL]:
        parts.append(f"{count[CheckResult.FAIL]} fail")
    if count[CheckResult.UNKNOWN]:
        parts.append(f"{count[CheckResult.UNKNOWN]} could not be looked at")
    return ", ".join(parts)
