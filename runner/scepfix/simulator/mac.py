"""One simulated Mac (or stub PC): a folder that the fake tools read, and what an MDM and a person do to it."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from scepfix.domain.certificate import MARKER_OID
from scepfix.domain.device import Identity
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.simulator import files, pc, profile
from scepfix.simulator.ca import ORG, OTHER, Ca, new_public_key
from scepfix.simulator.keychain import NOT_TRUSTED, Item, Keychain

#: What a Mac can be told, each a file of that name in ``behaviour/`` while it lasts (docs/simulated-world.md).
BEHAVIOURS = frozenset(
    {
        "backdate",
        "ca-refuses",
        "clock-offset",
        "collector",
        "daemon-missing",
        "garbage",
        "half",
        "install-error",
        "install-notnow",
        "install-silent",
        "keep-old-certificate",
        "no-key",
        "offline",
        "other-identity",
        "refuse",
        "removal-silent",
        "same-certificate",
        "same-key",
        "second-okta-certificate",
        "set-apart",
        "slow",
        "unreadable-keychain",
        "wifi",
        "wrong-ca",
    }
)
_DAEMON = (
    "root/usr/local/bin/OktaDAServiceDaemon",
    "root/Library/LaunchDaemons/com.okta.deviceaccess.servicedaemon.plist",
)
LOG = "root/var/log/com.okta.deviceaccess/OktaDeviceAccess.log"


@dataclass(frozen=True, slots=True)
class Facts:
    """What never changes of a device. ``face`` says who answers its SSH: ``asyncssh`` or ``openssh``."""

    name: str
    person: str
    serial_number: str
    hardware_uuid: str
    mdm_id: str
    address: str
    subject: str
    platform: str = "macos"
    face: str = "asyncssh"
    os_version: str = "15.1"
    os_build: str = "24B83"
    okta_verify_version: str = "9.56.1"

    @property
    def identity(self) -> Identity:
        return Identity(self.serial_number, self.hardware_uuid, self.mdm_id)

    @property
    def user(self) -> str:
        """The person's account on the Mac: a short name that is safe in paths."""
        return re.sub(r"[^a-z0-9]", "-", self.person.split("@")[0].lower())[:20] or "person"


