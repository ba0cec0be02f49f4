"""The use *name the fault*: read what was handed over, sort it by device, diagnose each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scepfix.domain.certificate import Certificate
from scepfix.domain.diagnosis import Diagnosis
from scepfix.domain.errors import InputError, UsageError
from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.fault import Symptom
from scepfix.parsers.certificates import parse_certificates
from scepfix.parsers.evidence_json import parse_evidence
from scepfix.rules.diagnose import diagnose, most_severe
from scepfix.rules.steps import Circumstances
from scepfix.rules.whom import sort_by_device
from scepfix.service.ports import EvidenceSources, Settings, SmallFiles, UnreadableSource
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
class DiagnoseReport:
    """One diagnosis for each device, the most severe first in ``top``; and what became of each input."""

    top: Diagnosis
    diagnoses: tuple[Diagnosis, ...]
    inputs: tuple[ReadSource, ...]

    @property
    def unreadable(self) -> tuple[ReadSource, ...]:
        return tuple(item for item in self.inputs if item.error is not None and not item.skipped)


def diagnose_inputs(
    request: DiagnoseRequest, sources: EvidenceSources, files: SmallFiles, settings: Settings, now: datetime
) -> DiagnoseReport:
    """Given a request and an aware moment, return the report.

    Raise InputError when there were inputs and none could be read; UsageError when there was nothing to go by.
    """
    if not (request.paths or request.evidence_files or request.symptom):
        raise UsageError(
            "nothing-to-go-by",
            "there is nothing to diagnose from",
            hint="hand over a log, a certificate, a profile or an archive; - reads what you paste",
        )
    issuers = _issuers(settings, files)
    witness = Witness.DEVICE if request.device else Witness.TICKET
    reader = SourceReader(witness, settings.catalogue.signatures, issuers)
    inputs: list[ReadSource] = []
    evidence: list[Evidence] = []
    for path in request.paths:
        for source in sources.open(path):
            read = _unreadable(source) if isinstance(source, UnreadableSource) else reader.read(source)
            inputs.append(read)
            evidence += read.evidence
    if request.device:
        evidence = [replace(item, facts={**item.facts, "device": request.device}) for item in evidence]
    for name in request.evidence_files:
        given = parse_evidence(files.read(name), name)
        inputs.append(ReadSource(name, "evidence", tuple(given)))
        evidence += given
    _refuse_nothing(inputs)
    circumstances = Circumstances(request.person, request.admin, request.device, request.symptom, settings.ways_in)
    notes = tuple(note for item in inputs for note in item.notes)
    diagnoses = tuple(
        replace(found, notes=(*found.notes, *notes))
        for device, items in sort_by_device(evidence)
        for found in [diagnose(items, settings.catalogue, now, replace(circumstances, device=device or request.device))]
    )
    return DiagnoseReport(most_severe(diagnoses, settings.catalogue), diagnoses, tuple(inputs))


def _unreadable(source: UnreadableSource) -> ReadSource:
    return ReadSource(source.name, "unreadable", error=source.error)


def _issuers(settings: Settings, files: SmallFiles) -> Sequence[Certificate]:
    return [
        found.certificate
        for path in settings.issuer_files
        for found in parse_certificates(files.read(path), path).found
    ]


def _refuse_nothing(inputs: Sequence[ReadSource]) -> None:
    if not inputs or any((item.error is None or item.evidence) and not item.skipped for item in inputs):
        return
    errors = [item.error for item in inputs if item.error is not None]
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
