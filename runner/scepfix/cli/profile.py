"""``scepfix profile check FILE``: say which settings of a SCEP profile keep Device Access from working."""

from __future__ import annotations

from typing import Any

import click

from scepfix.cli.context import Shared, shared_options
from scepfix.cli.profile_screens import screens_of
from scepfix.domain.errors import Exit
from scepfix.domain.inert import visible
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import Level, ProfileFinding, ProfileJudgement
from scepfix.service.check_profile import CheckedProfile


@click.group()
@shared_options
def profile() -> None:
    """Check a SCEP profile.

    \b
    Example:
      scepfix profile check okta-scep.mobileconfig
    """


@profile.command(
    epilog="Exit codes: 0 a verdict was reached (ok or misconfigured), 2 the file is no profile that can be read."
)
@click.argument("file", type=click.Path(allow_dash=True))
@shared_options
@click.pass_obj
def check(shared: Shared, file: str) -> int:
    """Check the SCEP settings in FILE against what Okta Device Access needs.

    FILE is a .mobileconfig (plain or signed), the output of: sudo profiles show -output stdout-xml, an Intune SCEP
    profile as Graph JSON, or Windows SyncML with ClientCertificateInstall nodes. - reads standard input. The
    challenge and other secrets in the file are never shown.

    \b
    Examples:
      scepfix profile check okta-scep.mobileconfig
      sudo profiles show -output stdout-xml | scepfix profile check -
    """
    from scepfix.wiring import profile_check

    checked = profile_check(file)
    if shared.as_json:
        shared.print_document("profile", as_document(checked))
    else:
        shared.print_text(as_text(checked))
    return int(Exit.VERDICT)


def as_document(checked: CheckedProfile) -> dict[str, Any]:
    """Return the JSON document of the contract; ``identifier`` and ``scope`` are null where profiles disagree."""
    profiles = checked.document.with_scep or checked.document.profiles
    identifiers = {one.identifier for one in profiles}
    scopes = {one.scope for one in profiles}
    identifier = identifiers.pop() if len(identifiers) == 1 else ""
    scope = scopes.pop() if len(scopes) == 1 else None
    return {
        "source": visible(checked.source),
        "format": checked.document.format.value,
        "identifier": visible(identifier) or None,
        "scope": scope.value if scope else None,
        "verdict": checked.judgement.verdict,
        "findings": [
            {key: visible(value) for key, value in finding.as_document().items()}
            for finding in checked.judgement.findings
        ],
        "notes": [visible(note) for note in checked.judgement.notes],
    }


def as_text(checked: CheckedProfile) -> str:
    """Return what a person reads: the answer, then each finding with what to change, then the notes."""
    judgement = checked.judgement
    lines = [_headline(judgement), *_about(checked)]
    for finding in sorted(judgement.findings, key=lambda one: one.level is not Level.BREAKS):
        lines += ["", *_finding_lines(finding, checked)]
    if judgement.notes:
        lines += ["", "Notes", *(f"  - {visible(note)}" for note in judgement.notes)]
    return "\n".join(lines)


def _headline(judgement: ProfileJudgement) -> str:
    breaks = len(judgement.breaks)
    hardening = len(judgement.findings) - breaks
    if not judgement.findings:
        return click.style("ok", fg="green", bold=True) + ": nothing in it keeps Device Access from working"
    parts = []
    if breaks:
        parts.append(f"{breaks} {'setting breaks' if breaks == 1 else 'settings break'} Device Access")
    if hardening:
        parts.append(f"{hardening} hardening" if breaks else f"nothing breaks Device Access, {hardening} hardening")
    return click.style("misconfigured", fg="red" if breaks else "yellow", bold=True) + ": " + ", ".join(parts)


def _about(checked: CheckedProfile) -> list[str]:
    lines = [f"{visible(checked.source)} ({checked.document.format.value})"]
    for one in checked.document.with_scep:
        names = [part for part in (one.display_name, one.identifier) if part]
        whose = one.scope.value if one.scope else "not told"
        lines.append(visible(f"  {' / '.join(names) or 'without a name'}, scope: {whose}"))
    return lines


def _finding_lines(finding: ProfileFinding, checked: CheckedProfile) -> list[str]:
    color = "red" if finding.level is Level.BREAKS else "yellow"
    platform = next((one.platform for one in checked.document.with_scep), Platform.MACOS)
    screens = screens_of(finding.code, checked.document.format, platform)
    return [
        f"{click.style(finding.level.value, fg=color, bold=True)}  {finding.code}",
        f"  {visible(finding.message)}",
        f"  where:    {visible(finding.path)}",
        f"  expected: {visible(finding.expected)}",
        f"  found:    {visible(finding.found)}",
        *(f"  {'change:  ' if index == 0 else '   or:   '} {screen}" for index, screen in enumerate(screens)),
    ]
