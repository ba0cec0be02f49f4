"""``scepfix fix``: one device, from preview to proof, with one question in between."""

from __future__ import annotations

import sys

import click

from scepfix import wiring
from scepfix.cli.apply import run_plan
from scepfix.cli.context import Shared, shared_options
from scepfix.cli.plan_report import as_text
from scepfix.cli.remediation_report import nothing_to_do
from scepfix.domain.errors import Exit, RefusedError
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.domain.plan import Plan, SetAside
from scepfix.domain.remediation import Outcome
from scepfix.service.approve import approval_needed
from scepfix.service.plan import EmptySelectionError


@click.command(
    epilog="Exit codes: as scepfix apply; 0 also for a healthy device; 4 also where nothing can be planned, "
    "the digest is another one, or nobody can be asked.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("device", metavar="DEVICE")
@click.option("-i", "--inventory", metavar="INVENTORY", required=True, help="The Ansible inventory.")
@click.option("--approve", "digest", metavar="DIGEST", help="Approve the plan with this digest; nothing is asked.")
@shared_options
@click.pass_obj
def fix(shared: Shared, device: str, inventory: str, digest: str | None) -> Exit:
    """Preview the repair of one device, ask, run it and prove it.

    On a terminal it asks, and only the word yes goes on. Elsewhere it shows the preview and stops: --approve with the
    digest of that preview then runs it, if nothing has changed since. A repair of this device that is under way, or
    waits for its person to sign in, is gone on with instead (to repair it again all the same: scepfix plan).

    \b
    Examples:
      scepfix fix mac-042 -i inventory.yml
      scepfix fix mac-042 -i inventory.yml --approve sha256:…
    """
    under_way = wiring.open_repair(device, shared.database)
    if under_way is not None and digest in (None, under_way.digest()):
        return _go_on(shared, under_way, device)
    try:
        plan = wiring.preview((device,), None, inventory, None, shared.config, shared.tell)
    except EmptySelectionError as empty:
        if digest is not None or {one.code for one in empty.set_aside} != {"healthy"}:
            raise
        return _healthy(shared, empty.set_aside[0])
    needed = approval_needed(plan, wiring.settings(shared.config).repair)
    found = plan.digest()
    if digest is not None and digest.strip().lower() != found:
        raise RefusedError(
            "plan-changed",
            f"the plan now has the digest {found}, not the one that was approved",
            where=plan.devices[0].name,
            hint="look at the preview again: scepfix fix without --approve",
        )
    plan_file = wiring.keep_plan(plan)
    if digest is None:
        click.echo(as_text(plan, needed), err=True, color=shared.wants_color(sys.stderr))
        if needed.changing and not _agreed(shared, found, device, inventory):
            raise RefusedError("not-approved", "not approved, so nothing was changed", where=visible(device))
    if needed.changing:
        wiring.approve(plan, None, None, shared.config, shared.database)
    return run_plan(shared, plan, plan_file)


def _healthy(shared: Shared, device: SetAside) -> Exit:
    """Say that there is nothing to repair, and why it is believed."""
    if shared.as_json:
        shared.print_document("remediations", {"remediations": [nothing_to_do(device.name)], "score": []})
    else:
        shared.print_text(f"{device.name}: {Outcome.NOTHING_TO_DO.value}: {device.reason}")
    return Exit.VERDICT


def _go_on(shared: Shared, plan: Plan, device: str) -> Exit:
    """Go on with the repair that is under way, or look whether the person has registered."""
    plan_file = wiring.keep_plan(plan)
    if len(plan.devices) > 1:
        raise RefusedError(
            "being-repaired",
            f"it is being repaired together with others, under a plan made {rfc3339(plan.made_at)}",
            where=visible(device),
            hint=f"go on with all of them: {visible(shared.command('apply', plan_file))}",
        )
    shared.tell(f"{device} is being repaired already, under a plan made {rfc3339(plan.made_at)}: going on with that")
    return run_plan(shared, plan, plan_file)


def _agreed(shared: Shared, digest: str, device: str, inventory: str) -> bool:
    """Ask on the terminal. Raise RefusedError where there is none to ask on."""
    if shared.as_json or not _can_ask():
        raise RefusedError(
            "no-terminal",
            "this was the preview; nobody can be asked here, so nothing was changed",
            where=digest,
            hint=visible(shared.command("fix", device, "-i", inventory, "--approve", digest)),
        )
    question = "Run it? Type yes"
    styled = click.style(question, bold=True) if shared.wants_color(sys.stderr) else question
    answer: str = click.prompt(styled, default="no", show_default=False, err=True)
    return answer.strip().lower() == "yes"


def _can_ask() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
