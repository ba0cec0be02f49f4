"""Macs, their MDM and their Okta org as plans see them, for tests: nothing can be changed through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NoReturn

import pytest
from tests.certificate_factory import make
from tests.evidence_factory import NOW, catalogue, okta

from scepfix.domain.check import Check
from scepfix.domain.device import Identity, InstalledProfile, Observation, StoredCertificate, host_of
from scepfix.domain.errors import RefusedError
from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.fault import Catalogue
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.domain.plan import Plan
from scepfix.domain.platform import Platform
from scepfix.domain.policy import RepairPolicy
from scepfix.parsers.service_settings import ServiceSettings
from scepfix.service.observe import NotObserved
from scepfix.service.plan import PlanRequest, make_plan
from scepfix.service.ports import InventoryDevice

OLD = make(subject="CN old", serial=0x0A1B, not_before=NOW - timedelta(days=30), not_after=NOW + timedelta(days=335))
EXPIRED = make(subject="x", serial=0x77, not_before=NOW - timedelta(days=400), not_after=NOW - timedelta(days=35))
SCEP = "com.okta.device-access.scep"
#: M3 as the vendor prints it, a day before NOW.
REJECTED = (
    '2026/11/23 09:15:42:655 +0100 {🛑 "Recovery-Management": {"message": "Registration failed: Error '
    'Domain=OktaDAServiceDaemon Code=19 "Registration error: Response decoding failed with: '
    'keyNotFound(CodingKeys(stringValue: \\"id\\", intValue: nil), Swift.DecodingError.Context(codingPath: [], '
    'debugDescription: \\"No value associated with key CodingKeys(stringValue: \\"id\\", intValue: nil) '
    '(\\"id\\").\\", underlyingError: nil))" UserInfo={NSLocalizedDescription=x}", "defaultProperties": "", '
    '"location": "CommunicationsManager.swift:registerRecoverySecret():281"}}\n'
)
MDM_SETTINGS = {
    "mdm": ServiceSettings(
        "simulated", {"url": "http://127.0.0.1:1", "profile": SCEP, "exclusion_group": "scepfix-excluded"}
    )
}


@dataclass(frozen=True)
class Site:
    ways_in: tuple[str, ...] = ()
    issuer_files: tuple[str, ...] = ()
    catalogue: Catalogue = field(default_factory=catalogue)


@dataclass
class ReadOnlyMdm:
    """An MDM that fails the test when anything is to be changed; it counts how often it is asked."""

    records: dict[str, MdmDevice]
    found: ManagedProfile
    asked: int = 0

    def profile(self) -> ManagedProfile:
        return self.found

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        self.asked += 1
        return {serial: self.records[serial] for serial in serial_numbers if serial in self.records}

    def group_uses(self) -> tuple[str, ...]:
        return self.found.group_uses

    def members(self) -> tuple[MdmDevice, ...]:
        return ()

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        return {}

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        return {}

    def checks(self) -> Iterator[Check]:
        yield from ()

    def exclude(self, mdm_ids: Sequence[str]) -> NoReturn:
        raise AssertionError("a preview excludes nobody")

    def put_back(self, mdm_ids: Sequence[str]) -> NoReturn:
        raise AssertionError("a preview puts nobody back")

    def nudge(self, mdm_ids: Sequence[str]) -> NoReturn:
        raise AssertionError("a preview nudges nobody")


@dataclass
class Org:
    """What Okta says of each device, by serial number; nothing of the others."""

    says: dict[str, tuple[str, ...]]
    witness: Witness = Witness.OKTA
    #: What could not be asked about a device, by serial number.
    silent_on: dict[str, tuple[str, ...]] = field(default_factory=dict)
    last_asked: str = ""

    def checks(self) -> Iterator[Check]:
        yield from ()

    def device_evidence(self, identity: Identity, person: str, admin: str) -> tuple[Evidence, ...]:
        self.last_asked = identity.serial_number
        found = [
            okta(says, enabled=False) if says == "okta.pin-setting" else okta(says)
            for says in self.says.get(identity.serial_number, ())
        ]
        return tuple(replace(one, witness=self.witness) for one in found)

    def notes(self) -> tuple[str, ...]:
        return self.silent_on.get(self.last_asked, ())

    def registered(self, identity: Identity, person: str, since: datetime) -> bool | None:
        return None


class World:
    """Macs with a deleted device record, unless told otherwise."""

    def __init__(self, *names: str) -> None:
        self.devices = [self.device(name) for name in names or ("mac-042",)]
        self.observations: dict[str, Observation | NotObserved] = {
            one.name: self.observation(one.name) for one in self.devices
        }
        self.okta: Org | None = Org({serial(one.name): ("okta.device-gone",) for one in self.devices})
        self.mdm: ReadOnlyMdm | None = ReadOnlyMdm(
            {serial(one.name): self.record(one.name) for one in self.devices},
            ManagedProfile(
                SCEP,
                "Okta SCEP",
                ("com.apple.security.scep", "com.apple.security.root"),
                changed_at=NOW - timedelta(days=90),
                last_issued_at=NOW - timedelta(days=1),
            ),
        )
        self.policy = RepairPolicy()
        self.site = Site()
        self.only_fault: str | None = None
        self.names: tuple[str, ...] = ()

    @staticmethod
    def device(name: str, person: str = "alice") -> InventoryDevice:
        return InventoryDevice(name, host_of(name), {"ansible_host": "127.1.0.42"}, person)

    @staticmethod
    def observation(name: str, /, **changes: object) -> Observation:
        found = Observation(
            platform=Platform.MACOS,
            observed_at=NOW,
            identity=Identity(serial(name), f"UUID-{name}".upper()),
            name=name,
            clock_offset_seconds=0.0,
            complete=True,
            certificates=(StoredCertificate(OLD.der, "system", private_key=True),),
            profiles=(InstalledProfile(SCEP, ("com.apple.security.scep",), NOW - timedelta(days=30)),),
            enrolled=True,
            daemon_present=True,
            okta_verify_version="9.50.0",
        )
        return replace(found, **changes)  # type: ignore[arg-type]

    @staticmethod
    def record(name: str, /, **changes: object) -> MdmDevice:
        found = MdmDevice(
            Identity(serial(name), f"UUID-{name}".upper(), f"id-{name}"),
            name,
            last_seen_at=NOW - timedelta(minutes=2),
            profile_installed=True,
            installed_at=NOW - timedelta(days=30),
            install_status="Acknowledged",
        )
        return replace(found, **changes)  # type: ignore[arg-type]

    def see(self, name: str, /, **changes: object) -> None:
        self.observations[name] = self.observation(name, **changes)

    def enrol(self, name: str, /, **changes: object) -> None:
        assert self.mdm is not None
        self.mdm.records[serial(name)] = self.record(name, **changes)

    def okta_says(self, name: str, *says: str) -> None:
        assert self.okta is not None
        self.okta.says[serial(name)] = says

    def plan(self, now: datetime = NOW) -> Plan:
        request = PlanRequest("bob", "c" * 64, self.only_fault)
        return make_plan(
            self.devices,
            self.observations,
            self.mdm,
            self.okta,
            self.site,
            self.policy,
            request,
            now,
            MDM_SETTINGS,
            self.names,
        )

    def aside(self) -> tuple[str, str]:
        """Return code and reason of the one device that is set aside; a healthy one stays in the plan beside it."""
        with pytest.raises(RefusedError) as caught:
            self.plan()
        assert (caught.value.code, caught.value.exit) == ("empty-selection", 4)
        name, code, reason = caught.value.message.splitlines()[1].strip().split(": ", 2)
        assert name == self.devices[0].name
        return code, reason


def serial(name: str) -> str:
    return f"C02{name.upper().replace('-', '')}"
