"""What a device answers to the MDM command CertificateList: a property list with the DER of each certificate.

``{CertificateList: [{CommonName, Data, IsIdentity}], Status, UDID}``; IsIdentity tells that the private key is there
(Apple, Device Management: CertificateListResponse).
"""

from __future__ import annotations

from typing import Any

from scepfix.domain.certificate import FoundCertificate, Problem
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.parsers.plist_bytes import read_plist
from scepfix.parsers.x509 import read_certificate


def looks_like_plist(data: bytes) -> bool:
    """Given a file's bytes, tell whether they are a property list (binary, or XML with or without declaration)."""
    return data.startswith(b"bplist") or b"<plist" in data[:1024]


def parse_certificate_list(data: bytes) -> tuple[list[FoundCertificate], list[Problem]]:
    """Given the answer's bytes, return its certificates and what is wrong with others.

    Raise InputError when it is cut, another property list, or an answer without a list (NotNow, Error).
    """
    answer = _plist(data)
    entries = answer.get("CertificateList") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise _another(answer)
    found: list[FoundCertificate] = []
    problems: list[Problem] = []
    for index, entry in enumerate(entries):
        place = f"CertificateList[{index}]"
        der = entry.get("Data") if isinstance(entry, dict) else None
        if not isinstance(der, bytes):
            problems.append(Problem("block-unreadable", "there is no Data in it", place))
            continue
        is_identity = entry.get("IsIdentity")
        try:
            certificate = read_certificate(der)
        except InputError as error:
            problems.append(Problem(error.code, error.message, place))
        else:
            private_key = is_identity if isinstance(is_identity, bool) else None
            found.append(FoundCertificate(certificate, place, private_key=private_key))
    return found, problems


def _plist(data: bytes) -> Any:
    try:
        return read_plist(data, "")
    except InputError as error:
        raise InputError(
            "plist-unreadable", error.message, hint="ask for the list again; was it cut or edited?"
        ) from error


def _another(answer: Any) -> InputError:
    members = answer if isinstance(answer, dict) else {}
    if "PayloadContent" in members or "PayloadType" in members:
        return InputError(
            "another-format",
            "a configuration profile, not a list of certificates",
            hint="check it with: scepfix profile check FILE",
        )
    if isinstance(members.get("Status"), str):
        return InputError(
            "mdm-no-list",
            f"the device answered {visible(members['Status'])[:40]!r} and gave no list of certificates",
            hint="ask again when it is unlocked and online; NotNow means later",
        )
    return InputError("another-format", "a property list without CertificateList", hint="is this the right file?")
