"""``scepfix approve`` and ``scepfix reject``: a person's decision about a plan."""

from __future__ import annotations

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.domain.errors import Exit, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.domain.remediation import Approval


@click.command(
    epilog="Exit codes: 0 approved, 2 bad usage or no plan, 4 not approved: the plan changed or expired, or the "
    "approval does not reach.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("plan_file", metavar="PLAN.json")
@click.option("--as", "person", metavar="NAME", help="Who approves; recorded as unauthenticated (default: your login).")
@click.option("--signature", metavar="FILE", help="An ssh-keygen signature over the digest; it says who approves.")
@shared_options
@click.pass_obj
def approve(shared: Shared, plan_file: str, person: str | None, signature: str | None) -> Exit:
    """Approve a plan: these devices, these changes, nothing else.

    \b
    Examples:
      scepfix approve plan.json
      printf '%s\\n' sha256:… | ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n scepfix-plan > plan.sig
      scepfix approve plan.json --signature plan.sig
    """
    if person is not None and signature is not None:
        raise UsageError(
            "usage",
            "--as and --signature exclude each other",
            where="scepfix approve",
            hint="a signature says by itself who signed",
        )
    _not_blank(person, "--as", "scepfix approve")
    approval = wiring.approve(wiring.load_plan(plan_file), person, signature, shared.config, shared.database)
    _show(shared, approval, f"Run it: {visible(shared.command('apply', plan_file))}")
    return Exit.VERDICT


@click.command(
    epilog="Exit codes: 0 rejected, 2 bad usage or no plan, 4 the plan was changed after it was made.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("plan_file", metavar="PLAN.json")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is shown to whoever tries to run the plan.")
@shared_options
@click.pass_obj
def reject(shared: Shared, plan_file: str, reason: str) -> Exit:
    """Reject a plan: it is not run, until somebody approves it after all.

    \b
    Example:
      scepfix reject plan.json --reason 'not during the quarter close'
    """
    _not_blank(reason, "--reason", "scepfix reject")
    _show(shared, wiring.reject(wiring.load_plan(plan_file), reason, shared.database), "")
    return Exit.VERDICT


def _show(shared: Shared, approval: Approval, following: str) -> None:
    if shared.as_json:
        shared.print_document("approval", approval.as_document())
        return
    decision = "Approved" if approval.approved else "Rejected"
    how = "" if approval.how == "signature" else f" ({approval.how})"
    lines = [f"{decision} by {approval.person}{how} at {rfc3339(approval.at)}.", f"  {approval.plan_digest}"]
    lines += [f"  Reason: {approval.reason}"] if approval.reason else []
    shared.print_text("\n".join([*lines, *([following] if following else [])]))


def _not_blank(text: str | None, option: str, where: str) -> None:
    if text is not None and not text.strip():
        raise UsageError("usage", f"{option} is blank", where=where, hint=f"see {where} --help")
