"""How an inspection of certificates is shown: the JSON document of the contract, and text for a ticket or a call."""

from __future__ import annotations

from collections.abc import Iterator

import click

from scepfix.domain.certificate import ListingKind
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.rules.certificate import Level, Verdict, is_marked_leaf
from scepfix.rules.certificate_comparison import Comparison
from scepfix.service.inspect_certificates import InputStatus, InspectedCertificate, InspectedInput, Inspection

_INDENT = "  "
_LABEL_WIDTH = 16
#: A keychain holds dozens of certificates; who wants all takes --json.
_SHOWN = 10


def as_text(inspection: Inspection) -> str:
    """Return what a person reads: the answer in the first line, then the facts, then what could not be read."""
    certificates = inspection.certificates
    marked = [one for one in certificates if is_marked_leaf(one.found.certificate)]
    marked.sort(
        key=lambda one: (one.judgement.verdict is Verdict.USABLE, one.found.certificate.not_before), reverse=True
    )
    alone = len(certificates) == 1 and all(each.status is not InputStatus.NO_ANSWER for each in inspection.inputs)
    shown = marked or (list(certificates) if alone else [])
    others = [] if alone else [one for one in certificates if not is_marked_leaf(one.found.certificate)]
    lines = [_headline(inspection, shown)]
    for one in shown[:_SHOWN]:
        lines += ["", *_block(one, with_answer=len(shown) > 1)]
    if len(shown) > _SHOWN:
        lines += ["", _and_more(len(shown))]
    if others:
        lines += ["", f"{'Other certificates' if shown else 'Certificates'} (not for Device Access, never counted)"]
        lines += [f"{_INDENT}{_one_line(one)}" for one in others[:_SHOWN]]
        if len(others) > _SHOWN:
            lines.append(_INDENT + _and_more(len(others)))
    if inspection.comparison:
        lines += ["", *_comparison_lines(inspection.comparison)]
    about_inputs = [line for each in inspection.inputs for line in _input_lines(each)]
    return "\n".join([*lines, *([""] if about_inputs else []), *about_inputs])


def _headline(inspection: Inspection, shown: list[InspectedCertificate]) -> str:
    usable = [one for one in shown if one.judgement.verdict is Verdict.USABLE]
    if usable:
        newest = usable[0].found.certificate.serial_number
        which = f": serial number {newest} ({len(usable)} of {len(shown)} with the marker)" if len(shown) > 1 else ""
        return _green("usable for Device Access") + which
    if shown:
        return f"{_red('NOT usable for Device Access')}: {_reason(shown[0])}"
    if any(each.status is InputStatus.NO_ANSWER for each in inspection.inputs):
        return (
            f"{_yellow('no answer')}: no certificate with the marker, but the listing is not whole, so there may be one"
        )
    return f"{_red('NOT usable for Device Access')}: none of {len(inspection.certificates)} certificates has its marker"


def _reason(one: InspectedCertificate) -> str:
    errors = [finding.message for finding in one.judgement.findings if finding.level is Level.ERROR]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return visible(errors[0]) + more


def _block(one: InspectedCertificate, *, with_answer: bool) -> Iterator[str]:
    certificate, found = one.found.certificate, one.found
    if with_answer:
        usable = one.judgement.verdict is Verdict.USABLE
        yield _green("usable") if usable else f"{_red('NOT usable')}: {_reason(one)}"
    bits = f" {certificate.key_bits}" if certificate.key_bits else ""
    private = {True: "private key there", False: "private key missing", None: "private key not known"}
    yield _fact("found in", f"{one.source}, {found.place}")
    if found.store:
        yield _fact("store", found.store)
    yield _fact("subject", certificate.subject or "(empty)")
    yield _fact("issuer", certificate.issuer or "(empty)")
    yield _fact("serial number", certificate.serial_number)
    yield _fact("valid", f"{rfc3339(certificate.not_before)} to {rfc3339(certificate.not_after)}")
    yield _fact("marker", "yes" if certificate.marker else "no")
    yield _fact("key", f"{certificate.key_type}{bits}, {private[found.private_key]}")
    yield _fact("key usage", _usages(certificate.key_usage))
    yield _fact("extended usage", _usages(certificate.extended_key_usage))
    if certificate.alternative_names:
        yield _fact("also named", ", ".join(certificate.alternative_names))
    yield _fact("SHA-256", certificate.sha256)
    yield _fact("SHA-1", certificate.sha1)
    for finding in one.judgement.findings:
        color = "red" if finding.level is Level.ERROR else "yellow"
        label = click.style(f"{finding.level.value:<{_LABEL_WIDTH}}", fg=color)
        yield f"{_INDENT}{label}{visible(finding.message)} [{finding.code}]"
    for note in one.judgement.notes:
        yield _fact("note", visible(note))


def _usages(usages: tuple[str, ...] | None) -> str:
    return "not restricted" if usages is None else ", ".join(usages) or "(empty)"


def _one_line(one: InspectedCertificate) -> str:
    certificate = one.found.certificate
    kind = "CA" if certificate.is_ca else "no marker"
    return f"{certificate.subject or '(empty subject)'}, serial number {certificate.serial_number}, {kind}"


def _comparison_lines(comparison: Comparison) -> Iterator[str]:
    color = {"yes": _green, "no": _red, "unknown": _yellow}
    answer = color[comparison.proved_new.value](comparison.proved_new.value)
    yield f"Issued anew since the earlier file: {answer}: {visible('; '.join(comparison.reasons))}"
    for label, certificates in (("gone", comparison.gone), ("stayed", comparison.stayed), ("new", comparison.new)):
        serials = [one.serial_number for one in certificates[:_SHOWN]]
        more = [_and_more(len(certificates))] if len(certificates) > _SHOWN else []
        yield _fact(label, ", ".join(serials + more) or "none")


def _input_lines(each: InspectedInput) -> Iterator[str]:
    if each.error:
        hint = f" ({each.error.hint})" if each.error.hint else ""
        yield f"{_red('not read')}  {each.source}: {each.error.message}{hint}"
        return
    if each.file is None:
        return
    for warning in each.file.warnings:
        yield f"{_red('warning')}  {each.source}: {warning}"
    for problem in each.file.problems:
        yield f"{_yellow('not read')}  {each.source}, {problem.place}: {problem.message}"
    listing = each.file.listing
    if listing and not listing.complete:
        reason = "a part of it could not be read"
        if not each.certificates:
            reason = "it is empty"
        elif listing.kind is ListingKind.KEYCHAIN and not listing.canary_seen:
            reason = "it has none of the certificates that every System keychain holds"
        yield f"{_yellow('no answer')}  {each.source}: {reason}; what is not in it may still be on the device"


def _and_more(count: int) -> str:
    return f"and {count - _SHOWN} more; --json lists all"


def _fact(label: str, value: str) -> str:
    return f"{_INDENT}{label:<{_LABEL_WIDTH}}{value}"


def _green(text: str) -> str:
    return click.style(text, fg="green", bold=True)


def _red(text: str) -> str:
    return click.style(text, fg="red", bold=True)


def _yellow(text: str) -> str:
    return click.style(text, fg="yellow", bold=True)
