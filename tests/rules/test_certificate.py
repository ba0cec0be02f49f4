"""The certificate rule: one case per kind of answer, and the whole judgement compared where it is short."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificate_factory import DURING, NOT_AFTER, NOT_BEFORE, Made, authority, make, odd

from scepfix.domain.certificate import MARKER_EKU_OID, Certificate
from scepfix.domain.diagnosis import Answer
from scepfix.parsers.x509 import read_certificate
from scepfix.rules.certificate import Finding, Level, Verdict, judge
from scepfix.rules.certificate_comparison import compare
from scepfix.rules.issuer_key import signed_with_key_of

SECOND = timedelta(seconds=1)


def read(made: Made) -> Certificate:
    return read_certificate(made.der)


GOOD = read(make())
CA = authority()
#: Another organisation's intermediate: the same name, another key.
NAMESAKE = authority(number=91)
ISSUED = read(make(issuer=CA, number=5))


def codes(certificate: Certificate, at: datetime = DURING, **given: Any) -> list[str]:
    return [finding.code for finding in judge(certificate, at, **given).findings]


def test_a_good_certificate_is_usable_without_findings() -> None:
    judgement = judge(GOOD, DURING)
    assert (judgement.findings, judgement.verdict) == ((), Verdict.USABLE)
    assert any("no issuer certificate was given" in note for note in judgement.notes)
    assert any("whether the private key is there" in note for note in judgement.notes)
    assert any("issued for 365 days" in note and "2027-01-01T00:00:00Z" in note for note in judgement.notes)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"marker": False}, "no-marker"),
        ({"is_ca": True}, "not-a-leaf"),
        ({"key_usage": ("keyEncipherment",)}, "no-digital-signature"),
        ({"key_usage": ()}, "no-digital-signature"),
        ({"extended_key_usage": ("serverAuth",)}, "no-client-auth"),
        ({"extended_key_usage": ()}, "no-client-auth"),
        ({"extended_key_usage": (MARKER_EKU_OID,)}, "no-client-auth"),
    ],
)
def test_what_makes_a_certificate_unusable(change: dict[str, Any], code: str) -> None:
    judgement = judge(replace(GOOD, **change), DURING)
    assert [(finding.code, finding.level) for finding in judgement.findings] == [(code, Level.ERROR)]
    assert judgement.verdict is Verdict.UNUSABLE


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOT_BEFORE - SECOND, ["not-yet-valid"]),
        (NOT_BEFORE, []),
        (NOT_AFTER, []),
        (NOT_AFTER + SECOND, ["expired"]),
    ],
)
def test_validity_includes_both_ends(at: datetime, expected: list[str]) -> None:
    assert codes(GOOD, at) == expected


def test_a_message_names_the_day() -> None:
    expected = Finding("expired", Level.ERROR, "expired 2027-01-01T00:00:00Z")
    assert judge(GOOD, NOT_AFTER + SECOND).findings == (expected,)


def test_absent_usages_are_allowed_and_noted() -> None:
    judgement = judge(replace(GOOD, key_usage=None, extended_key_usage=None), DURING)
    assert judgement.verdict is Verdict.USABLE
    assert sum("is ruled out" in note for note in judgement.notes) == 2


def test_any_extended_usage_counts_and_is_noted() -> None:
    judgement = judge(replace(GOOD, extended_key_usage=("anyExtendedKeyUsage",)), DURING)
    assert judgement.verdict is Verdict.USABLE
    assert any("anyExtendedKeyUsage" in note for note in judgement.notes)


def test_the_note_on_an_odd_marker_becomes_the_message() -> None:
    certificate = read(make(marker=bytes.fromhex("020102")))
    (finding,) = judge(certificate, DURING).findings
    assert (finding.code, "020102" in finding.message) == ("no-marker", True)


def test_the_usage_of_active_directory_is_a_marker() -> None:
    usages = (ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier(MARKER_EKU_OID))
    assert codes(read(make(marker=None, extended=usages))) == []


@pytest.mark.parametrize(
    ("private_key", "expected"), [(False, ["no-private-key"]), (True, []), (None, [])], ids=["no", "yes", "not told"]
)
def test_a_missing_private_key_makes_it_unusable(private_key: bool | None, expected: list[str]) -> None:
    assert codes(GOOD, private_key=private_key) == expected


def test_a_short_key_is_a_warning() -> None:
    judgement = judge(read(make(kind="rsa1024")), DURING)
    assert [(finding.code, finding.level) for finding in judgement.findings] == [("weak-key", Level.WARNING)]
    assert judgement.verdict is Verdict.USABLE
    assert codes(read(make(kind="rsa2048"))) == []


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (r"LocalMachine\My", []),
        ("localmachine/my", []),
        ("/Library/Keychains/System.keychain", []),
        (None, []),
        ("", []),
        (r"CurrentUser\My", ["wrong-store"]),
        (r"LocalMachine\Root", ["wrong-store"]),
        ("/Users/x/Library/Keychains/login.keychain-db", ["wrong-store"]),
    ],
)
def test_another_store_is_a_warning(store: str | None, expected: list[str]) -> None:
    assert codes(GOOD, store=store) == expected
    assert judge(GOOD, DURING, store=store).verdict is Verdict.USABLE


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["mac-042"], []),
        (["MAC-042"], []),
        (["other", "mac-042"], []),
        (["host-1"], []),
        (["mac-04"], ["belongs-to-another-device"]),
        (["ac-042"], ["belongs-to-another-device"]),
        ([".*"], ["belongs-to-another-device"]),
        ([], []),
    ],
)
def test_another_device_is_a_warning(names: list[str], expected: list[str]) -> None:
    certificate = read(make(names=[x509.DNSName("host-1.lab.test")]))
    judgement = judge(certificate, DURING, device_names=names)
    assert [finding.code for finding in judgement.findings] == expected
    assert judgement.verdict is Verdict.USABLE
    assert any("proves nothing" in note for note in judgement.notes) == bool(expected)


class TestIssuerKey:
    def test_the_right_key_passes(self) -> None:
        judgement = judge(ISSUED, DURING, issuer_certificates=[read(CA)])
        assert judgement.findings == ()
        assert not any("issuer" in note for note in judgement.notes)

    def test_a_namesake_with_another_key_is_found_out(self) -> None:
        judgement = judge(ISSUED, DURING, issuer_certificates=[read(NAMESAKE)])
        assert judgement.verdict is Verdict.UNUSABLE
        assert [finding.code for finding in judgement.findings] == ["wrong-issuer-key"]
        assert "the names agree, the keys do not" in judgement.findings[0].message

    def test_the_name_of_the_issuer_does_not_matter(self) -> None:
        renamed = make(subject="Another Name", number=90, ca=True, marker=None, usage="key_cert_sign", extended=None)
        assert codes(ISSUED, issuer_certificates=[read(renamed)]) == []

    def test_one_right_key_among_several_is_enough(self) -> None:
        assert codes(ISSUED, issuer_certificates=[read(NAMESAKE), read(CA), ISSUED]) == []

    def test_the_certificate_itself_is_not_its_issuer(self) -> None:
        judgement = judge(ISSUED, DURING, issuer_certificates=[ISSUED])
        assert judgement.findings == ()
        assert any("no issuer certificate was given" in note for note in judgement.notes)

    def test_a_changed_certificate_fails(self) -> None:
        changed = read_certificate(make(issuer=CA, number=5).der.replace(b"mac-042", b"mac-043"))
        assert codes(changed, issuer_certificates=[read(CA)]) == ["wrong-issuer-key"]

    @pytest.mark.parametrize("kind", ["rsa2048", "ec256", "ec384", "ed25519", "dsa1024"])
    def test_every_kind_of_key(self, kind: str) -> None:
        right, wrong = authority(kind=kind), authority(kind=kind, number=91)
        leaf = read(make(issuer=right))
        assert signed_with_key_of(leaf, read(right)) is True
        assert signed_with_key_of(leaf, read(wrong)) is False
        another_kind = authority(kind="ec256" if kind != "ec256" else "rsa2048", number=92)
        assert signed_with_key_of(leaf, read(another_kind)) is False

    def test_rsa_pss(self) -> None:
        issuer = authority(kind="rsa2048")
        assert isinstance(issuer.private, rsa.RSAPrivateKey)
        made = (
            x509.CertificateBuilder()
            .subject_name(issuer.name)
            .issuer_name(issuer.name)
            .serial_number(5)
            .not_valid_before(NOT_BEFORE)
            .not_valid_after(NOT_AFTER)
            .public_key(issuer.private.public_key())
            .sign(issuer.private, hashes.SHA256(), rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), 32))
        )
        leaf = read_certificate(made.public_bytes(Encoding.DER))
        assert signed_with_key_of(leaf, read(issuer)) is True
        assert signed_with_key_of(leaf, read(authority(kind="rsa2048", number=91))) is False

    def test_what_cannot_be_verified_is_a_note(self) -> None:
        unknown = read_certificate(odd(key_info=b"\x30\x0c\x30\x05\x06\x03\x2a\x03\x04\x03\x03\0\1\2"))
        judgement = judge(ISSUED, DURING, issuer_certificates=[unknown])
        assert judgement.findings == ()
        assert any("cannot be verified here" in note for note in judgement.notes)

    def test_a_negative_serial_number_does_not_warn(self) -> None:
        assert signed_with_key_of(read_certificate(odd(serial=b"\xff")), read(CA)) is False


class TestDuplicates:
    OTHER = read(make(number=1, serial=2))
    SAME_KEY = read(make(serial=3))

    def found(self, *others: Certificate, at: datetime = DURING) -> list[Finding]:
        return list(judge(GOOD, at, others=others).findings)

    def test_the_same_certificate_twice(self) -> None:
        (finding,) = self.found(GOOD)
        assert (finding.code, finding.level) == ("duplicate", Level.WARNING)
        assert finding.message == "the same certificate is there more than once"

    def test_the_same_key_in_an_older_certificate(self) -> None:
        past = replace(self.SAME_KEY, not_before=NOT_BEFORE - timedelta(400), not_after=NOT_BEFORE - SECOND)
        (finding,) = self.found(past)
        assert finding.message == "the same key is in serial number 3"

    def test_several_valid_at_the_same_time(self) -> None:
        (finding,) = self.found(self.OTHER)
        assert finding.message == "valid at the same time as serial number 2"

    def test_an_expired_other_is_no_duplicate(self) -> None:
        assert self.found(replace(self.OTHER, not_after=DURING - SECOND)) == []

    def test_certificates_without_the_marker_are_never_counted(self) -> None:
        assert self.found(replace(self.SAME_KEY, marker=False), replace(self.OTHER, is_ca=True)) == []
        assert codes(replace(GOOD, marker=False), others=[GOOD]) == ["no-marker"]


def test_errors_come_before_warnings() -> None:
    certificate = replace(read(make(kind="rsa1024")), marker=False)
    levels = [finding.level for finding in judge(certificate, DURING, store="CurrentUser", private_key=False).findings]
    assert levels == [Level.ERROR, Level.ERROR, Level.WARNING, Level.WARNING]


@pytest.mark.parametrize(("days", "noted"), [(30, True), (31, False), (0, True), (-1, False)])
def test_a_near_end_is_a_note(days: int, noted: bool) -> None:
    notes = judge(GOOD, NOT_AFTER - timedelta(days=days)).notes
    assert any("expires within" in note for note in notes) is noted


def test_dates_the_wrong_way_round_are_noted() -> None:
    judgement = judge(replace(GOOD, not_before=NOT_AFTER, not_after=NOT_BEFORE), DURING)
    assert [finding.code for finding in judgement.findings] == ["not-yet-valid", "expired"]
    assert any("never valid" in note for note in judgement.notes)


class TestCompare:
    REMOVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
    OLD = read(make(serial=4))
    NEW = replace(read(make(number=1, serial=5)), not_before=datetime(2026, 3, 1, 11, 50, tzinfo=UTC))
    OTHER = replace(read(make(number=2, serial=6)), marker=False)

    def test_a_new_key_and_serial_number_since_the_removal_is_proved(self) -> None:
        result = compare([self.OLD, self.OTHER], [self.NEW, self.OTHER], self.REMOVED)
        assert (result.gone, result.stayed, result.new) == ((self.OLD,), (), (self.NEW,))
        assert (result.proved_new, result.proved_gone) == (Answer.YES, Answer.YES)

    def test_the_first_certificate_ever_is_proved(self) -> None:
        assert compare([], [self.NEW], self.REMOVED).proved_new is Answer.YES

    def test_the_same_certificate_is_not_new(self) -> None:
        result = compare([self.OLD], [self.OLD, self.OLD], self.REMOVED)
        assert (result.stayed, result.proved_new, result.proved_gone) == ((self.OLD,), Answer.NO, Answer.NO)

    def test_a_leftover_does_not_disprove_the_new_one(self) -> None:
        result = compare([self.OLD], [self.OLD, self.NEW], self.REMOVED)
        assert (result.proved_new, result.proved_gone, result.stayed) == (Answer.YES, Answer.NO, (self.OLD,))

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"public_key_sha256": OLD.public_key_sha256}, "public key was there before"),
            ({"serial_number": OLD.serial_number}, "serial number 4 was there before"),
            ({"not_before": REMOVED - timedelta(seconds=901)}, "before the removal"),
        ],
    )
    def test_what_disproves_it(self, change: dict[str, Any], reason: str) -> None:
        result = compare([self.OLD], [replace(self.NEW, **change)], self.REMOVED)
        assert result.proved_new is Answer.NO
        assert len(result.reasons) == 1
        assert reason in result.reasons[0]

    def test_backdating_of_the_ca_is_allowed_for(self) -> None:
        at_the_limit = replace(self.NEW, not_before=self.REMOVED - timedelta(seconds=900))
        assert compare([self.OLD], [at_the_limit], self.REMOVED).proved_new is Answer.YES
        assert compare([self.OLD], [at_the_limit], self.REMOVED, 60).proved_new is Answer.NO

    def test_several_new_ones_are_unknown(self) -> None:
        another = replace(self.NEW, sha256="0" * 64, serial_number="7", public_key_sha256="0" * 64)
        assert compare([self.OLD], [self.NEW, another], self.REMOVED).proved_new is Answer.UNKNOWN

    @pytest.mark.parametrize("listing", ["before_complete", "after_complete"])
    def test_a_listing_without_canary_proves_nothing(self, listing: str) -> None:
        result = compare([self.OLD], [self.NEW], self.REMOVED, **{listing: False})  # type: ignore[arg-type]
        assert (result.proved_new, result.proved_gone) == (Answer.UNKNOWN, Answer.UNKNOWN)
        assert result.reasons[0].startswith(f"the listing {listing.partition('_')[0]} is not complete")

    def test_another_devices_certificate_is_unknown(self) -> None:
        assert compare([], [self.NEW], self.REMOVED, device_names=["mac-1"]).proved_new is Answer.UNKNOWN
        assert compare([], [self.NEW], self.REMOVED, device_names=["mac-042"]).proved_new is Answer.YES

    def test_without_the_time_of_removal_the_answer_says_so(self) -> None:
        result = compare([self.OLD], [self.NEW])
        assert result.proved_new is Answer.YES
        assert "was not given" in result.reasons[0]
        older = replace(self.NEW, not_before=self.OLD.not_before - timedelta(days=1))
        assert compare([self.OLD], [older]).proved_new is Answer.UNKNOWN

    def test_certificates_without_the_marker_are_never_compared(self) -> None:
        result = compare([self.OTHER], [replace(self.OTHER, sha256="0" * 64)], self.REMOVED)
        assert (result.gone, result.stayed, result.new, result.proved_new) == ((), (), (), Answer.NO)
