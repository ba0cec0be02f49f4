"""The profile that we have installed: read, and its challenge put in."""

from __future__ import annotations

import plistlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from scepfix.domain.errors import InputError
from scepfix.parsers.delivered_profile import PLACEHOLDER, DeliveredProfile, read_delivered_profile, with_challenge


def profile(challenge: str = PLACEHOLDER, **changes: Any) -> bytes:
    inner = {"URL": "https://acme.okta.com/pki/1", "Challenge": challenge, "Keysize": 2048}
    payloads = [
        {"PayloadType": "com.apple.security.scep", "PayloadIdentifier": "a.scep", "PayloadContent": inner},
        {"PayloadType": "com.apple.security.root", "PayloadIdentifier": "a.root", "PayloadContent": b"\x30"},
    ]
    return plistlib.dumps(
        {"PayloadType": "Configuration", "PayloadIdentifier": "a", "PayloadContent": payloads, **changes}
    )


def signed(data: bytes) -> bytes:
    key, now = rsa.generate_private_key(65537, 2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    message = pkcs7.PKCS7SignatureBuilder().set_data(data)
    message = message.add_signer(builder.sign(key, hashes.SHA256()), key, hashes.SHA256())
    return message.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def test_a_profile_says_what_it_is() -> None:
    assert read_delivered_profile(profile(PayloadDisplayName="SCEP", PayloadScope="User"), "file") == DeliveredProfile(
        "a", "SCEP", ("com.apple.security.root", "com.apple.security.scep"), "user", True, False
    )
    assert not read_delivered_profile(profile("secret"), "file").wants_challenge
    assert read_delivered_profile(profile(), "file").scope == "system"


def test_the_challenge_is_put_in_and_nothing_else_changes() -> None:
    done = with_challenge(profile(), "s3cret & <b>", "file")

    assert plistlib.loads(done) == plistlib.loads(profile("s3cret & <b>"))


def test_a_placeholder_within_a_text_is_left_alone() -> None:
    assert not read_delivered_profile(profile(f"x{PLACEHOLDER}"), "file").wants_challenge


def test_a_signed_profile_is_read_and_never_changed() -> None:
    data = signed(profile())

    assert read_delivered_profile(data, "file") == DeliveredProfile(
        "a", "", ("com.apple.security.root", "com.apple.security.scep"), "system", True, True
    )
    with pytest.raises(InputError, match="signed"):
        with_challenge(data, "s3cret", "file")


@pytest.mark.parametrize("data", [b"", b"garbage", plistlib.dumps({"CommandUUID": "x"}), profile()[:200]])
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        read_delivered_profile(data, "file")
