"""The simulated world as a folder: Macs, MDM, Okta org and CA, made once and changed only by what happens in it."""

from __future__ import annotations

import json
import secrets
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from scepfix.domain.device import host_of
from scepfix.simulator import files, mac, ssh_keys
from scepfix.simulator.ca import Ca, canaries, new_public_key
from scepfix.simulator.mac import Facts, Mac
from scepfix.simulator.mdm import SimulatedMdm
from scepfix.simulator.okta import OktaOrg
from scepfix.simulator.scenarios import SCENARIOS, Beginning

_SERVICE = "https://example.okta.com"
#: 127.1.0.1 to 127.1.255.250: each device has an address of its own on the loopback interface.
_PER_NET = 250


@dataclass(frozen=True, slots=True)
class MacSpec:
    """A device to be made. ``scenario`` is a key of SCENARIOS; ``behaviours`` are told to it from the start.

    ``platform`` ``windows`` is a stub that answers one recorded document. ``face`` ``openssh`` puts it behind OpenSSH's
    own sshd. ``subject`` is the common name in its certificates, by default in the way of Fleet's sample profile.
    """

    name: str
    person: str = "alice@example.com"
    scenario: str = "healthy"
    platform: str = "macos"
    face: str = "asyncssh"
    behaviours: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""


class World:
    """The world in that folder."""

    def __init__(self, folder: Path) -> None:
        """Given a folder that ``create`` made, open it."""
        self.folder = folder
        self.macs: Mapping[str, Mac] = {
            one.facts.name: one for one in (Mac(path) for path in sorted((folder / "macs").iterdir()))
        }
        by_id = {one.facts.mdm_id: one for one in self.macs.values()}
        self.mdm = SimulatedMdm(folder, lambda: by_id)
        self.okta = OktaOrg(folder)
        self.ca = Ca(folder / "ca")

    @classmethod
    def create(cls, folder: Path, specs: Sequence[MacSpec], now: datetime | None = None) -> World:
        """Given an empty folder or none yet, make the world as of ``now``. Raise ValueError for a bad spec."""
        now = (now or datetime.now(UTC)).replace(microsecond=0)
        names = [spec.name for spec in specs]
        if len(set(names)) < len(names):
            raise ValueError("two devices have the same name")
        if unknown := {spec.scenario for spec in specs} - SCENARIOS.keys():
            raise ValueError(f"no scenario {', '.join(sorted(unknown))}; there are: {', '.join(SCENARIOS)}")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("macs", "tokens"):
            (folder / name).mkdir()
        files.write(folder / "lock", "")
        for name in ("mdm-write", "mdm-read", "okta-read"):
            files.write(folder / "tokens" / name, f"{secrets.token_urlsafe(24)}\n")
        copy_tools(folder)
        ssh_keys.create(folder)
        Ca(folder / "ca").create(now)
        OktaOrg(folder).create()
        shared = canaries(now)
        for number, spec in enumerate(specs):
            facts = _facts(number, spec)
            files.write(folder / "ssh/addresses" / facts.address, f"{host_of(spec.name)}\n")
            mac.create(folder / "macs" / host_of(spec.name), facts, shared if spec.platform == "macos" else ())
        world = cls(folder)
        world.mdm.create(secrets.token_urlsafe(12), now - timedelta(days=500))
        with world.okta.at_once():
            world._begin(specs, now)
        return world

    def _begin(self, specs: Iterable[MacSpec], now: datetime) -> None:
        records: dict[str, Mapping[str, Any]] = {}
        excluded = []
        settings = self.mdm.settings()
        for spec in specs:
            one = self.macs[spec.name]
            one.set_profile(settings, None)
            beginning = Beginning(one, self.ca, self.okta, settings, now)
            SCENARIOS[spec.scenario](beginning)
            one.tell_pc(now - timedelta(hours=26))
            if beginning.record is not None:
                records[one.facts.mdm_id] = beginning.record
            if beginning.excluded:
                excluded.append(one.facts.mdm_id)
        self.mdm.set_devices(records)
        self.mdm.exclude(excluded, now - timedelta(days=2))
        for spec in specs:
            for behaviour, value in spec.behaviours.items():
                self.tell(spec.name, behaviour, value, now)

    def tell(self, name: str, behaviour: str, value: str, now: datetime | None = None) -> None:
        """Tell a device how to behave from now on (``no`` ends it). Raise KeyError or ValueError for what is not there.

        ``other-identity`` takes the name of the device it shall pretend to be, ``wifi`` puts a Wi-Fi payload into the
        profile, ``second-okta-certificate`` adds a certificate of Okta without the marker.
        """
        one = self.macs[name]
        if behaviour == "other-identity" and value not in ("no", ""):
            other = self.macs[value].facts
            value = f"{other.serial_number}\n{other.hardware_uuid}"
        one.tell(behaviour, value)
        with files.locked(self.folder):
            if behaviour == "wifi":
                one.set_profile(self.mdm.settings(), one.profile_installed_at())
            elif behaviour == "second-okta-certificate" and one.told(behaviour) is not None:
                at = (now or datetime.now(UTC)) - timedelta(days=20)
                der = self.ca.issue(new_public_key(), one.facts.subject, at, marker=False)
                one.system_keychain.add(der, private_key=True)

    def pin_leftover(self, name: str) -> None:
        """Make the person's identity preference name the oldest Device Access certificate in the System keychain."""
        one = self.macs[name]
        found = [item.der for item in one.system_keychain.items() if mac.has_marker(item.der)]
        one.pin(found[0], _SERVICE)

    def sign_in(self, name: str, now: datetime | None = None) -> bool:
        """The device's person signs in on it, online; return whether the device registered for recovery."""
        return self.okta.sign_in(self.macs[name], now or datetime.now(UTC))

    def effects(self) -> list[dict[str, Any]]:
        """Return every change that the MDM applied, in order: ``at, verb, device, mdm_id, key``."""
        lines = (self.folder / "mdm/log.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def secrets(self) -> tuple[str, ...]:
        """Return what must turn up nowhere outside of this folder: the SCEP challenge and the tokens."""
        tokens = [path.read_text("ascii").strip() for path in sorted((self.folder / "tokens").iterdir())]
        return (self.mdm.settings().challenge, *tokens)


def copy_tools(world: Path) -> None:
    """Copy the fake tools into the world, under the names by which scripts call them."""
    tools = world / "tools"
    tools.mkdir()
    for source in package_files("scepfix.simulator.peers").joinpath("macos_tools").iterdir():
        if source.name.endswith(".sh"):
            files.write(tools / source.name.removesuffix(".sh"), source.read_bytes(), 0o700)
    for name in ("cat", "ls", "tail"):
        shutil.copy(tools / "in_the_mac", tools / name)


def _facts(number: int, spec: MacSpec) -> Facts:
    hardware_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{spec.name}.simulated")).upper()
    return Facts(
        name=spec.name,
        person=spec.person,
        serial_number=f"C02{host_of(spec.name)[4:13].upper()}",
        hardware_uuid=hardware_uuid,
        mdm_id=str(number + 1),
        address=f"127.1.{number // _PER_NET}.{number % _PER_NET + 1}",
        subject=spec.subject or f"managementAttestation {hardware_uuid}",
        platform=spec.platform,
        face=spec.face,
    )
