"""Inspects files of certificates: reads each, judges what is in it, and compares with an earlier file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scepfix.domain.certificate import Certificate, CertificateFile, FoundCertificate
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.parsers.certificates import parse_certificates
from scepfix.rules.certificate import Judgement, is_marked_leaf, judge
from scepfix.rules.certificate_comparison import Comparison, compare
from scepfix.service.ports import SmallFiles


class InputStatus(StrEnum):
    """How much of an input could be read. ``no-answer``: a list that is not whole, without a marker certificate."""

    READ = "read"
    PARTLY_READ = "partly-read"
    NO_ANSWER = "no-answer"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class InspectOptions:
    """``issuer`` and ``before`` are paths; ``device_names`` names, serial numbers or UDIDs; times are aware."""

    issuer: str | None = None
    before: str | None = None
    removed_at: datetime | None = None
    device_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InspectedCertificate:
    """A certificate, its source and what Device Access could do with it."""

    source: str
    found: FoundCertificate
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class InspectedInput:
    """One input: what was in it, or the error that says why nothing could be read. ``source`` is inert."""

    source: str
    file: CertificateFile | None
    certificates: tuple[InspectedCertificate, ...] = ()
    error: InputError | None = None

    @property
    def status(self) -> InputStatus:
        if self.file is None:
            return InputStatus.UNREADABLE
        listing = self.file.listing
        if listing and not listing.complete and not any(map(_is_marked, self.file.found)):
            return InputStatus.NO_ANSWER
        return InputStatus.PARTLY_READ if self.file.problems else InputStatus.READ


@dataclass(frozen=True, slots=True)
class Inspection:
    """All inputs in the order given; ``comparison`` where an earlier file was given."""

    at: datetime
    inputs: tuple[InspectedInput, ...]
    comparison: Comparison | None = None

    @property
    def certificates(self) -> tuple[InspectedCertificate, ...]:
        return tuple(one for each in self.inputs for one in each.certificates)


def inspect_certificates(
    reader: SmallFiles, paths: Sequence[str], at: datetime, options: InspectOptions | None = None
) -> Inspection:
    """Given paths (``-`` is stdin) and an aware moment, return what is in each and what it is good for then.

    Raise InputError where nothing could be read from any input, or the issuer's or the earlier file is unreadable.
    """
    options = options or InspectOptions()
    issuer_file = _read(reader, options.issuer) if options.issuer else None
    issuers = [found.certificate for found in issuer_file.found] if issuer_file else []
    before = _read(reader, options.before) if options.before else None
    inputs = tuple(_inspect(reader, path, at, issuers, options) for path in paths)
    if all(each.file is None for each in inputs):
        raise _nothing_read(inputs)
    return Inspection(at, inputs, _compare(before, inputs, options) if before else None)


def _inspect(
    reader: SmallFiles, path: str, at: datetime, issuers: Sequence[Certificate], options: InspectOptions
) -> InspectedInput:
    source = _source(path)
    try:
        file = _read(reader, path)
    except InputError as error:
        return InspectedInput(source, None, error=error)
    all_found = [found.certificate for found in file.found]
    inspected = []
    for index, found in enumerate(file.found):
        judgement = judge(
            found.certificate,
            at,
            issuer_certificates=issuers,
            device_names=options.device_names,
            others=all_found[:index] + all_found[index + 1 :],
            private_key=found.private_key,
            store=found.store,
        )
        inspected.append(InspectedCertificate(source, found, judgement))
    return InspectedInput(source, file, tuple(inspected))


def _read(reader: SmallFiles, path: str) -> CertificateFile:
    """Raise InputError with everything in it inert: a file's name and what the system says of it are foreign text."""
    source = _source(path)
    try:
        return parse_certificates(reader.read(path), source)
    except InputError as error:
        raise InputError(error.code, visible(error.message), where=source, hint=visible(error.hint)) from error


def _source(path: str) -> str:
    return "stdin" if path == "-" else visible(path)


def _compare(before: CertificateFile, inputs: Sequence[InspectedInput], options: InspectOptions) -> Comparison:
    after = [found.certificate for each in inputs if each.file for found in each.file.found]
    return compare(
        [found.certificate for found in before.found],
        after,
        options.removed_at,
        before_complete=_is_complete(before),
        after_complete=all(each.file is not None and _is_complete(each.file) for each in inputs),
        device_names=options.device_names,
    )


def _is_complete(file: CertificateFile) -> bool:
    """A file that is no listing is taken as all there was: whoever gave it as ``--before`` says so."""
    return file.listing.complete if file.listing else not file.problems


def _is_marked(found: FoundCertificate) -> bool:
    return is_marked_leaf(found.certificate)


def _nothing_read(inputs: Sequence[InspectedInput]) -> InputError:
    errors = [each.error for each in inputs if each.error is not None]
    if len(errors) == 1:
        return errors[0]
    return InputError(
        "no-input-readable",
        f"none of the {len(errors)} inputs could be read: "
        + "; ".join(f"{error.where}: {error.message}" for error in errors),
        hint=errors[0].hint,
    )
