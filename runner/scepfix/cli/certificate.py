"""``scepfix certificate inspect FILE…``: say whether Device Access could use the certificates in these files."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from scepfix.cli.certificate_report import as_text
from scepfix.cli.context import Shared, shared_options
from scepfix.domain.errors import Exit, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339
from scepfix.service.certificate_document import as_document
from scepfix.service.inspect_certificates import InputStatus, Inspection, InspectOptions

#: What one input says about the exit code; several different ones together are MIXED.
_EXITS = {
    InputStatus.READ: Exit.VERDICT,
    InputStatus.PARTLY_READ: Exit.MIXED,
    InputStatus.NO_ANSWER: Exit.UNDETERMINED,
    InputStatus.UNREADABLE: Exit.USAGE,
}


@click.group()
@shared_options
def certificate() -> None:
    """Inspect certificates as Device Access sees them.

    \b
    Example:
      scepfix certificate inspect device.pem
    """


@certificate.command(
    short_help="Say whether Device Access could use them.",
    epilog="Exit codes: 0 a verdict was reached (usable or not), 2 no input could be read, 3 a keychain listing that "
    "is no answer, 5 some inputs or parts of them could be read and others not.",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--at", metavar="TIME", help="Judge as of this time, RFC 3339 with zone (default: now).")
@click.option("--issuer", metavar="FILE", help="The issuing CA's certificate: check the signature with its key.")
@click.option("--device", "devices", metavar="NAME", multiple=True, help="Name, serial number or UDID; repeatable.")
@click.option("--before", metavar="FILE", help="What the device held before: say what is gone, stayed and new.")
@click.option("--removed-at", metavar="TIME", help="When the old certificate was removed, with --before.")
@shared_options
@click.pass_obj
def inspect(
    shared: Shared,
    files: tuple[str, ...],
    at: str | None,
    issuer: str | None,
    devices: tuple[str, ...],
    before: str | None,
    removed_at: str | None,
) -> int:
    """Say whether Device Access could use the certificates in FILE, and if not, why.

    FILE is PEM, DER or PKCS#7, the output of: security find-certificate -a -p -Z, an MDM CertificateList, or JSON
    from PowerShell or Ansible with the certificates in it. - reads standard input.

    \b
    Examples:
      scepfix certificate inspect device.pem --issuer okta-intermediate.cer
      scepfix certificate inspect after.txt --before before.txt --removed-at 2026-03-01T09:30:00Z
      security find-certificate -a -p -Z /Library/Keychains/System.keychain | scepfix certificate inspect -
    """
    from scepfix.wiring import certificate_inspection

    if any(not device.strip() for device in devices):
        raise UsageError("device-blank", "a device's name is blank", where="--device", hint="leave the option out")
    if removed_at and not before:
        raise UsageError("before-missing", "--removed-at says nothing without --before", where="--removed-at")
    options = InspectOptions(
        issuer=issuer,
        before=before,
        removed_at=_moment(removed_at, "--removed-at") if removed_at is not None else None,
        device_names=tuple(device.strip() for device in devices),
    )
    moment = _moment(at, "--at") if at is not None else datetime.now(UTC).replace(microsecond=0)
    inspection = certificate_inspection(files, moment, options)
    if shared.as_json:
        shared.print_document("certificates", as_document(inspection))
    else:
        shared.print_text(as_text(inspection))
    return int(exit_of(inspection))


def exit_of(inspection: Inspection) -> Exit:
    """Given an inspection of which something could be read, return the exit code of the contract."""
    exits = {_EXITS[each.status] for each in inspection.inputs}
    return exits.pop() if len(exits) == 1 else Exit.MIXED


def _moment(text: str, option: str) -> datetime:
    """Given RFC 3339 with a zone, return the aware UTC moment, else raise UsageError that says what to write."""
    found = parse_rfc3339(text)
    if found is not None:
        return found
    raise UsageError(
        "time-invalid",
        f"{visible(text)!r} is no time with a zone",
        where=option,
        hint=f"write date, time and zone, for example {_example(text)}",
    )


def _example(text: str) -> str:
    """The person's own date where it was only the zone, or time and zone, that was missing."""
    try:
        meant = datetime.fromisoformat(text).replace(tzinfo=None, microsecond=0)
    except ValueError:
        return "2026-03-01T09:30:00Z"
    return f"{meant.isoformat()}Z"
