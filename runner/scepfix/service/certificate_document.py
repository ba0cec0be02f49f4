"""The `certificates` document of the contract, for the command line and for the Ansible module alike."""

from __future__ import annotations

from typing import Any

from scepfix.domain.certificate import Certificate
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.rules.certificate_comparison import Comparison
from scepfix.service.inspect_certificates import InspectedCertificate, InspectedInput, Inspection


def as_document(inspection: Inspection) -> dict[str, Any]:
    """Return the fields of the ``certificates`` document; absent key usages are empty lists and said in a note."""
    document: dict[str, Any] = {
        "at": rfc3339(inspection.at),
        "certificates": [_certificate_document(one) for one in inspection.certificates],
        "inputs": [_input_document(each) for each in inspection.inputs],
    }
    if inspection.comparison:
        document["comparison"] = _comparison_document(inspection.comparison)
    return document


def _certificate_document(one: InspectedCertificate) -> dict[str, Any]:
    certificate, found = one.found.certificate, one.found
    return {
        "source": one.source,
        "place": found.place,
        "line": found.line,
        "store": found.store or None,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial_number": certificate.serial_number,
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "sha256": certificate.sha256,
        "sha1": certificate.sha1,
        "key": {"type": certificate.key_type, "bits": certificate.key_bits},
        "private_key": found.private_key,
        "key_usage": list(certificate.key_usage or ()),
        "extended_key_usage": list(certificate.extended_key_usage or ()),
        "alternative_names": list(certificate.alternative_names),
        "is_ca": certificate.is_ca,
        "device_access_marker": certificate.marker,
        "findings": [
            {"code": finding.code, "level": finding.level.value, "message": visible(finding.message)}
            for finding in one.judgement.findings
        ],
        "notes": [visible(note) for note in one.judgement.notes],
        "verdict": one.judgement.verdict.value,
    }


def _input_document(each: InspectedInput) -> dict[str, Any]:
    listing = each.file.listing if each.file else None
    return {
        "source": each.source,
        "status": each.status.value,
        "format": each.file.format if each.file else None,
        "certificates": len(each.certificates),
        "listing": {"kind": listing.kind.value, "canary_seen": listing.canary_seen, "complete": listing.complete}
        if listing
        else None,
        "problems": [
            {"code": problem.code, "message": problem.message, "where": problem.place}
            for problem in (each.file.problems if each.file else ())
        ],
        "warnings": list(each.file.warnings) if each.file else [],
        "error": each.error.as_document() if each.error else None,
    }


def _comparison_document(comparison: Comparison) -> dict[str, Any]:
    def brief(certificates: tuple[Certificate, ...]) -> list[dict[str, str]]:
        return [{"serial_number": one.serial_number, "sha256": one.sha256} for one in certificates]

    return {
        "proved_new": comparison.proved_new.value,
        "proved_gone": comparison.proved_gone.value,
        "reasons": [visible(reason) for reason in comparison.reasons],
        "gone": brief(comparison.gone),
        "stayed": brief(comparison.stayed),
        "new": brief(comparison.new),
    }
