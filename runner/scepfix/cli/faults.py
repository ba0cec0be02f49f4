"""``scepfix faults``: what scepfix can name, what shows it, and what evidence may say."""

from __future__ import annotations

import difflib
import textwrap

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.domain.errors import Exit, UsageError
from scepfix.domain.evidence import SAYS
from scepfix.domain.fault import Fault


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@shared_options
@click.pass_context
def faults(ctx: click.Context) -> None:
    """List and explain the faults scepfix can name; alone it lists them.

    \b
    Examples:
      scepfix faults
      scepfix faults list --evidence
      scepfix faults show device-deleted
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_faults, with_evidence=False)


@faults.command("list")
@click.option("--evidence", "with_evidence", is_flag=True, help="Also list every id that evidence may carry.")
@shared_options
@click.pass_obj
def list_faults(shared: Shared, with_evidence: bool) -> Exit:
    """List the faults in the order in which they are repaired.

    \b
    Example:
      scepfix faults list --evidence
    """
    catalogue = wiring.settings(shared.config).catalogue
    if shared.as_json:
        document: dict[str, object] = {"faults": [_document(fault) for fault in catalogue.faults]}
        if with_evidence:
            document["evidence"] = [
                {"says": says, "meaning": meaning.text, "facts": dict(meaning.facts), "owner": meaning.owner}
                for says, meaning in SAYS.items()
            ]
        shared.print_document("faults", document)
        return Exit.VERDICT
    width = max(len(fault.id) for fault in catalogue.faults)
    lines = [f"{fault.id:<{width}}  {fault.playbook:<28}  {fault.title}" for fault in catalogue.faults]
    if with_evidence:
        lines += ["", click.style("Evidence", bold=True)]
        for says, meaning in SAYS.items():
            facts = f" Facts: {', '.join(meaning.facts)}." if meaning.facts else ""
            lines.append(f"{says:<{width}}  {meaning.text}{facts}")
    shared.print_text("\n".join(lines))
    return Exit.VERDICT


@faults.command("show")
@click.argument("fault_id", metavar="ID")
@shared_options
@click.pass_obj
def show_fault(shared: Shared, fault_id: str) -> Exit:
    """Explain one fault: what it means, what shows it, its rivals and what to do.

    \b
    Example:
      scepfix faults show certificate-rejected
    """
    catalogue = wiring.settings(shared.config).catalogue
    fault = catalogue.fault(fault_id)
    if fault is None:
        near = difflib.get_close_matches(fault_id, [known.id for known in catalogue.faults], n=1)
        hint = f"did you mean {near[0]}?" if near else "scepfix faults list names them all"
        raise UsageError("unknown-fault", f"there is no fault {fault_id!r}", where="scepfix faults show", hint=hint)
    if shared.as_json:
        shared.print_document("faults", {"faults": [_document(fault)]})
    else:
        shared.print_text(_explained(fault))
    return Exit.VERDICT


def _document(fault: Fault) -> dict[str, object]:
    """Return the row as plain data, with what its diagnosis asks for and when another playbook takes its place."""
    return {
        **fault.as_document(),
        "wants": [{"text": wanted.text, "says": list(wanted.says)} for wanted in fault.wants],
        "playbook_when": [
            {
                "playbook": choice.playbook,
                "when": [{"says": one.says, "where": dict(one.where)} for one in choice.when],
            }
            for choice in fault.playbook_when
        ],
        "by_hand": fault.by_hand,
        "blocks_pin": fault.blocks_pin,
    }


def _explained(fault: Fault) -> str:
    def block(title: str, items: list[str]) -> list[str]:
        wrapped = [textwrap.fill(item, 100, initial_indent="  - ", subsequent_indent="    ") for item in items]
        return ["", click.style(title, bold=True), *wrapped] if items else []

    signs = [
        f"{sign.condition.says}{_where(sign.condition.where)}{' (a hint only)' if sign.weak else ''}"
        for sign in fault.signs
    ]
    choices = [
        f"{choice.playbook}, once all of these show: {', '.join(one.says for one in choice.when)}"
        for choice in fault.playbook_when
    ]
    return "\n".join(
        [
            f"{click.style(fault.id, bold=True)}: {fault.title}",
            textwrap.fill(fault.meaning, 100),
            f"Touches: {fault.touches}. Playbook: {fault.playbook}.",
            *block("Another playbook", choices),
            *block("Shown by", signs),
            *block("Only a consequence of it, where both show", list(fault.explains)),
            *block("It could also be", [f"{rival.fault}: {rival.separated_by}" for rival in fault.rivals]),
            *block("Worth asking for", [wanted.text for wanted in fault.wants]),
            *block("What to do", list(fault.steps)),
        ]
    )


def _where(where: object) -> str:
    return f" where {where}" if where else ""
