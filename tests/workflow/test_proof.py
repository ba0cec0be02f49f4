"""The false "fixed" corpus: what a device may hold after a repair that did not work, and the few that prove one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificate_factory import Made, authority, make
from tests.workflow.repair_factory import (
    CA,
    DAY,
    HOUR,
    IDENTITY,
    ISSUERS,
    MINUTE,
    OLD,
    OTHER_CA,
    POLICY,
    SCEP,
    START,
    issued,
    known,
    observation,
    planned,
    read,
    record,
    says,
    stored,
)

from scepfix.domain.certificate import MARKER_EKU_OID, Certificate
from scepfix.domain.device import Identity, Observation, StoredCertificate, ToldCertificate
from scepfix.domain.diagnosis import Answer
from scepfix.domain.plan import ProofGrade
from scepfix.domain.remediation import Proof
from scepfix.workflow.certificates import holding, leftovers, not_planned
from scepfix.workflow.proof import Proved, mdm_proof, prove, prove_removed

REMOVED_AT = START
NOW = START + 20 * MINUTE
BEFORE = (known(OLD),)
OTHER_UUID = "564D0000-1111-2222-3333-444455556666"


def proved(
    seen: Observation | None, issuers: tuple[Certificate, ...] = ISSUERS, identity: Identity = IDENTITY, **given: object
) -> Proved:
    rest: dict[str, object] = {"names": ("mac-042",), **given}
    return prove(BEFORE, seen, REMOVED_AT, POLICY, issuers, identity, NOW, **rest)  # type: ignore[arg-type]


#: name -> what the device shows, the answer, and words of the line that says why.
FALSE_FIXED: dict[str, tuple[Callable[[], Observation | None], Answer, str]] = {
    "no answer": (lambda: None, Answer.UNKNOWN, "gave no answer"),
    "the old certificate is left": (lambda: observation(OLD), Answer.NO, "still there from before"),
    "the old one is left beside a new one": (
        lambda: observation(OLD, issued(REMOVED_AT)),
        Answer.NO,
        "still there from before",
    ),
    "nothing came yet": (lambda: observation(), Answer.UNKNOWN, "no new certificate"),
    "an empty listing": (lambda: observation(complete=False), Answer.UNKNOWN, "not listed whole"),
    "a listing without its canary": (
        lambda: observation(issued(REMOVED_AT), complete=False, problems=("no canary\x1b[2J",)),
        Answer.UNKNOWN,
        "no canary␛[2J",
    ),
    "an old one in a listing that was cut": (
        lambda: observation(OLD, complete=False),
        Answer.UNKNOWN,
        "not listed whole",
    ),
    "another org's CA of the same name": (
        lambda: observation(issued(REMOVED_AT, issuer=OTHER_CA)),
        Answer.NO,
        "not signed with the key",
    ),
    "signed by itself": (lambda: observation(issued(REMOVED_AT, issuer=None)), Answer.NO, "signed itself"),
    "expired": (
        lambda: observation(issued(REMOVED_AT, not_after=NOW - MINUTE)),
        Answer.NO,
        "expired",
    ),
    "not valid yet: a clock is two hours ahead": (
        lambda: observation(issued(NOW + 2 * HOUR)),
        Answer.UNKNOWN,
        "is a clock wrong?",
    ),
    "the CA's clock is two hours behind": (
        lambda: observation(issued(REMOVED_AT - 2 * HOUR)),
        Answer.NO,
        "issued before the removal",
    ),
    "issued before the removal": (lambda: observation(issued(REMOVED_AT - DAY)), Answer.NO, "before the removal"),
    "just beyond the backdating": (
        lambda: observation(issued(REMOVED_AT - 15 * MINUTE - timedelta(seconds=1))),
        Answer.NO,
        "before the removal",
    ),
    "two new ones": (
        lambda: observation(issued(REMOVED_AT), issued(REMOVED_AT, number=8)),
        Answer.UNKNOWN,
        "several are new",
    ),
    "renewed with the old key": (lambda: observation(issued(REMOVED_AT, number=3)), Answer.NO, "public key was there"),
    "the same certificate came back": (lambda: observation(OLD), Answer.NO, "still there from before"),
    "the serial number was used before": (
        lambda: observation(issued(REMOVED_AT, serial=int(read(OLD).serial_number, 16))),
        Answer.NO,
        "was there before",
    ),
    "the certificate of a CA": (
        lambda: observation(issued(REMOVED_AT, ca=True, usage="key_cert_sign")),
        Answer.UNKNOWN,
        "no new certificate",
    ),
    "without the marker": (
        lambda: observation(issued(REMOVED_AT, marker=None)),
        Answer.UNKNOWN,
        "1 without the marker do not count",
    ),
    "a marker of another value": (
        lambda: observation(issued(REMOVED_AT, marker=bytes.fromhex("020102"))),
        Answer.UNKNOWN,
        "without the marker",
    ),
    "only in a person's keychain": (
        lambda: observation(stored(issued(REMOVED_AT), "login:alice")),
        Answer.UNKNOWN,
        "in a person's own store do not count",
    ),
    "only in a person's store on Windows": (
        lambda: observation(stored(issued(REMOVED_AT), "current-user")),
        Answer.UNKNOWN,
        "in a person's own store do not count",
    ),
    "without its private key": (
        lambda: observation(stored(issued(REMOVED_AT), private_key=False)),
        Answer.NO,
        "private key is not there",
    ),
    "nobody looked for its private key": (
        lambda: observation(stored(issued(REMOVED_AT), private_key=None)),
        Answer.UNKNOWN,
        "was not seen",
    ),
    "its key may not sign": (
        lambda: observation(issued(REMOVED_AT, usage="key_encipherment")),
        Answer.NO,
        "its key may not sign",
    ),
    "not for clients": (
        lambda: observation(issued(REMOVED_AT, extended=(ExtendedKeyUsageOID.SERVER_AUTH,))),
        Answer.NO,
        "not for client authentication",
    ),
    "another device's serial number": (
        lambda: observation(issued(REMOVED_AT, subject="C02AB1CDEFGH")),
        Answer.NO,
        "names another device: C02AB1CDEFGH",
    ),
    "another device's UUID": (
        lambda: observation(issued(REMOVED_AT, subject=f"managementAttestation {OTHER_UUID}")),
        Answer.NO,
        f"names another device: {OTHER_UUID}",
    ),
    "another device's UUID in an alternative name": (
        lambda: observation(
            issued(
                REMOVED_AT,
                subject="device access",
                names=(x509.UniformResourceIdentifier(f"urn:uuid:{OTHER_UUID}"),),
            )
        ),
        Answer.NO,
        "names another device",
    ),
    "another device's name": (
        lambda: observation(issued(REMOVED_AT, subject="mac-043")),
        Answer.NO,
        "names another device: mac-043",
    ),
    "another device answered": (
        lambda: observation(issued(REMOVED_AT), identity=replace(IDENTITY, serial_number="C02AB1CDEFGH")),
        Answer.UNKNOWN,
        "another device answered",
    ),
    "a certificate that cannot be read beside it": (
        lambda: observation(issued(REMOVED_AT), StoredCertificate(b"\x30\x03", "system", True)),
        Answer.UNKNOWN,
        "could not be read",
    ),
}


@pytest.mark.parametrize("name", FALSE_FIXED)
def test_what_is_not_fixed_is_not_called_proved(name: str) -> None:
    seen, answer, words = FALSE_FIXED[name]
    found = proved(seen())
    assert found.answer is answer
    assert words in says(found.proofs, answer.value)


@pytest.mark.parametrize("name", FALSE_FIXED)
@pytest.mark.parametrize("issuers", [(), ISSUERS])
def test_no_grade_that_opens_a_wave_takes_it_either(name: str, issuers: tuple[Certificate, ...]) -> None:
    seen = FALSE_FIXED[name][0]()
    if name == "another org's CA of the same name" and not issuers:
        return  # nobody can know: see test_without_an_issuer_certificate
    for grade in (ProofGrade.CERTIFICATE, ProofGrade.MDM):
        acknowledged = Proof("mdm", "acknowledged", Answer.YES)
        assert proved(seen, issuers, grade=grade, mdm=acknowledged).answer is not Answer.YES


TRULY_FIXED: dict[str, Callable[[], Observation]] = {
    "issued since": lambda: observation(issued(REMOVED_AT + 5 * MINUTE)),
    "by a CA that backdates ten minutes": lambda: observation(issued(REMOVED_AT - 10 * MINUTE)),
    "at the edge of the backdating": lambda: observation(issued(REMOVED_AT - 15 * MINUTE)),
    "by a CA whose clock is four minutes ahead": lambda: observation(issued(NOW + 4 * MINUTE)),
    "with the AD CS marker": lambda: observation(
        issued(
            REMOVED_AT,
            marker=None,
            extended=(ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier(MARKER_EKU_OID)),
        )
    ),
    "beside one without the marker": lambda: observation(issued(REMOVED_AT), issued(START - DAY, marker=None)),
    "beside an old one in a person's keychain": lambda: observation(issued(REMOVED_AT), stored(OLD, "login:alice")),
    "by serial number": lambda: observation(issued(REMOVED_AT, subject=IDENTITY.serial_number.lower())),
    "by UUID": lambda: observation(issued(REMOVED_AT, subject=f"managementAttestation {IDENTITY.hardware_uuid}")),
    "by the computer's own name": lambda: observation(issued(REMOVED_AT, subject="MACBOOKPRO16"), name="MACBOOKPRO16"),
    "by a person's address": lambda: observation(issued(REMOVED_AT, subject="alice@example.com")),
    "with a key of RSA": lambda: observation(issued(REMOVED_AT, kind="rsa2048")),
    "in the Windows store": lambda: observation(stored(issued(REMOVED_AT), "local-machine")),
}


@pytest.mark.parametrize("name", TRULY_FIXED)
def test_what_is_fixed_is_proved(name: str) -> None:
    found = proved(TRULY_FIXED[name]())
    assert (found.answer, found.leftovers) == (Answer.YES, ())
    assert found.certificate is not None
    assert "SHA-256" in says(found.proofs, "yes")
    assert not says(found.proofs, "no")


def test_the_same_certificate_in_two_entries_is_one() -> None:
    with_key, without = stored(issued(REMOVED_AT)), stored(issued(REMOVED_AT), private_key=False)
    without = replace(without, der=with_key.der)
    assert proved(observation(without, with_key)).answer is Answer.YES
    assert proved(observation(with_key, without)).answer is Answer.YES


def test_a_certificate_of_a_chain_of_issuers_is_proved() -> None:
    chain = (read(authority("Organization Root Authority", number=92)), read(CA))
    assert proved(observation(issued(REMOVED_AT)), chain).answer is Answer.YES


def test_an_issuer_whose_key_cannot_be_read_leaves_it_open() -> None:
    broken = replace(read(CA), der=b"\x30\x00")
    found = proved(observation(issued(REMOVED_AT)), (broken,))
    assert found.answer is Answer.UNKNOWN
    assert "cannot be verified" in says(found.proofs, "unknown")


def test_without_an_issuer_certificate_the_line_says_that_nothing_was_checked() -> None:
    found = proved(observation(issued(REMOVED_AT, issuer=OTHER_CA)), ())
    assert found.answer is Answer.YES
    assert "not checked: no issuer certificate is set" in says(found.proofs, "unknown")


def test_without_a_moment_of_the_removal_nothing_is_proved() -> None:
    found = prove(BEFORE, observation(issued(START)), None, POLICY, ISSUERS, IDENTITY, NOW)
    assert found.answer is Answer.UNKNOWN


def test_where_nothing_was_removed_an_old_one_may_stay() -> None:
    seen = observation(OLD, issued(REMOVED_AT))
    assert proved(seen, replaces=False).answer is Answer.YES
    assert proved(observation(issued(REMOVED_AT, number=3)), replaces=False).answer is Answer.NO


def test_an_own_short_name_names_nobody() -> None:
    identity = Identity("C02XK1ABJGH5", "", "7")
    seen = observation(issued(REMOVED_AT, subject=f"7 {OTHER_UUID}"))
    assert proved(seen, identity=identity).answer is Answer.NO


# --- the MDM's word ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (None, Answer.UNKNOWN),
        (record(installed_at=None), Answer.UNKNOWN),
        (record(profile_installed=False, installed_at=NOW), Answer.NO),
        (record(installed_at=REMOVED_AT - MINUTE), Answer.UNKNOWN),
        (record(installed_at=REMOVED_AT + MINUTE), Answer.YES),
    ],
)
def test_the_mdm_says_whether_the_install_was_acknowledged_since(said: object, answer: Answer) -> None:
    line = mdm_proof(said, REMOVED_AT)  # type: ignore[arg-type]
    assert (line.witness, line.proved) == ("mdm", answer)


def test_the_weakest_grade_is_content_with_an_acknowledged_install() -> None:
    yes, no = (Proof("mdm", "acknowledged", answer) for answer in (Answer.YES, Answer.UNKNOWN))
    assert proved(None, grade=ProofGrade.COMMAND, mdm=yes).answer is Answer.YES
    assert proved(None, grade=ProofGrade.COMMAND, mdm=no).answer is Answer.UNKNOWN
    assert proved(None, grade=ProofGrade.MDM, mdm=yes).answer is Answer.UNKNOWN


@pytest.mark.parametrize("complete", [True, False])
def test_the_weakest_grade_does_not_outweigh_the_device(complete: bool) -> None:
    yes = Proof("mdm", "acknowledged", Answer.YES)
    seen = observation(OLD, complete=complete)
    assert proved(seen, grade=ProofGrade.COMMAND, mdm=yes).answer is not Answer.YES


# --- leftovers that were deleted -----------------------------------------------------------------------------------

USABLE = issued(START - DAY, number=8)
REMOVE = (read(OLD).sha256,)


@pytest.mark.parametrize(
    ("seen", "answer", "words"),
    [
        (observation(USABLE), Answer.YES, "leftover certificate(s) are gone"),
        (observation(USABLE, OLD), Answer.NO, "still there"),
        (observation(), Answer.NO, "no usable certificate"),
        (observation(stored(USABLE, private_key=False)), Answer.NO, "no usable certificate"),
        (observation(stored(USABLE, private_key=None)), Answer.UNKNOWN, "was not seen"),
        (observation(USABLE, complete=False), Answer.UNKNOWN, "not listed whole"),
        (None, Answer.UNKNOWN, "gave no answer"),
        (observation(issued(START - DAY, number=8, issuer=OTHER_CA)), Answer.NO, "not signed"),
        (observation(make(subject="mac-042", number=8, marker=None)), Answer.NO, "no usable certificate"),
    ],
)
def test_leftovers_are_proved_gone_only_beside_a_usable_one(seen: Observation, answer: Answer, words: str) -> None:
    found = prove_removed(REMOVE, seen, IDENTITY, NOW, ISSUERS)
    assert found.answer is answer
    assert words in says(found.proofs, answer.value)


# --- what a device holds -------------------------------------------------------------------------------------------


def test_only_marker_leaves_of_the_computers_store_are_held() -> None:
    plain, broken = issued(START, marker=None), StoredCertificate(b"no certificate", "system")
    held = holding(observation(OLD, OLD, plain, broken, stored(issued(START), "login:alice")))
    assert [one.certificate.sha256 for one in held.marked] == [read(OLD).sha256]
    assert [one.certificate.sha256 for one in held.others] == [read(plain).sha256]
    assert held.unreadable == 1


def test_a_leftover_in_a_persons_keychain_is_none() -> None:
    assert leftovers(BEFORE, holding(observation(stored(OLD, "login:alice"), profiles=(SCEP,)))) == ()


def test_a_plan_knows_its_device_by_any_spelling_of_its_keys() -> None:
    lower = Identity(IDENTITY.serial_number.lower(), IDENTITY.hardware_uuid.lower())
    assert not_planned(planned(), observation(OLD, identity=lower)) == ""
    assert not_planned(planned(), observation(OLD, identity=Identity())) == ""


# --- what a device told, without the certificate's bytes --------------------------------------------------------------

CA_KEY_ID, OTHER_KEY_ID = "aa" * 20, "bb" * 20
#: The org's CA with a key id, which the certificates that are made here lack.
ISSUERS_WITH_KEY_ID = tuple(replace(one, subject_key_id=CA_KEY_ID) for one in ISSUERS)


def told(made: Made, *, private_key: bool | None = True, **other: object) -> StoredCertificate:
    """Return a certificate as its device told of it."""
    one = read(made)
    fields: dict[str, object] = {
        "serial_number": one.serial_number,
        "sha256": one.sha256,
        "not_before": one.not_before,
        "not_after": one.not_after,
        "public_key_sha256": one.public_key_sha256,
        "authority_key_id": CA_KEY_ID,
        "key_usage": one.key_usage,
        "extended_key_usage": one.extended_key_usage,
        "device_named": IDENTITY.hardware_uuid.lower(),
        **other,
    }
    return StoredCertificate(b"", "system", private_key, told=ToldCertificate(**fields))  # type: ignore[arg-type]


def test_what_was_told_proves_as_much_but_for_the_signature() -> None:
    found = proved(observation(told(issued(REMOVED_AT))), ISSUERS_WITH_KEY_ID)

    assert found.answer is Answer.YES
    assert {proof.proved for proof in found.proofs} == {Answer.YES}
    assert "as the device told; the signature was not verified here" in says(found.proofs, "yes")


TOLD_FALSE_FIXED: dict[str, tuple[Callable[[], StoredCertificate], tuple[Certificate, ...], Answer, str]] = {
    "the old one": (lambda: told(OLD), ISSUERS_WITH_KEY_ID, Answer.NO, "still there from before"),
    "another CA": (
        lambda: told(issued(REMOVED_AT), authority_key_id=OTHER_KEY_ID),
        ISSUERS_WITH_KEY_ID,
        Answer.NO,
        "is not that of this org's CA",
    ),
    "no key id in it": (
        lambda: told(issued(REMOVED_AT), authority_key_id=""),
        ISSUERS_WITH_KEY_ID,
        Answer.UNKNOWN,
        "no key id to compare",
    ),
    "no key id in the CA's": (lambda: told(issued(REMOVED_AT)), ISSUERS, Answer.UNKNOWN, "no key id to compare"),
    "it signed itself": (
        lambda: told(issued(REMOVED_AT), self_signed=True),
        ISSUERS_WITH_KEY_ID,
        Answer.NO,
        "it signed itself",
    ),
    "without its key": (
        lambda: told(issued(REMOVED_AT), private_key=False),
        ISSUERS_WITH_KEY_ID,
        Answer.NO,
        "private key is not there",
    ),
    "nobody looked for its key": (
        lambda: told(issued(REMOVED_AT), private_key=None),
        ISSUERS_WITH_KEY_ID,
        Answer.UNKNOWN,
        "was not seen",
    ),
    "the old key": (
        lambda: told(issued(REMOVED_AT), public_key_sha256=known(OLD).public_key_sha256),
        ISSUERS_WITH_KEY_ID,
        Answer.NO,
        "public key was there before",
    ),
    "issued before": (
        lambda: told(issued(REMOVED_AT - DAY)),
        ISSUERS_WITH_KEY_ID,
        Answer.NO,
        "issued before the removal",
    ),
    "of another device": (
        lambda: told(issued(REMOVED_AT), device_named=OTHER_UUID.lower()),
        ISSUERS_WITH_KEY_ID,
        Answer.NO,
        "names another device",
    ),
    "not for signing": (
        lambda: told(issued(REMOVED_AT), key_usage=("keyEncipherment",)),
        ISSUERS_WITH_KEY_ID,
        Answer.NO,
        "may not sign",
    ),
}


@pytest.mark.parametrize("name", TOLD_FALSE_FIXED)
def test_what_was_told_and_proves_nothing(name: str) -> None:
    stored_one, issuers, answer, words = TOLD_FALSE_FIXED[name]

    found = proved(observation(stored_one()), issuers)

    assert found.answer is answer
    assert words in says(found.proofs, answer.value)


def test_without_an_issuer_set_nothing_is_compared() -> None:
    found = proved(observation(told(issued(REMOVED_AT))), ())

    assert found.answer is Answer.YES
    assert "no issuer certificate is set" in says(found.proofs, "unknown")


def test_a_subject_that_names_no_device_is_no_reason_against_it() -> None:
    found = proved(observation(told(issued(REMOVED_AT), device_named="")), ISSUERS_WITH_KEY_ID)

    assert found.answer is Answer.YES