class Mac:
    """The device in that folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = Facts(**files.read_json(folder / "mac.json"))

    @property
    def system_keychain(self) -> Keychain:
        return Keychain(self.folder / "keychains/system")

    @property
    def login_keychain(self) -> Keychain:
        return Keychain(self.folder / f"keychains/login-{self.facts.user}")

    # What it was told

    def told(self, behaviour: str) -> str | None:
        """Return the value of a behaviour, None where the Mac was not told it."""
        try:
            return (self.folder / "behaviour" / behaviour).read_text("utf-8").strip()
        except FileNotFoundError:
            return None

    def tell(self, behaviour: str, value: str) -> None:
        """Set a behaviour; ``no`` or "" ends it. Raise ValueError for one that there is not."""
        if behaviour not in BEHAVIOURS:
            raise ValueError(f"no behaviour {behaviour!r}; there are: {', '.join(sorted(BEHAVIOURS))}")
        path = self.folder / "behaviour" / behaviour
        off = value in ("no", "")
        if off:
            path.unlink(missing_ok=True)
        else:
            files.write(path, f"{value}\n")
        if behaviour == "daemon-missing":
            for one in _DAEMON:
                (self.folder / one).touch() if off else (self.folder / one).unlink(missing_ok=True)

    def last_seen(self, now: datetime) -> datetime:
        """Return when it last could answer: now, or the moment since which it is offline.

        That moment is what the behaviour ``offline`` says in RFC 3339, else when it was told.
        """
        value = self.told("offline")
        if value is None:
            return now
        told_at = (self.folder / "behaviour/offline").stat().st_mtime
        return parse_rfc3339(value) or datetime.fromtimestamp(int(told_at), UTC)

    # Its Device Access certificates

    def usable(self, now: datetime) -> Item | None:
        """Return what the daemon takes: the newest valid certificate with marker and key in the System keychain."""
        found = [item for item in self.system_keychain.items() if item.private_key and has_marker(item.der)]
        valid = [item for item in found if _valid(item.der, now)]
        return max(valid, key=lambda item: x509.load_der_x509_certificate(item.der).not_valid_before_utc, default=None)

    def enrol(self, ca: Ca, now: datetime) -> None:
        """Get a certificate by SCEP into the keychain of the profile's scope, as the behaviours say."""
        state = self._state()
        old = self._last(state)
        if old is not None and self.told("same-certificate") is not None:
            self._store(old, state, private_key=True)
            return
        wrong = self.told("wrong-ca")
        same_key = old is not None and self.told("same-key") is not None
        der = ca.issue(
            x509.load_der_x509_certificate(old).public_key() if old and same_key else new_public_key(state["keysize"]),
            self.facts.subject,
            now,
            marker=wrong != "endpoint",
            authority=ORG if wrong in (None, "endpoint") else OTHER,
            backdate_minutes=float(self.told("backdate") or 0),
        )
        self._store(der, state, private_key=self.told("no-key") is None)

    def _store(self, der: bytes, state: dict[str, Any], *, private_key: bool) -> None:
        keychain = self.system_keychain if state["scope"] == "system" else self.login_keychain
        keychain.add(der, private_key=private_key)
        files.write(self.folder / "last.der", der)

    def _last(self, state: Mapping[str, Any]) -> bytes | None:
        """The certificate that was obtained last, which may be gone from the keychain."""
        path = self.folder / "last.der"
        return path.read_bytes() if path.exists() else None

    # Its profiles

    def install_profile(self, settings: profile.Settings, ca: Ca, now: datetime) -> None:
        """Put the profile there, which always enrols anew; an older certificate stays (facts: Apple HT204446)."""
        self.set_profile(settings, now)
        self.enrol(ca, now)
        self.tell_pc(now)

    def remove_profile(self, settings: profile.Settings) -> None:
        """Take the profile away, and with it the certificate obtained last and its key; older ones stay.

        Source: Apple HT5984. ``keep-old-certificate`` leaves that one too, without its key, or with it (``key``).
        """
        state = self._state()
        last = self._last(state)
        kept = self.told("keep-old-certificate")
        keychain = self.system_keychain if state["scope"] == "system" else self.login_keychain
        if last is not None and kept is None:
            keychain.remove(last)
        elif last is not None and kept != "key":
            keychain.lose_key(last)
        self.set_profile(settings, None)

    def set_profile(self, settings: profile.Settings, installed_at: datetime | None) -> None:
        """Write what the tools show of the profiles; ``installed_at`` None: the SCEP profile is not there.

        Key size and scope stay as this Mac got them first: a scenario may have given it a wrong profile.
        """
        state = self._state()
        state["installed_at"] = rfc3339(installed_at)
        files.write_json(self.folder / "state.json", state)
        if self.facts.platform != "macos":
            self.tell_pc(installed_at)
            return
        known_since = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
        system: list[dict[str, Any]] = [profile.unrelated(known_since)]
        user: list[dict[str, Any]] = []
        if installed_at is not None:
            own = profile.Settings(settings.challenge, state["keysize"], state["scope"], settings.wifi)
            shown = profile.scep(own, self.facts.subject, installed_at)
            (system if state["scope"] == "system" else user).append(shown)
        files.write(self.folder / "profiles.xml", profile.show_xml(system, user, self.facts.user))
        files.write(self.folder / "profiles.txt", profile.list_text(system))
        files.write(self.folder / "profiles-sp.xml", profile.system_profiler_xml(system))

    def tell_pc(self, at: datetime | None) -> None:
        """Write what the stub PC answers from now on."""
        if self.facts.platform == "windows":
            facts, items = self.facts, self.system_keychain.items()
            refused_at = None if any(item.private_key and has_marker(item.der) for item in items) else at
            profile_there = profile.IDENTIFIER if self._state()["installed_at"] else ""
            keys, own = (facts.serial_number, facts.hardware_uuid), self.login_keychain.items()
            said = pc.document(facts.name, *keys, items, profile_there, refused_at, own)
            files.write(self.folder / "windows.json", said)

    def profile_installed_at(self) -> datetime | None:
        return parse_rfc3339(self._state()["installed_at"])

    def misconfigure(self, *, keysize: int = 2048, scope: str = "system") -> None:
        """Give this Mac a profile with another key size or scope; before it is installed."""
        files.write_json(self.folder / "state.json", {**self._state(), "keysize": keysize, "scope": scope})

    @property
    def profile_scope(self) -> str:
        return str(self._state()["scope"])

    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = files.read_json(self.folder / "state.json")
        return found

    # The rest

    def pin(self, der: bytes, service: str) -> None:
        """Make the person's identity preference for that service this certificate."""
        folder = self.folder / "preferences"
        number = len(list(folder.iterdir())) + 1
        part = Keychain(folder / f"{number:04}")
        part.add(der, private_key=False)
        files.write(folder / f"{number:04}" / "service", f"{service}\n")

    def pinned(self) -> frozenset[bytes]:
        """Return the certificates that an identity preference names."""
        folders = (self.folder / "preferences").iterdir()
        return frozenset(item.der for folder in folders for item in Keychain(folder).items())

    def unenrol(self) -> None:
        """Take the Mac out of its MDM, as the Mac sees it."""
        files.write(self.folder / "enrollment", "Enrolled via DEP: No\nMDM enrollment: No\n")

    def log(self, *lines: str) -> None:
        """Append to the Device Access log."""
        with (self.folder / LOG).open("a", encoding="utf-8") as stream:
            stream.writelines(lines)


