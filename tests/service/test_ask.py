"""Asking about a device: its reading, its MDM record and Okta together, and what is said where one is silent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest
from tests.evidence_factory import NOW, catalogue, okta
from tests.hostile import CORPUS, is_inert
from tests.service.test_observed_evidence import GOOD, LOG, PROFILE, reading, record, stored

from scepfix.adapters.evidence_sources import EvidenceSourcesOnDisk
from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.cli.diagnose import exit_code
from scepfix.cli.diagnosis_report import as_document, as_text
from scepfix.domain.check import Check
from scepfix.domain.device import Identity, Observation, host_of
from scepfix.domain.errors import Exit, InputError, ScepfixError, UsageError
from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.fault import Catalogue, Symptom
from scepfix.domain.mdm import CertificateList, CollectedText, ListedCertificate, ManagedProfile, MdmDevice
from scepfix.service.diagnose import DiagnoseReport, DiagnoseRequest, Ways, diagnose_device, diagnose_evidence
from scepfix.service.observe import NotObserved
from scepfix.service.ports import Inventory, InventoryDevice, Mdm, Okta


@dataclass(frozen=True)
class Site:
    """A site without settings of its own."""

    ways_in: tuple[str, ...] = ()
    issuer_files: tuple[str, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        return catalogue()


@dataclass
class Fleet:
    """One inventory, the devices in it, and an MDM with their records: what was asked is written down."""

    readings: dict[str, Observation | NotObserved] = field(default_factory=dict)
    records: dict[str, MdmDevice] = field(default_factory=dict)
    person: str = ""
    mdm_is_down: bool = False
    lists: dict[str, CertificateList] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    # The inventory
    def inventory_devices(self, names: Sequence[str]) -> tuple[InventoryDevice, ...]:
        unknown = [name for name in names if name not in self.readings]
        if unknown:
            raise UsageError("unknown-device", f"there is no device {unknown[0]}")
        return tuple(InventoryDevice(name, host_of(name), {}, self.person) for name in names)

    def observe(self, device: InventoryDevice) -> Observation | NotObserved:
        self.asked.append(f"device {device.name}")
        return self.readings[device.name]


@dataclass
class FleetInventory:
    fleet: Fleet

    def devices(self, names: Sequence[str], group: str | None = None) -> tuple[InventoryDevice, ...]:
        assert group is None
        return self.fleet.inventory_devices(names)

    @property
    def names(self) -> frozenset[str]:
        return frozenset()


@dataclass
class FleetMdm:
    """Reads only: a diagnosis that changed something would fail here."""

    fleet: Fleet

    def profile(self) -> ManagedProfile:
        self.fleet.asked.append("mdm")
        if self.fleet.mdm_is_down:
            raise ScepfixError("mdm-down", "503 Service Unavailable", hint="try again later")
        return PROFILE

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        return {serial: self.fleet.records[serial] for serial in serial_numbers if serial in self.fleet.records}

    def group_uses(self) -> tuple[str, ...]:
        return ()

    def members(self) -> tuple[MdmDevice, ...]:
        raise AssertionError("nobody asked for the group")

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        raise AssertionError("a diagnosis changes nothing")

    put_back = nudge = exclude

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        return {one: self.fleet.lists[one] for one in mdm_ids if one in self.fleet.lists}

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        raise AssertionError("nobody asked for what a collector printed")

    def checks(self) -> Iterator[Check]:
        raise AssertionError("a diagnosis checks no settings")


@dataclass
class OktaOrg:
    """Says what it was told to, of whatever device it is asked about."""

    says: tuple[Evidence, ...] = ()
    is_down: bool = False
    asked: list[tuple[Identity, str, str]] = field(default_factory=list)

    def checks(self) -> Iterator[Check]:
        raise AssertionError("a diagnosis checks no settings")

    def device_evidence(self, identity: Identity, person: str, admin: str) -> tuple[Evidence, ...]:
        self.asked.append((identity, person, admin))
        if self.is_down:
            raise ScepfixError("okta-rate-limit", "429 Too Many Requests")
        return self.says

    def notes(self) -> tuple[str, ...]:
        return ()

    def registered(self, identity: Identity, person: str, since: datetime) -> bool | None:
        raise AssertionError("nobody waits for a registration here")


GONE = okta("okta.device-gone", device_id="guo1")


def diagnosed(
    fleet: Fleet,
    org: OktaOrg | None = None,
    *,
    with_inventory: bool = True,
    with_mdm: bool = True,
    lines: list[str] | None = None,
    request: DiagnoseRequest | None = None,
) -> DiagnoseReport:
    inventory: Inventory = FleetInventory(fleet)
    mdm: Mdm = FleetMdm(fleet)
    org_as_port: Okta | None = org
    ways = Ways(
        observe=fleet.observe,
        inventory=inventory if with_inventory else None,
        mdm=mdm if with_mdm else None,
        okta=org_as_port,
    )
    asked_for = request or DiagnoseRequest(device="mac-042", symptom=Symptom.GENERATING_FAILS)
    tell = (lines if lines is not None else []).append
    return diagnose_device(
        asked_for, ways, EvidenceSourcesOnDisk(1 << 20), SmallFilesOnDisk(), Site(), lambda: NOW, tell
    )


SICK = reading(stored(GOOD.der), log=LOG)
SERIAL = SICK.identity.serial_number


def test_device_mdm_and_okta_make_one_diagnosis() -> None:
    fleet, org = Fleet({"mac-042": SICK}, {SERIAL: record()}, "alice"), OktaOrg((GONE,))
    lines: list[str] = []

    report = diagnosed(fleet, org, lines=lines)

    assert (report.top.fault, report.top.playbook) == ("device-deleted", "reinstall_scep_profile")
    assert {item.witness for item in report.top.evidence} >= {Witness.DEVICE, Witness.OKTA}
    assert all(item.facts["device"] == "mac-042" for item in report.top.evidence)
    assert [(item.kind, item.source, item.error) for item in report.inputs] == [
        ("device", "device mac-042", None),
        ("mdm", f"MDM record of {SERIAL}", None),
        ("okta", "Okta", None),
    ]
    assert org.asked == [(SICK.identity, "alice", "")]
    assert lines == ["reading mac-042 …", "asking the MDM …", "asking Okta …"]
    assert exit_code(report) is Exit.VERDICT
    assert report.request.person == "alice"
    assert "scepfix plan DEVICE -i INVENTORY -o plan.json" in as_text(report, report.request)


def test_the_person_that_was_named_counts_before_the_inventorys() -> None:
    org = OktaOrg()
    request = DiagnoseRequest(device="mac-042", person="bob", admin="carol")

    report = diagnosed(Fleet({"mac-042": SICK}, person="alice"), org, request=request)

    assert org.asked == [(SICK.identity, "bob", "carol")]
    assert report.request.person == "bob"


def test_a_device_that_does_not_answer_is_what_is_missing() -> None:
    fleet = Fleet({"mac-042": NotObserved("unreachable", "ssh: no route to host")}, {SERIAL: record()})

    report = diagnosed(fleet, OktaOrg((GONE, okta("okta.pin-setting", enabled=True))))

    assert report.top.fault is None
    assert report.top.missing[0] == "answer: device mac-042: ssh: no route to host"
    assert report.top.next_steps[0].startswith("make mac-042 answer")
    assert exit_code(report) is Exit.UNDETERMINED
    # Without a serial number nobody knows which record is meant: a name proves nothing.
    assert "mdm" not in fleet.asked
    assert "okta.device-gone" not in {item.says for item in report.inputs[1].evidence}
    document = as_document(report)
    assert document["inputs"][0] == {  # type: ignore[index]
        "source": "device mac-042",
        "kind": "device",
        "read": False,
        "evidence": 0,
        "error": {
            "code": "device-unreachable",
            "message": "ssh: no route to host",
            "where": "device mac-042",
            "hint": "make mac-042 answer (awake? online? the right way in?), then run this again",
        },
    }


def test_a_setting_that_is_off_is_named_although_the_device_is_silent() -> None:
    fleet = Fleet({"mac-042": NotObserved("unreachable", "timed out")})

    report = diagnosed(fleet, OktaOrg((okta("okta.pin-setting", enabled=False),)))

    assert report.top.fault == "recovery-pin-disabled"
    assert report.top.missing[-1] == "answer: device mac-042: timed out"
    assert exit_code(report) is Exit.MIXED


@pytest.mark.parametrize("down", ["mdm", "okta"])
def test_a_service_that_is_down_is_named_and_the_rest_counts(down: str) -> None:
    known = {SERIAL: record(profile_installed=False)}
    fleet = Fleet({"mac-042": reading(profiles=())}, known, mdm_is_down=down == "mdm")

    report = diagnosed(fleet, OktaOrg(is_down=down == "okta"))

    assert report.top.fault == "profile-missing"
    assert [item.kind for item in report.unreadable] == [down]
    assert any(("503" if down == "mdm" else "429") in text for text in report.top.missing)
    assert exit_code(report) is Exit.MIXED


def test_the_mdm_knows_another_device_under_that_serial_number() -> None:
    other = replace(record(), identity=Identity(SERIAL, "0" * 8, "17"))

    report = diagnosed(Fleet({"mac-042": SICK}, {SERIAL: other}))

    (unread,) = report.unreadable
    assert unread.error is not None
    assert unread.error.code == "identity-mismatch"
    assert not any(item.witness is Witness.MDM for item in report.top.evidence)


def test_a_device_that_the_mdm_does_not_know_is_not_managed() -> None:
    assert diagnosed(Fleet({"mac-042": reading(stored(GOOD.der))})).top.fault == "device-not-managed"


def test_the_mdms_certificate_list_confirms() -> None:
    silent = reading(complete=False, profiles=None)
    fleet = Fleet({"mac-042": silent}, {SERIAL: record(profile_installed=None)})
    fleet.lists["17"] = CertificateList(NOW, (ListedCertificate(der=GOOD.der),))

    report = diagnosed(fleet)

    assert [item.says for item in report.inputs[1].evidence] == ["mdm.device", "keychain.certificate"]


def test_a_list_without_bytes_counts_by_the_serial_numbers_that_the_device_showed() -> None:
    fleet = Fleet({"mac-042": reading(stored(GOOD.der))}, {SERIAL: record()})
    fleet.lists["17"] = CertificateList(NOW, (ListedCertificate("00A1"), ListedCertificate("ff")))
    blind = Fleet({"mac-042": reading(complete=False)}, {SERIAL: record()}, lists=fleet.lists)

    (item,) = [one for one in diagnosed(fleet).inputs[1].evidence if one.says == "keychain.certificate"]

    assert (item.witness, item.facts["serial_number"]) == (Witness.MDM, "a1")
    assert [one.says for one in diagnosed(blind).inputs[1].evidence] == ["mdm.device", "mdm.profile-installed"]


def test_the_option_that_is_not_there_looks_at_no_device() -> None:
    fleet = Fleet({"mac-042": SICK}, {SERIAL: record()})
    request = DiagnoseRequest(device="mac-042", symptom=Symptom.OPTION_NOT_THERE)

    report = diagnosed(fleet, OktaOrg((okta("okta.pin-setting", enabled=False),)), request=request)

    assert fleet.asked == []
    assert report.top.fault == "recovery-pin-disabled"


def test_okta_can_be_asked_without_a_device() -> None:
    org = OktaOrg((okta("okta.admin-may-generate", allowed=False, reason="role"), okta("okta.no-record")))
    request = DiagnoseRequest(admin="carol", symptom=Symptom.OPTION_NOT_THERE)

    report = diagnosed(Fleet(), org, with_inventory=False, with_mdm=False, request=request)

    assert report.top.fault == "admin-permission-missing"
    assert org.asked == [(Identity(), "", "carol")]
    assert [item.says for item in report.inputs[0].evidence] == ["okta.admin-may-generate"]


def test_a_path_beside_a_silent_device_counts_as_that_devices(tmp_path: object) -> None:
    from pathlib import Path

    log = Path(str(tmp_path)) / "OktaDeviceAccess.log"
    log.write_bytes(LOG)
    fleet = Fleet({"mac-042": NotObserved("unreachable", "timed out")})
    request = DiagnoseRequest((str(log),), device="mac-042", symptom=Symptom.GENERATING_FAILS)

    report = diagnosed(fleet, request=request)

    assert report.top.fault == "certificate-rejected"
    assert exit_code(report) is Exit.MIXED
    missing = replace(request, paths=(f"{log}.not-there",))
    # Nothing could be read at all, and yet the device was asked: that is what is missing.
    assert exit_code(diagnosed(fleet, request=missing)) is Exit.MIXED


def test_a_device_that_the_inventory_does_not_have_is_an_error() -> None:
    with pytest.raises(UsageError):
        diagnosed(Fleet())


def test_evidence_of_one_device_is_diagnosed_alone() -> None:
    found = diagnose_evidence([replace(GONE)], "mac-042", "alice", Site(ways_in=("ring the desk",)), NOW)

    assert (found.fault, found.device, found.ways_in) == ("device-deleted", "mac-042", ("ring the desk",))


@pytest.mark.parametrize("text", CORPUS)
@pytest.mark.parametrize("answers", [True, False])
def test_hostile_names_and_answers_are_inert_in_the_report(text: str, answers: bool) -> None:
    from scepfix.domain.inert import visible

    shown = visible(text)
    seen = replace(SICK, name=text, identity=Identity(text, text), problems=(text,))
    fleet = Fleet({shown: seen if answers else NotObserved("failed", text)}, person=shown, mdm_is_down=False)
    request = DiagnoseRequest(device=shown, admin=shown, symptom=Symptom.GENERATING_FAILS)
    lines: list[str] = []

    report = diagnosed(fleet, OktaOrg((GONE,)), request=request, lines=lines)

    import click

    page = click.unstyle(as_text(report, report.request))
    assert is_inert(page)
    assert all(is_inert(line) and "\n" not in line for line in lines)
    assert all(is_inert(item) and "\n" not in item for item in (*report.top.missing, *report.top.notes))
    assert isinstance(report.unreadable[0].error if report.unreadable else None, InputError | None)
