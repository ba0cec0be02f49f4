"""What the observation script would say of a simulated Mac, without SSH: for tests that move the clock."""

from __future__ import annotations

import plistlib
from collections.abc import Iterator
from datetime import datetime

from cryptography import x509

from scepfix.domain.certificate import issued_by_okta
from scepfix.domain.device import Identity, InstalledProfile, Observation, StoredCertificate
from scepfix.domain.platform import Platform
from scepfix.simulator.keychain import Keychain
from scepfix.simulator.mac import LOG, Mac, has_marker


def observe(mac: Mac, now: datetime) -> Observation | None:
    """Given a Mac, return what it shows as of now; None while it is offline or refuses."""
    if mac.told("offline") is not None or mac.told("refuse") is not None:
        return None
    said = (mac.told("other-identity") or "").split()
    identity = Identity(*said) if said else Identity(mac.facts.serial_number, mac.facts.hardware_uuid)
    readable = mac.told("unreadable-keychain") is None
    login = f"login:{mac.facts.user}"
    found = [*_stored(mac, mac.system_keychain, "system"), *_stored(mac, mac.login_keychain, login)]
    return Observation(
        platform=Platform.MACOS,
        observed_at=now,
        identity=identity,
        name=mac.facts.name,
        os_version=mac.facts.os_version,
        os_build=mac.facts.os_build,
        clock_offset_seconds=float(mac.told("clock-offset") or 0),
        complete=readable,
        certificates=tuple(found) if readable else (),
        profiles=tuple(_profiles(mac)),
        enrolled="MDM enrollment: Yes" in (mac.folder / "enrollment").read_text("utf-8"),
        daemon_present=mac.told("daemon-missing") is None,
        okta_verify_version=mac.facts.okta_verify_version,
        log=(mac.folder / LOG).read_bytes(),
    )


def _stored(mac: Mac, keychain: Keychain, store: str) -> Iterator[StoredCertificate]:
    for item in keychain.items():
        certificate = x509.load_der_x509_certificate(item.der)
        if has_marker(item.der) or issued_by_okta(certificate.issuer.rfc4514_string()):
            yield StoredCertificate(item.der, store, item.private_key if store == "system" else None)


def _profiles(mac: Mac) -> Iterator[InstalledProfile]:
    shown = plistlib.loads((mac.folder / "profiles.xml").read_bytes())
    for level, profiles in shown.items():
        for one in profiles:
            yield InstalledProfile(
                identifier=one["ProfileIdentifier"],
                payload_types=tuple(item["PayloadType"] for item in one["ProfileItems"]),
                installed_at=datetime.fromisoformat(one["ProfileInstallDate"]),
                scope="system" if level == "_computerlevel" else "user",
            )