def create(folder: Path, facts: Facts, canaries: Sequence[bytes]) -> Mac:
    """Given a folder that is not there yet, make a Mac without the SCEP profile and without certificates of Okta."""
    logs, users = folder / "root/var/log/com.okta.deviceaccess", folder / "root/Users" / facts.user
    application = folder / "root/Applications/Okta Verify.app/Contents"
    singles = ("behaviour", "facts", "preferences", "root/Library/LaunchDaemons", "root/usr/local/bin")
    for path in (logs, users / "Library/Keychains", application, *(folder / one for one in singles)):
        path.mkdir(parents=True)
    files.write_json(folder / "mac.json", {name: getattr(facts, name) for name in Facts.__dataclass_fields__})
    files.write_json(folder / "state.json", {"keysize": 2048, "scope": "system", "installed_at": None})
    for name in ("name", "person", "serial_number", "hardware_uuid", "os_version", "os_build", "user"):
        files.make(folder / "facts" / name, " ".join(str(getattr(facts, name)).splitlines()) + "\n")
    mac = Mac(folder)
    files.make(folder / LOG, "")
    if facts.platform != "macos":
        return mac
    files.make(folder / "facts/okta_verify_version", f"{facts.okta_verify_version}\n")
    for keychains in ("root/Library/Keychains", "keychains/system", f"keychains/login-{facts.user}"):
        (folder / keychains).mkdir(parents=True)
    files.make(folder / "root/Library/Keychains/System.keychain", "")
    files.make(users / "Library/Keychains/login.keychain-db", "")
    files.make(
        folder / "enrollment",
        "Enrolled via DEP: Yes\nMDM enrollment: Yes (User Approved)\nMDM server: https://mdm.example.com/mdm\n",
    )
    for part in _DAEMON:
        (folder / part).touch()
    version = {"CFBundleIdentifier": "com.okta.mobile", "CFBundleShortVersionString": facts.okta_verify_version}
    files.make(application / "Info.plist", plistlib.dumps(version))
    for der in canaries:
        mac.system_keychain.add(der, private_key=True, trust=NOT_TRUSTED)
    return mac


def has_marker(der: bytes) -> bool:
    """Given a DER, tell whether the Device Access marker is in it."""
    wanted = x509.ObjectIdentifier(MARKER_OID)
    return any(extension.oid == wanted for extension in x509.load_der_x509_certificate(der).extensions)


def _valid(der: bytes, now: datetime) -> bool:
    found = x509.load_der_x509_certificate(der)
    return found.not_valid_before_utc <= now <= found.not_valid_after_utc
