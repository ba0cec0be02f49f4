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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@shared_options
def faults() -> None:
    """List and explain the faults scepfix can name.

    \b
    Examples:
      scepfix faults list
      scepfix faults list --evidence
      scepfix faults show device-deleted
    """


@faults.command("list")
@click.option("--evidence", "with_evidence", is_flag=True, help="Also list every id that evidence may carry.")
@shared_options
@click.pass_obj
def list_faults(shared: Shared, with_evidence: bool) -> Exit:
    """List the faults in the order in which they are repaired."""
    catalogue = wiring.settings(shared.config).catalogue
    if shared.as_json:
        document: dict[str, object] = {"faults": [fault.as_document() for fault in catalogue.faults]}
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
    """Explain one fault: what it means, what shows it, its rivals and what to do."""
    catalogue = wiring.settings(shared.config).catalogue
    fault = catalogue.fault(fault_id)
    if fault is None:
        near = difflib.get_close_matches(fault_id, [known.id for known in catalogue.faults], n=1)
        hint = f"did you mean {near[0]}?" if near else "scepfix faults list names them all"
        raise UsageError("unknown-fault", f"there is no fault {fault_id!r}", hint=hint)
    if shared.as_json:
        shared.print_document("faults", {"faults": [fault.as_document()]})
    else:
        shared.print_text(_explained(fault))
    return Exit.VERDICT


def _explained(fault: Fault) -> str:
    def block(title: str, items: list[str]) -> list[str]:
        wrapped = [textwrap.fill(item, 100, initial_indent="  - ", subsequent_indent="    ") for item in items]
        return ["", click.style(title, bold=True), *wrapped] if items else []

    signs = [
        f"{sign.condition.says}{_where(sign.condition.where)}{' (a hint only)' if sign.weak else ''}"
        for sign in fault.signs
    ]
    return "\n".join(
        [
            f"{click.style(fault.id, bold=True)}: {fault.title}",
            textwrap.fill(fault.meaning, 100),
            f"Touches: {fault.touches}. Playbook: {fault.playbook}.",
            *block("Shown by", signs),
            *block("It could also be", [f"{rival.fault}: {rival.separated_by}" for rival in fault.rivals]),
            *block("What to do", list(fault.steps)),
        ]
    )


def _where(where: object) -> str:
    return f" where {where}" if where else ""
