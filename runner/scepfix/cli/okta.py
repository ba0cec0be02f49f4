"""``scepfix okta``: what is asked of the whole Okta org, and the one setting of it that may be written."""

from __future__ import annotations

from datetime import datetime

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.domain.errors import Exit, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.service.okta_setting import SETTING, word
from scepfix.service.okta_snapshot import Deleted, DeletedDevices, selection


def _moment(ctx: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """RFC 3339 with a zone: no zone is ever guessed."""
    found = parse_rfc3339(value)
    if value is not None and found is None:
        text = f"{visible(value)!r} is no time with a zone, such as 2026-11-24T00:00:00Z"
        raise click.BadParameter(text, ctx, option)
    return found


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@shared_options
def okta() -> None:
    """Ask the Okta org of the settings; only ``set`` changes something.

    \b
    Examples:
      scepfix okta snapshot
      scepfix okta deleted --since 2026-11-23T00:00:00Z --output deleted.txt
      scepfix okta permission 'Help desk, Device Access'
      scepfix okta set recovery-pin on
    """


@okta.command(epilog="Exit codes: 0 written, 1 Okta did not answer, 2 bad usage or a snapshot that cannot be read.")
@shared_options
@click.pass_obj
def snapshot(shared: Shared) -> Exit:
    """Keep what Okta tells of its devices now: of a deleted one it tells nothing any more. Run it daily.

    \b
    Example:
      scepfix okta snapshot
    """
    shared.tell("asking Okta for all devices …")
    taken, path = wiring.okta_snapshot(shared.config)
    known = len(taken.snapshot.devices)
    if shared.as_json:
        document = {
            "org": taken.snapshot.org,
            "taken_at": rfc3339(taken.snapshot.taken_at),
            "file": visible(path),
            "known": known,
            "living": taken.living,
            "new": taken.new,
            "vanished": taken.vanished,
        }
        shared.print_document("okta-snapshot", document)
    else:
        shared.print_text(
            f"{taken.living} records, {taken.new} of them new; {taken.vanished} are known from earlier and there no "
            f"more.\nWritten to {visible(path)}."
        )
    return Exit.VERDICT


@okta.command(
    epilog="Exit codes: 0 each deletion is told, 2 bad usage, 3 none of them can be selected, 4 nothing is left to "
    "write, 5 some cannot be selected."
)
@click.option("--since", metavar="TIME", callback=_moment, required=True, help="From then on; RFC 3339 with a zone.")
@click.option("--until", metavar="TIME", callback=_moment, help="Until then (default: now).")
@click.option("--export", metavar="FILE", help="A JSON export of the System Log, instead of asking Okta for it.")
@click.option("--output", metavar="FILE", help="Write serial numbers, one a line, for plan --devices FILE.")
@shared_options
@click.pass_obj
def deleted(shared: Shared, since: datetime, until: datetime | None, export: str | None, output: str | None) -> Exit:
    """List the devices whose records were deleted in that time, by whom, and which came back since.

    \b
    Examples:
      scepfix okta deleted --since 2026-11-23T00:00:00Z
      scepfix okta deleted --since 2026-11-23T08:00:00Z --until 2026-11-23T09:00:00Z --output deleted.txt
      scepfix plan --devices deleted.txt -i inventory.yml -o plan.json
    """
    found = wiring.okta_deleted(shared.config, since, until, export, shared.tell)
    if output is not None:
        wiring.write_text(output, selection(found))
    if shared.as_json:
        shared.print_document("okta-deleted", found.as_document())
    else:
        shared.print_text(_as_text(found, output))
    if not found.unknown:
        return Exit.VERDICT
    return Exit.MIXED if found.devices or found.set_aside else Exit.UNDETERMINED


@okta.command(epilog="Exit codes: 0 listed, 1 Okta did not answer, 2 no such role.")
@click.argument("role", metavar="ROLE")
@shared_options
@click.pass_obj
def permission(shared: Shared, role: str) -> Exit:
    """List the permissions of a custom role, by its label or id.

    Okta does not say in public which of them is 'Generate device recovery PIN'. Ask for a role that is known to have
    it, find the one, and set it as okta.generate_permission.

    \b
    Example:
      scepfix okta permission 'Help desk, Device Access'
    """
    found = wiring.okta_permissions(shared.config, role)
    if shared.as_json:
        shared.print_document("okta-permissions", {"role": visible(role), "permissions": list(found)})
    else:
        shared.print_text("\n".join(found) if found else f"The role {visible(role)} has no permission.")
    return Exit.VERDICT


@okta.command(
    "set",
    epilog="Exit codes: 0 it is so, and was read back, 1 Okta did not take it, 2 bad usage or no credential, 4 it is "
    "not approved.",
)
@click.argument("setting", metavar="recovery-pin", type=click.Choice([SETTING]))
@click.argument("value", metavar="on|off", type=click.Choice(["on", "off"]))
@click.option("--approval", metavar="FILE", help="Another person's ssh-keygen signature over the line that is told.")
@click.option("--until", metavar="TIME", callback=_moment, help="Until when it holds; a part of that line.")
@shared_options
@click.pass_obj
def set_(shared: Shared, setting: str, value: str, approval: str | None, until: datetime | None) -> Exit:
    """Set Enable Device Recovery PIN for Desktop MFA (Security > General) for the whole org.

    It needs a credential of its own (okta_write in the settings), and another person's signature. Without --approval
    nothing is asked of Okta: the line that is to be signed is told.

    \b
    Examples:
      scepfix okta set recovery-pin on
      scepfix okta set recovery-pin on --approval pin.sig --until 2026-11-25T12:00:00Z
    """
    if approval is not None and until is None:
        raise UsageError(
            "usage",
            "--approval goes with --until, the time that was signed",
            where="scepfix okta set",
            hint="without both the line to sign is told",
        )
    change = wiring.okta_set_recovery_pin(shared.config, value == "on", approval, until)
    if shared.as_json:
        shared.print_document("okta-setting", change.as_document())
    else:
        what = f"{setting} of {change.org} is {word(change.after)}"
        was = "" if change.before != change.after else ", as it was already"
        shared.print_text(f"{what}{was}. Approved by {change.approved_by}, asked for by {change.requested_by}.")
    return Exit.VERDICT


def _as_text(found: DeletedDevices, output: str | None) -> str:
    lines = [f"Deleted from {rfc3339(found.since)} to {rfc3339(found.until)}: {len(found.devices)} to be repaired."]
    lines += [_line(one) for one in found.devices]
    for title, ones in (("Came back by itself", found.set_aside), ("Cannot be selected", found.unknown)):
        if ones:
            lines += ["", title, *(f"{_line(one)}\n      {one.reason}" for one in ones)]
    if found.snapshot_taken_at is None:
        lines += ["", "There is no snapshot: only what the log itself tells is known. Run scepfix okta snapshot daily."]
    if output is not None:
        lines += ["", f"Written to {visible(output)}."]
    return "\n".join(lines)


def _line(one: Deleted) -> str:
    who = f", {', '.join(one.people)}" if one.people else ""
    device = one.serial_number or one.deletion.udid or one.deletion.device_id
    deletion = one.deletion
    return f"  {device}  {one.name}{who}: {rfc3339(deletion.at)} by {deletion.actor or 'nobody named'}"
