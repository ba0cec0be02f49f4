"""The use *name the fault*: read what was handed over and what was asked for, sort it by device, diagnose each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scepfix.domain.certificate import Certificate
from scepfix.domain.device import Observation
from scepfix.domain.diagnosis import Diagnosis, Verdict
from scepfix.domain.errors import InputError, UsageError
from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.fault import Symptom
from scepfix.domain.inert import visible
from scepfix.parsers.certificates import parse_certificates
from scepfix.parsers.evidence_json import parse_evidence
from scepfix.rules.diagnose import diagnose, most_severe
from scepfix.rules.steps import Circumstances
from scepfix.rules.whom import sort_by_device
from scepfix.service.ask import Question, ask
from scepfix.service.observe import NotObserved
from scepfix.service.ports import (
    EvidenceSources,
    Inventory,
    InventoryDevice,
    Mdm,
    Okta,
    Settings,
    SmallFiles,
    UnreadableSource,
)
from scepfix.service.read_evidence import ReadSource, SourceReader


@dataclass(frozen=True, slots=True)
class DiagnoseRequest:
    """What the person asked: paths (``-`` is stdin), evidence files, and who and what it is about."""

    paths: tuple[str, ...] = ()
    evidence_files: tuple[str, ...] = ()
    device: str | None = None
    person: str | None = None
    admin: str | None = None
    symptom: Symptom | None = None


@dataclass(frozen=True, slots=True)
class Ways:
    """Whom to ask besides reading the inputs; None is nobody. ``observe`` looks at one device of the inventory."""

    observe: Callable[[InventoryDevice], Observation | NotObserved]
    inventory: Inventory | None = None
    mdm: Mdm | None = None
    okta: Okta | None = None


@dataclass(frozen=True, slots=True)
class DiagnoseReport:
    """One diagnosis for each device, the most severe first in ``top``; what became of each input; and the request, with
    the person whom the inventory names where none was."""

    top: Diagnosis
    diagnoses: tuple[Diagnosis, ...]
    inputs: tuple[ReadSource, ...]
    request: DiagnoseRequest = DiagnoseRequest()

    @property
    def unreadable(self) -> tuple[ReadSource, ...]:
        return tuple(item for item in self.inputs if item.error is not None and not item.skipped)


def diagnose_inputs(
    request: DiagnoseRequest,
    sources: EvidenceSources,
    files: SmallFiles,
    settings: Settings,
    now: datetime,
    asked: Sequence[ReadSource] = (),
) -> DiagnoseReport:
    """Given a request, what device, MDM and Okta answered (service/ask.py) and an aware moment, return the report.

    Raise InputError when there were inputs, none could be read and nobody was asked; UsageError when there was nothing
    to go by.
    """
    if not (request.paths or request.evidence_files or request.symptom or asked):
        raise UsageError(
            "nothing-to-go-by",
            "there is nothing to diagnose from",
            hint="hand over a log, a certificate, a profile or an archive; - reads what you paste",
        )
    witness = Witness.DEVICE if request.device else Witness.TICKET
    reader = SourceReader(witness, settings.catalogue.signatures, org_issuers(settings, files))
    inputs: list[ReadSource] = []
    evidence: list[Evidence] = []
    for path in request.paths:
        before = len(inputs)
        for source in sources.open(path):
            read = _unreadable(source) if isinstance(source, UnreadableSource) else reader.read(source)
            inputs.append(read)
            evidence += read.evidence
        if len(inputs) == before:
            error = InputError(
                "input-empty", "there is no file in it", where=visible(path), hint="is it the right one?"
            )
            inputs.append(ReadSource(visible(path), "empty", error=error))
    if request.device:
        evidence = [replace(item, facts={**item.facts, "device": request.device}) for item in evidence]
    for name in request.evidence_files:
        read = _evidence_file(files, name)
        inputs.append(read)
        evidence += read.evidence
    if not asked:
        _refuse_nothing(inputs)
    inputs += asked
    evidence += [item for answer in asked for item in answer.evidence]
    circumstances = Circumstances(request.person, request.admin, request.device, request.symptom, settings.ways_in)
    notes = tuple(note for item in inputs for note in item.notes)
    diagnoses: list[Diagnosis] = []
    for device, items in sort_by_device(evidence, request.device):
        found = diagnose(items, settings.catalogue, now, replace(circumstances, device=device))
        if device == request.device:
            found = _with_the_silent(found, asked)
        diagnoses.append(replace(found, notes=(*found.notes, *notes)))
    return DiagnoseReport(most_severe(diagnoses, settings.catalogue), tuple(diagnoses), tuple(inputs), request)


def diagnose_device(
    request: DiagnoseRequest,
    ways: Ways,
    sources: EvidenceSources,
    files: SmallFiles,
    settings: Settings,
    now: Callable[[], datetime],
    tell: Callable[[str], None],
) -> DiagnoseReport:
    """Given a request and whom else to ask, ask, and diagnose from that and from the inputs.

    A device that does not answer is named among what is missing. Raise UsageError for a device that the inventory does
    not have, and as ``diagnose_inputs`` does.
    """
    device = ways.inventory.devices([request.device])[0] if ways.inventory and request.device else None
    request = replace(request, person=request.person or (device.person if device else "") or None)
    reading = None
    if device is not None and request.symptom is not Symptom.OPTION_NOT_THERE:
        # A setting or a permission hides the option: no device tells which, so none is touched for it.
        tell(f"reading {device.name} …")
        reading = ways.observe(device)
    question = Question(
        device=request.device or "",
        reading=reading,
        person=request.person or "",
        admin=request.admin or "",
        issuers=org_issuers(settings, files),
        signatures=settings.catalogue.signatures,
    )
    asked = ask(question, ways.mdm, ways.okta, now, tell)
    return diagnose_inputs(request, sources, files, settings, now(), asked)


def diagnose_evidence(
    evidence: Sequence[Evidence], device: str, person: str, settings: Settings, now: datetime
) -> Diagnosis:
    """Given the evidence about one device, its name, the person ("" where unknown) and an aware moment, diagnose it."""
    circumstances = Circumstances(person=person or None, device=device, ways_in=settings.ways_in)
    return diagnose(evidence, settings.catalogue, now, circumstances)


def org_issuers(settings: Settings, files: SmallFiles) -> tuple[Certificate, ...]:
    """Return the certificates of this org's Device Access CA. Raise InputError where one cannot be read."""
    return tuple(
        found.certificate
        for path in settings.issuer_files
        for found in parse_certificates(files.read(path), path).found
    )


