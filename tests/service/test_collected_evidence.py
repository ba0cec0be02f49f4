"""What a collector told becomes evidence of the device: without bytes, and only the last lines of its log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.certificate_factory import authority
from tests.parsers.test_collected_line import AT, GOT, SEEN, TOLD

from scepfix.domain.certificate import Certificate
from scepfix.domain.device import Collected, Observation, StoredCertificate, ToldLine
from scepfix.domain.evidence import Evidence, Witness
from scepfix.parsers.x509 import read_certificate
from scepfix.rules.attempts import judge_attempts
from scepfix.service.observed_evidence import evidence_of_observation, notes_of_observation

CA = replace(read_certificate(authority().der), subject_key_id=TOLD.authority_key_id)


def evidence(seen: Observation, issuers: tuple[Certificate, ...] = (CA,)) -> list[Evidence]:
    return evidence_of_observation(seen, issuers)


def the(says: str, found: list[Evidence]) -> Evidence:
    (one,) = [item for item in found if item.says == says]
    return one


def test_a_certificate_is_told_with_its_facts() -> None:
    found = the("keychain.certificate", evidence(SEEN))

    assert (found.witness, found.observed_at) == (Witness.DEVICE, AT)
    wanted = {
        "device_access_marker": True,
        "serial_number": TOLD.serial_number,
        "sha256": TOLD.sha256,
        "private_key": True,
        "store": "system",
        "usage": True,
        "org_issuer": True,
        "is_ca": False,
    }
    assert {key: found.facts[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("key_id", "issuers", "org_issuer"),
    [
        (TOLD.authority_key_id, (CA,), True),
        ("00" * 20, (CA,), False),
        ("", (CA,), None),
        (TOLD.authority_key_id, (), None),
        (TOLD.authority_key_id, (replace(CA, subject_key_id=None),), None),
    ],
)
def test_its_issuer_is_compared_by_key_id(
    key_id: str, issuers: tuple[Certificate, ...], org_issuer: bool | None
) -> None:
    stored = StoredCertificate(b"", "system", True, told=replace(TOLD, authority_key_id=key_id))

    found = the("keychain.certificate", evidence(replace(SEEN, certificates=(stored,)), issuers))

    assert found.facts["org_issuer"] is org_issuer


def test_several_told_certificates_are_several() -> None:
    other = StoredCertificate(b"", "system", False, told=replace(TOLD, sha256="11" * 32, serial_number="99"))

    found = evidence(replace(SEEN, certificates=(*SEEN.certificates, other)))

    assert [one.facts["serial_number"] for one in found if one.says == "keychain.certificate"] == ["a1b2", "99"]


def test_the_last_lines_of_the_log_are_evidence_without_a_quote() -> None:
    found = the("log.rejected", evidence(SEEN))

    assert (found.quote, found.sha256, found.observed_at) == ("", None, AT)
    assert "by the collector" in found.source
    assert judge_attempts(evidence(SEEN)).error == found


def test_lines_without_a_time_keep_their_order() -> None:
    told = Collected(GOT, (ToldLine("log.rejected"), ToldLine("log.no-certificate"), ToldLine("log.attempt")))

    last = judge_attempts(evidence(replace(SEEN, collected=told))).last

    assert last is not None
    assert last.says == "log.attempt"


def test_a_listing_that_was_whole_says_that_there_is_none() -> None:
    assert the("keychain.none", evidence(replace(SEEN, certificates=()))).observed_at == AT
    assert the("keychain.unreadable", evidence(replace(SEEN, certificates=(), complete=False)))


def test_a_person_is_told_how_old_it_is_and_what_is_missing() -> None:
    late = replace(SEEN, collected=Collected(AT + timedelta(hours=3), ()))

    (note,) = [one for one in notes_of_observation(late) if "by itself" in one]

    assert "2026-11-24T09:30:00Z" in note
    assert "2026-11-24T12:30:00Z" in note
