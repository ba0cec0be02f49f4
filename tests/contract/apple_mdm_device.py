"""Macs that speak Apple's MDM protocol: they enrol an identity by SCEP, check in, ask for commands and do them.

What a command does, the simulated world does (``World.mdm``, ``World.macs``), so that it can be seen over SSH. The
answers have the shapes of Apple's Device Management reference. Source of the protocol: Apple, Implementing Device
Management; the header Mdm-Signature is a detached CMS signature of the body, for servers behind a proxy.
"""

from __future__ import annotations

import base64
import plistlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scepfix.simulator.keychain import common_name
from scepfix.simulator.mac import Mac
from scepfix.simulator.peers import scep
from scepfix.simulator.profile import IDENTIFIER, UNRELATED
from scepfix.simulator.world import World

TOPIC = "com.apple.mgmt.External.e3b8ceac-1f18-2c8e-8a63-dd17d99435d9"
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class MdmIdentity:
    """The certificate and key that a device shows to its MDM, and the CA that issued it, PEM."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    ca: bytes


def identity_by_scep(folder: Path, name: str) -> MdmIdentity:
    """Given an empty folder, enrol at a real SCEP server (scepfix.simulator.peers.scep says where it cannot)."""
    enrolled = scep.enrol(folder, name)
    key = load_pem_private_key((folder / "client.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    ca = x509.load_der_x509_certificate(enrolled.ca)
    return MdmIdentity(x509.load_der_x509_certificate(enrolled.certificate), key, ca.public_bytes(Encoding.PEM))


def identity_at_once(name: str) -> MdmIdentity:
    """Return an identity of a CA made for it, for machines without a SCEP server."""
    now, ca_key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    key = rsa.generate_private_key(65537, 2048)

    def builder(subject: str, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA of {name}")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
        )

    ca = builder(f"CA of {name}", ca_key.public_key()).add_extension(x509.BasicConstraints(True, None), True)
    leaf = builder(name, key.public_key()).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False
    )
    made = ca.sign(ca_key, hashes.SHA256()), leaf.sign(ca_key, hashes.SHA256())
    return MdmIdentity(made[1], key, made[0].public_bytes(Encoding.PEM))


def identity(folder: Path, name: str) -> MdmIdentity:
    """Given a folder that is not there, enrol by real SCEP where that can be, else make an identity."""
    if scep.absent():
        return identity_at_once(name)
    folder.mkdir(parents=True)
    return identity_by_scep(folder, name)


@dataclass
class AppleMdmDevice:
    """One Mac of the world. ``told``: what it answers to commands of a kind instead of doing them (``NotNow``,
    ``Error``). ``seen`` are the commands that it got, in order."""

    world: World
    mac: Mac
    url: str
    identity: MdmIdentity
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    told: dict[str, str] = field(default_factory=dict)
    seen: list[Mapping[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(10))

    @property
    def udid(self) -> str:
        return self.mac.facts.hardware_uuid

    # --- the protocol -------------------------------------------------------------------------------------------------

    def enrol(self) -> None:
        """Check in as a device that is new to its MDM."""
        facts = self.mac.facts
        self._check_in(
            {
                "MessageType": "Authenticate",
                "BuildVersion": facts.os_build,
                "DeviceName": facts.name,
                "Model": "Mac14,2",
                "OSVersion": facts.os_version,
                "ProductName": "Mac14,2",
                "SerialNumber": facts.serial_number,
                "Topic": TOPIC,
                "UDID": self.udid,
            }
        )
        self._check_in(
            {
                "MessageType": "TokenUpdate",
                "PushMagic": f"planted-push-magic-{self.udid}",
                "Token": b"planted-push-token" + self.udid.encode("ascii")[:14],
                "Topic": TOPIC,
                "UDID": self.udid,
                "UnlockToken": b"planted-unlock-token",
            }
        )

    def check_out(self) -> None:
        """Tell the MDM that its profile was removed."""
        self._check_in({"MessageType": "CheckOut", "Topic": TOPIC, "UDID": self.udid})

    def poll(self) -> int:
        """Ask for commands, do them and answer until there is none left; return how many there were.

        As a Mac does: after NotNow it takes what comes behind, and asks again later.
        """
        if self.mac.told("offline") is not None:
            return 0
        number, answer = 0, self._report({"Status": "Idle"})
        while answer:
            command = plistlib.loads(answer)
            self.seen.append(command)
            number += 1
            said = self._do(command["Command"])
            answer = self._report({"CommandUUID": command["CommandUUID"], **said})
        return number

    def _check_in(self, message: Mapping[str, Any]) -> None:
        self._put("/checkin", message, "application/x-apple-aspen-mdm-checkin")

    def _report(self, message: Mapping[str, Any]) -> bytes:
        return self._put("/mdm", {"UDID": self.udid, **message}, "application/x-apple-aspen-mdm")

    def _put(self, path: str, message: Mapping[str, Any], content_type: str) -> bytes:
        body = plistlib.dumps(dict(message))
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        signer = pkcs7.PKCS7SignatureBuilder().set_data(body)
        signed = signer.add_signer(self.identity.certificate, self.identity.key, hashes.SHA256())
        headers = {
            "Content-Type": content_type,
            "Mdm-Signature": base64.b64encode(signed.sign(Encoding.DER, options)).decode("ascii"),
        }
        reply = self._pool.request("PUT", f"{self.url}{path}", body=body, headers=headers)
        assert reply.status == 200, (reply.status, reply.data)
        return reply.data

    # --- commands -----------------------------------------------------------------------------------------------------

    def _do(self, command: Mapping[str, Any]) -> dict[str, Any]:
        kind = command["RequestType"]
        if kind in self.told:
            return {
                "Status": self.told[kind],
                **({"ErrorChain": _chain("told so")} if self.told[kind] == "Error" else {}),
            }
        doing: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "RemoveProfile": self._remove,
            "InstallProfile": self._install,
            "ProfileList": self._profiles,
            "CertificateList": self._certificates,
            "DeviceInformation": self._information,
        }
        return {"Status": "Acknowledged", **doing[kind](command)}

    def _remove(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if self.mac.told("removal-silent") is not None:
            return {"Status": "NotNow"}
        if command["Identifier"] != IDENTIFIER or self.mac.profile_installed_at() is None:
            # macOS: MDMClientError 89 (GH fleetdm/fleet#21713).
            return {
                "Status": "Error",
                "ErrorChain": _chain(f"Profile with identifier '{command['Identifier']}' not found."),
            }
        self.world.mdm.exclude([self.mac.facts.mdm_id], self.now())
        self.world.mdm.nudge([self.mac.facts.mdm_id], self.now())
        assert self.mac.profile_installed_at() is None
        return {}

    def _install(self, command: Mapping[str, Any]) -> dict[str, Any]:
        profile = plistlib.loads(command["Payload"])
        assert profile["PayloadIdentifier"] == IDENTIFIER
        given = [one["PayloadContent"]["Challenge"] for one in profile["PayloadContent"]]
        if given != [self.world.mdm.settings().challenge] or self.mac.told("ca-refuses") is not None:
            return {"Status": "Error", "ErrorChain": _chain("The SCEP server returned an invalid response.")}
        if self.mac.told("install-notnow") is not None:
            return {"Status": "NotNow"}
        if self.mac.profile_installed_at() is not None:
            # The same profile again always enrols anew, and leaves the old certificate behind.
            self.mac.install_profile(self.world.mdm.settings(), self.world.ca, self.now())
            return {}
        self.world.mdm.put_back([self.mac.facts.mdm_id], self.now())
        self.world.mdm.nudge([self.mac.facts.mdm_id], self.now())
        return {} if self.mac.profile_installed_at() is not None else {"Status": "Error", "ErrorChain": _chain("no")}

    def _profiles(self, command: Mapping[str, Any]) -> dict[str, Any]:
        there = [UNRELATED, *([IDENTIFIER] if self.mac.profile_installed_at() is not None else [])]
        return {
            "ProfileList": [
                {
                    "HasRemovalPasscode": False,
                    "IsEncrypted": False,
                    "PayloadContent": [],
                    "PayloadDisplayName": one,
                    "PayloadIdentifier": one,
                    "PayloadRemovalDisallowed": True,
                    "PayloadUUID": "7C5E2A6C-0D63-4C1B-8E5F-2F6B8C1D9A01",
                    "PayloadVersion": 1,
                }
                for one in there
            ]
        }

    def _certificates(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "CertificateList": [
                {"CommonName": common_name(item.der), "Data": item.der, "IsIdentity": item.private_key}
                for item in self.mac.system_keychain.items()
            ]
        }

    def _information(self, command: Mapping[str, Any]) -> dict[str, Any]:
        facts = self.mac.facts
        known = {"SerialNumber": facts.serial_number, "UDID": self.udid, "DeviceName": facts.name}
        return {"QueryResponses": {key: known[key] for key in command["Queries"] if key in known}}


@contextmanager
def polling(devices: Sequence[AppleMdmDevice], every_seconds: float = _POLL_SECONDS) -> Iterator[None]:
    """Let devices ask for commands by themselves until the block ends: nobody pushes them. Raise what went wrong."""
    stop = threading.Event()
    wrong: list[Exception] = []

    def go_on() -> None:
        try:
            while not stop.wait(every_seconds):
                for one in devices:
                    one.poll()
        except Exception as error:
            wrong.append(error)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    if wrong:
        raise wrong[0]


def mobileconfig(challenge: str, identifier: str = IDENTIFIER) -> bytes:
    """Return the org's SCEP profile as a file, with that challenge in it."""
    scep_payload = {
        "PayloadType": "com.apple.security.scep",
        "PayloadIdentifier": f"{identifier}.scep",
        "PayloadUUID": "B1D2F3A4-5C6E-4F70-8192-A3B4C5D6E7F8",
        "PayloadVersion": 1,
        "PayloadContent": {
            "URL": "https://example.okta.com/pki/simulated",
            "Challenge": challenge,
            "Keysize": 2048,
            "Key Type": "RSA",
            "Key Usage": 1,
            "KeyIsExtractable": False,
            "AllowAllAppsAccess": True,
            "Subject": [[["CN", "device"]]],
        },
    }
    return plistlib.dumps(
        {
            "PayloadType": "Configuration",
            "PayloadIdentifier": identifier,
            "PayloadDisplayName": "Okta Device Access SCEP",
            "PayloadUUID": "A1D2F3A4-5C6E-4F70-8192-A3B4C5D6E7F8",
            "PayloadVersion": 1,
            "PayloadScope": "System",
            "PayloadContent": [scep_payload],
        }
    )


def _chain(text: str) -> list[dict[str, Any]]:
    return [
        {"ErrorCode": 89, "ErrorDomain": "MDMClientError", "LocalizedDescription": text, "USEnglishDescription": text}
    ]