def _with_the_silent(found: Diagnosis, asked: Sequence[ReadSource]) -> Diagnosis:
    """Name those who were asked and did not answer: without a verdict that is what is wanted most."""
    errors = [answer.error for answer in asked if answer.error is not None]
    if not errors:
        return found
    missing = tuple(f"answer: {error.where}: {error.message}" for error in errors)
    if found.verdict is not Verdict.UNDETERMINED:
        return replace(found, missing=(*found.missing, *missing))
    steps = tuple(dict.fromkeys(error.hint for error in errors if error.hint))
    return replace(found, missing=(*missing, *found.missing), next_steps=(*steps, *found.next_steps))


def _evidence_file(files: SmallFiles, name: str) -> ReadSource:
    shown = "stdin" if name == "-" else visible(name)
    try:
        return ReadSource(shown, "evidence", tuple(parse_evidence(files.read(name), shown)))
    except InputError as error:
        return ReadSource(shown, "evidence", error=error)


def _with_what_was_seen(item: ReadSource, error: InputError) -> InputError:
    if not item.evidence:
        return error
    last = item.evidence[-1]
    seen = f"{error.message}; the last known line before that says {last.says} (line {last.line})"
    return InputError(error.code, seen, where=error.where, hint=error.hint)


def _unreadable(source: UnreadableSource) -> ReadSource:
    return ReadSource(source.name, "unreadable", error=source.error)


def _refuse_nothing(inputs: Sequence[ReadSource]) -> None:
    """Raise InputError unless an input could be read whole. Of a cut one, the latest attempt may be what is missing."""
    if not inputs or any(item.error is None and not item.skipped for item in inputs):
        return
    errors = [_with_what_was_seen(item, item.error) for item in inputs if item.error is not None]
    if len(errors) == 1:
        raise errors[0]
    if not errors:
        raise InputError(
            "input-format",
            "there is no log, certificate or profile in it",
            where=inputs[0].source,
            hint="hand over the folder or archive that has OktaDeviceAccess.log in it",
        )
    listed = "; ".join(f"{error.where}: {error.message}" for error in errors[:5])
    raise InputError("input-unreadable", f"none of {len(inputs)} inputs could be read: {listed}", hint=errors[0].hint)
