"""``scepfix diagnose``: name the fault."""

from __future__ import annotations

import difflib

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.cli.diagnosis_report import as_document, as_text
from scepfix.domain.diagnosis import Verdict
from scepfix.domain.errors import Exit
from scepfix.domain.fault import Symptom
from scepfix.domain.inert import visible
from scepfix.service.ask import ASKED
from scepfix.service.diagnose import DiagnoseReport, DiagnoseRequest


class SymptomType(click.ParamType[Symptom]):
    """A symptom by its id, or as people say it: "generating fails", "the option is not there"."""

    name = "symptom"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Symptom:
        if isinstance(value, Symptom):
            return value
        words = [word for word in str(value).lower().replace("_", "-").replace(" ", "-").split("-") if word]
        said = "-".join(word for word in words if word not in ("the", "is", "a", "pin"))
        for symptom in Symptom:
            if said == "-".join(word for word in symptom.value.split("-") if word not in ("the", "is")):
                return symptom
        near = difflib.get_close_matches(str(value), list(Symptom), n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        message = f"{value!r} is no symptom: generating-fails or option-not-there.{hint}"
        raise click.BadParameter(message, ctx, param)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(symptom.value) for symptom in Symptom if symptom.value.startswith(incomplete)]


@click.command(
    epilog="Exit codes: 0 a verdict was reached, 2 nothing could be read, 3 undetermined, 5 inputs or devices differ.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("paths", metavar="[PATH…|-]", nargs=-1, type=click.Path(path_type=str, allow_dash=True))
@click.option(
    "--device", metavar="NAME", help="The device that the PATHs were read from; else they are the ticket's word."
)
@click.option(
    "-i", "--inventory", metavar="INVENTORY", help="Ansible inventory: --device is read, and its MDM record (settings)."
)
@click.option("--okta", "ask_okta", is_flag=True, help="Ask Okta too (settings); nothing is changed there.")
@click.option("--user", "person", metavar="NAME", help="The person who needs the PIN.")
@click.option("--admin", metavar="NAME", help="The admin who tried to generate it.")
@click.option("--symptom", type=SymptomType(), metavar="S", help="generating-fails, or option-not-there.")
@click.option(
    "--evidence", "evidence_files", metavar="FILE", multiple=True, help="A JSON array of evidence (docs/evidence.md)."
)
@shared_options
@click.pass_obj
def diagnose(
    shared: Shared,
    paths: tuple[str, ...],
    device: str | None,
    person: str | None,
    admin: str | None,
    symptom: Symptom | None,
    evidence_files: tuple[str, ...],
    inventory: str | None,
    ask_okta: bool,
) -> Exit:
    """Name the fault from logs, certificates, profiles, archives, pasted text and evidence, or from the device itself.

    PATH is a file, a folder, an archive (tar, zip), a compressed log, or - for standard input. It counts as the
    ticket's word, unless --device says which device it was read from. With -i that device is looked at, by one
    Ansible run that changes nothing, and the MDM of the settings is asked about it.

    \b
    Examples:
      scepfix diagnose OktaDeviceAccess.log --symptom generating-fails
      scepfix diagnose sysdiagnose.tar.gz keychain.txt --device mac-042 --user alice
      pbpaste | scepfix diagnose -
      scepfix diagnose ticket.txt --evidence okta.json --json
      scepfix diagnose --device mac-042 -i inventory.yml --okta --symptom generating-fails
    """
    if inventory is not None and not device:
        raise click.UsageError("-i needs --device: which device of the inventory is it about?")
    device, person, admin = (visible(name) if name else None for name in (device, person, admin))
    request = DiagnoseRequest(paths, evidence_files, device, person, admin, symptom)
    if inventory is not None or ask_okta:
        report = wiring.device_diagnosis(request, shared.config, inventory, ask_okta=ask_okta, tell=_tell)
    else:
        report = wiring.diagnosis(request, shared.config)
    if shared.as_json:
        shared.print_document("diagnosis", as_document(report))
    else:
        shared.print_text(as_text(report, report.request))
    return exit_code(report)


def _tell(line: str) -> None:
    """Say on standard error what is being waited for."""
    click.echo(visible(line), err=True)


def exit_code(report: DiagnoseReport) -> Exit:
    """Given a report, return the contract's exit code. Where nothing but silence was met, nothing is mixed."""
    open_ones = [found for found in report.diagnoses if found.verdict is Verdict.UNDETERMINED]
    all_open = len(open_ones) == len(report.diagnoses)
    silent = all(item.kind in ASKED for item in report.unreadable)
    if (report.unreadable and not (silent and all_open)) or 0 < len(open_ones) < len(report.diagnoses):
        return Exit.MIXED
    return Exit.UNDETERMINED if open_ones else Exit.VERDICT
