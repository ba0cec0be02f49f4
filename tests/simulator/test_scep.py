"""A real SCEP exchange, with programs that are not ours on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from tests.simulator.worlds import NOW, world_of

from scepfix.parsers.x509 import read_certificate
from scepfix.simulator.ca import Ca
from scepfix.simulator.peers.scep import absent, enrol

pytestmark = [pytest.mark.slow, pytest.mark.skipif(absent() != "", reason=absent() or "present")]


def test_a_key_is_enrolled_at_a_real_server(tmp_path: Path) -> None:
    (tmp_path / "scep").mkdir()

    enrolment = enrol(tmp_path / "scep", "mac-042")

    issued, ca = x509.load_der_x509_certificate(enrolment.certificate), x509.load_der_x509_certificate(enrolment.ca)
    issued.verify_directly_issued_by(ca)
    read = read_certificate(enrolment.certificate)
    assert read.common_names == ("mac-042",)
    assert (read.key_usage, read.extended_key_usage, read.is_ca) == (("digitalSignature",), ("clientAuth",), False)
    # It cannot add the marker, so Device Access would not take this one.
    assert not read.marker


def test_the_same_key_with_the_marker_is_what_the_mac_gets(tmp_path: Path) -> None:
    (tmp_path / "scep").mkdir()
    world = world_of(tmp_path, "missing")
    enrolment = enrol(tmp_path / "scep", "mac-042")
    public_key = x509.load_der_x509_certificate(enrolment.certificate).public_key()

    der = Ca(world.folder / "ca").issue(public_key, "mac-042", NOW)
    world.macs["missing"].system_keychain.add(der, private_key=True)

    assert read_certificate(der).marker
    assert read_certificate(der).public_key_sha256 == read_certificate(enrolment.certificate).public_key_sha256
    assert world.sign_in("missing", NOW)


def test_two_enrolments_have_two_keys(tmp_path: Path) -> None:
    keys = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        keys.add(read_certificate(enrol(tmp_path / name, "mac-042").certificate).public_key_sha256)

    assert len(keys) == 2
