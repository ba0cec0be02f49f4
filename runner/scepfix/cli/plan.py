"""``scepfix plan``: the preview of a repair."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.cli.plan_report import as_text
from scepfix.domain.errors import Exit, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.plan import Plan
from scepfix.domain.remediation import Approval, Remediation
from scepfix.service.approve import ApprovalNeeded, approval_needed
from scepfix.service.plan import ANSWERED


@click.command(
    epilog="Exit codes: 0 a plan was made, 2 bad usage, 4 no device is left to plan for, 5 some devices could not be "
    "planned for.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("devices", metavar="[DEVICE…]", nargs=-1)
@click.option(
    "--devices", "devices_file", metavar="FILE", help="A file with a name or serial number a line; - is stdin."
)
@click.option("--group", metavar="G", help="A group of the inventory.")
@click.option("-i", "--inventory", metavar="INVENTORY", required=True, help="The Ansible inventory.")
@click.option("--only-fault", metavar="F", help="Keep only the devices diagnosed with this fault.")
@click.option("-o", "--output", metavar="PLAN.json", required=True, help="Where the plan is written.")
@click.option("--html", metavar="FILE", help="Also write the page for a change board, one self-contained file.")
@click.option("--markdown", metavar="FILE", help="Also write the same page as Markdown.")
@shared_options
@click.pass_obj
def plan(
    shared: Shared,
    devices: tuple[str, ...],
    devices_file: str | None,
    group: str | None,
    inventory: str,
    only_fault: str | None,
    output: str,
    html: str | None,
    markdown: str | None,
) -> Exit:
    """Look at devices, name their faults, and say what a repair would change. Nothing is changed.

    \b
    Examples:
      scepfix plan mac-042 -i inventory.yml -o plan.json
      scepfix plan --group lab -i inventory.yml --only-fault device-deleted -o plan.json --html plan.html
    """
    names = _names(devices, devices_file, group)
    _check_fault(shared, only_fault)
    made = wiring.preview(names, group, inventory, only_fault, shared.config, shared.tell)
    needed = approval_needed(made, wiring.settings(shared.config).repair)
    wiring.save_plan(output, made)
    write_pages(shared, made, output, needed, html, markdown)
    if shared.as_json:
        shared.print_document("plan", made.as_document())
    else:
        shared.print_text(as_text(made, needed, output, shared.command))
    return exit_code(made)


def write_pages(
    shared: Shared,
    made: Plan,
    plan_file: str,
    needed: ApprovalNeeded,
    html: str | None,
    markdown: str | None,
    approvals: Sequence[Approval] = (),
    remediations: Sequence[Remediation] = (),
) -> None:
    """Given what the page is about, write it in the forms that were asked for (None: not in this one)."""
    if html is None and markdown is None:
        return
    # Jinja2 is only loaded where a page is wanted.
    from scepfix.web.page import Page, render_html, render_markdown

    page = Page(made, plan_file, needed, approvals, remediations, command=shared.command)
    if html is not None:
        wiring.write_text(html, render_html(page))
    if markdown is not None:
        wiring.write_text(markdown, render_markdown(page))


def exit_code(made: Plan) -> Exit:
    """Mixed where a device that was asked for could not be judged, or may not be repaired; the document names each."""
    return Exit.MIXED if any(one.code not in ANSWERED for one in made.set_aside) else Exit.VERDICT


def _names(devices: tuple[str, ...], devices_file: str | None, group: str | None) -> tuple[str, ...]:
    if sum((bool(devices), devices_file is not None, group is not None)) != 1:
        raise UsageError(
            "usage",
            "name the devices in one way: DEVICE…, --devices FILE or --group G",
            where="scepfix plan",
            hint="nothing ever means all devices; see scepfix plan --help",
        )
    if devices_file is None:
        return devices
    try:
        text = wiring.small_files().read(devices_file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = visible(devices_file)
        raise UsageError("usage", "this is no UTF-8 text", where=where, hint="save it as UTF-8") from error
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _check_fault(shared: Shared, only_fault: str | None) -> None:
    if only_fault is None:
        return
    known = [fault.id for fault in wiring.settings(shared.config).catalogue.faults]
    if only_fault not in known:
        near = difflib.get_close_matches(only_fault, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "scepfix faults list names them all"
        raise UsageError("unknown-fault", f"there is no fault {only_fault!r}", where="scepfix plan", hint=hint)
