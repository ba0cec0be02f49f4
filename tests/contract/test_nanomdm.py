"""NanoMDM: the real server where it is here, and a small one that is checked against its published description."""

from __future__ import annotations

import os
import plistlib
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from tests.contract.apple_mdm_device import (
    AppleMdmDevice,
    MdmIdentity,
    identity,
    identity_at_once,
    mobileconfig,
    polling,
)
from tests.contract.flow import Commands, run_flow
from tests.contract.nanomdm_face import FOR_DEVICES, NanoMdmFace
from tests.contract.nanomdm_server import absent, run_nanomdm
from tests.contract.openapi import OpenApiContract
from tests.contract.server import Said, Service, serve

from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.nanomdm import NanoMdm
from scepfix.adapters.mdm.nanomdm_journal import Journal
from scepfix.adapters.mdm.nanomdm_receiver import serve_webhook
from scepfix.adapters.mdm.read_only import ReadOnlyMdm
from scepfix.domain.check import CheckResult
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.mdm import MdmDevice
from scepfix.parsers.delivered_profile import PLACEHOLDER
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.simulator.profile import IDENTIFIER
from scepfix.simulator.running import run_world
from scepfix.simulator.world import MacSpec, World

CONTRACT = Path(__file__).parents[3] / "shared/contracts/nanomdm/openapi.yaml"
APPLE = CONTRACT.parents[1] / "apple-device-management/mdm/commands"
APPLE_FILES = {
    "RemoveProfile": "profile.remove.yaml",
    "InstallProfile": "profile.install.yaml",
    "ProfileList": "profile.list.yaml",
    "CertificateList": "certificate.list.yaml",
}
API_KEY, WEBHOOK_KEY = "planted-api-key-1f0e", "planted-webhook-key-2a9b"
PLANTED = ("planted-push-magic", "planted-push-token", "planted-unlock-token", API_KEY, WEBHOOK_KEY)

needs_contract = pytest.mark.skipif(not CONTRACT.exists(), reason="shared/contracts is not beside this checkout")
real_or_small = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("small", marks=needs_contract),
        pytest.param("real", marks=[pytest.mark.slow, pytest.mark.skipif(absent() != "", reason=absent() or "here")]),
    ],
)


class MovedClock:
    """The clock of this computer, moved on by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Site:
    """A world, its devices, a NanoMDM, and scepfix listening beside it."""

    folder: Path
    world: World
    url: str
    devices: Sequence[AppleMdmDevice]
    settings: ServiceSettings
    clock: MovedClock
    journal: Journal
    face: NanoMdmFace | None = None
    service: Service | None = None

    def mdm(self, *, read_only: bool = False) -> NanoMdm:
        return NanoMdm(self.settings, read_only, sleep=self.clock.sleep, now=self.clock.now)

    @property
    def ids(self) -> list[str]:
        return [one.udid for one in self.devices]

    def record(self) -> MdmDevice:
        """The first device, as the MDM has it now; nothing is asked for."""
        serial = self.devices[0].mac.facts.serial_number
        return self.mdm(read_only=True).devices([serial])[serial]

    def poll(self) -> None:
        for one in self.devices:
            one.poll()
        # The real one posts its events on the side.
        time.sleep(0.1 if self.face is None else 0)

    def until(self, true: Callable[[MdmDevice], bool]) -> MdmDevice:
        ends = time.monotonic() + 10
        while not true(self.record()):
            assert time.monotonic() < ends, self.record()
            self.poll()
        return self.record()

    def asked_of_devices(self) -> list[str]:
        return [one["Command"]["RequestType"] for one in self.devices[0].seen]


@contextmanager
def site_of(folder: Path, kind: str, *names: str, enrol: bool = True) -> Iterator[Site]:
    names = names or ("mac-042",)
    world = World.create(folder / "world", [MacSpec(name, scenario="deleted") for name in names])
    identities = [identity_at_once(name) for name in names]
    settings, clock = settings_in(folder, world.mdm.settings().challenge), MovedClock()
    with ExitStack() as stack:
        journal = Journal(folder / "journal.sqlite", IDENTIFIER, clock.now)
        stack.callback(journal.close)
        hook = stack.enter_context(serve_webhook(("127.0.0.1", 0), lambda: WEBHOOK_KEY, journal.take))
        face = service = None
        if kind == "real":
            cas = [one.ca for one in identities]
            url = stack.enter_context(run_nanomdm(folder / "nanomdm", cas, API_KEY, hook, WEBHOOK_KEY)).url
        else:
            face = NanoMdmFace(API_KEY, hook, WEBHOOK_KEY)
            service = stack.enter_context(serve(face, OpenApiContract(CONTRACT, elsewhere=FOR_DEVICES)))
            url = service.url
        devices = [
            AppleMdmDevice(world, world.macs[name], url, one, clock.now)
            for name, one in zip(names, identities, strict=True)
        ]
        settings = replace(settings, options={**settings.options, "url": url})
        site = Site(folder, world, url, devices, settings, clock, journal, face, service)
        if enrol:
            for one in devices:
                one.enrol()
            ends = time.monotonic() + 10
            while len([one for one in journal.devices() if one.serial_number]) < len(devices):
                assert time.monotonic() < ends
                time.sleep(0.02)
            site.mdm().ask_what_is_old()
            while any(one.standing.installed is None for one in journal.devices()) or len(
                journal.certificates(site.ids)
            ) < len(devices):
                assert time.monotonic() < ends
                site.poll()
            clock.sleep(60)
        yield site
        if service is not None:
            assert service.off_contract == []


def settings_in(folder: Path, challenge: str) -> ServiceSettings:
    """Return settings whose files lie in that folder."""
    secrets = {"api_key": API_KEY, "webhook_key": WEBHOOK_KEY, "challenge": challenge}
    for name, value in secrets.items():
        (folder / name).write_text(value + "\n", "utf-8")
    profile = folder / "okta-scep.mobileconfig"
    profile.write_bytes(mobileconfig(PLACEHOLDER))
    # It was there long before the certificates of the world.
    os.utime(profile, (1.6e9, 1.6e9))
    return ServiceSettings(
        "nanomdm",
        {
            "url": "http://127.0.0.1:9",
            "profile": IDENTIFIER,
            "profile_file": "okta-scep.mobileconfig",
            "journal": "journal.sqlite",
        },
        {name: SecretRef("file", name) for name in secrets},
        str(folder),
    )


# --- what devices do ----------------------------------------------------------------------------------------------


@real_or_small
def test_a_device_is_known_by_what_it_tells(tmp_path: Path, kind: str) -> None:
    with site_of(tmp_path, kind) as site:
        record, facts = site.record(), site.devices[0].mac.facts

        assert (record.identity.serial_number, record.identity.hardware_uuid) == (
            facts.serial_number,
            facts.hardware_uuid,
        )
        assert (record.identity.mdm_id, record.name, record.managed) == (facts.hardware_uuid, "mac-042", True)
        assert (record.excluded, record.profile_installed, record.installed_at) == (False, True, None)
        assert site.mdm().profile().last_issued_at is not None
        assert {one.id: one.result for one in site.mdm(read_only=True).checks()} == {
            "mdm.credentials": CheckResult.PASS,
            "mdm.profile": CheckResult.PASS,
            "mdm.webhook": CheckResult.PASS,
            # Version 0.9 cannot say it.
            "mdm.push": CheckResult.UNKNOWN,
            "mdm.exclusion-group": CheckResult.PASS,
        }


@real_or_small
def test_a_profile_goes_and_comes_back(tmp_path: Path, kind: str) -> None:
    with site_of(tmp_path, kind, "mac-042", "mac-043") as site:
        mdm, before = site.mdm(), site.clock.now()
        certificates = {one.der for one in mdm.certificates(site.ids)[site.ids[0]].certificates}

        mdm.exclude(site.ids)
        waiting = site.record()
        assert (waiting.excluded, waiting.removal_pending, waiting.profile_installed) == (True, True, True)
        gone = site.until(lambda record: not record.removal_pending)
        assert (gone.excluded, gone.profile_installed) == (True, False)
        assert gone.removed_at is not None
        assert gone.removed_at > before
        assert {one.identity.mdm_id for one in mdm.members()} == set(site.ids)

        mdm.put_back(site.ids)
        assert (site.record().excluded, site.record().install_status) == (False, "Pending")
        back = site.until(lambda record: record.install_status == "Acknowledged")
        assert back.installed_at is not None
        assert back.installed_at > gone.removed_at
        assert (back.profile_installed, mdm.members()) == (True, ())

        site.clock.sleep(600)
        mdm.certificates(site.ids)
        site.poll()
        listed = mdm.certificates(site.ids)[site.ids[0]]
        assert listed.taken_at > back.installed_at
        new = {one.der for one in listed.certificates} - certificates
        assert len(new) == 1
        assert new <= {one.der for one in site.devices[0].mac.system_keychain.items()}


@real_or_small
def test_a_removal_that_was_put_off_and_overtaken_leaves_nobody_behind(tmp_path: Path, kind: str) -> None:
    with site_of(tmp_path, kind) as site:
        mdm, device = site.mdm(), site.devices[0]
        device.told["RemoveProfile"] = "NotNow"
        mdm.exclude(site.ids)
        site.until(lambda record: device.seen[-1]["Command"]["RequestType"] == "RemoveProfile")
        mdm.put_back(site.ids)
        overtaken = site.until(lambda record: record.install_status == "Acknowledged")
        assert (overtaken.excluded, overtaken.removal_pending) == (False, True)

        del device.told["RemoveProfile"]
        site.poll()
        site.clock.sleep(120)
        mdm.devices([device.mac.facts.serial_number])
        site.until(lambda record: not record.removal_pending)

        if site.face is not None:
            # Sent again at last, behind the install: it took away what that had brought.
            assert (site.record().excluded, site.record().profile_installed) == (True, False)
            assert [one.identity.mdm_id for one in mdm.members()] == site.ids
            mdm.put_back(site.ids)
            site.until(lambda record: record.profile_installed is True)
        else:
            # The storage filekv of 0.9 sends what is behind a command that was put off twice, and then forgets that
            # command (storage/kv/queue_ll.go, unlink).
            assert site.asked_of_devices().count("InstallProfile") == 2
        assert (site.record().excluded, site.record().profile_installed) == (False, True)
        assert device.mac.profile_installed_at() is not None


@real_or_small
def test_a_device_that_refuses_the_install_is_still_owed_it(tmp_path: Path, kind: str) -> None:
    with site_of(tmp_path, kind) as site:
        mdm = site.mdm()
        site.world.tell("mac-042", "ca-refuses", "yes")
        mdm.exclude(site.ids)
        site.until(lambda record: record.profile_installed is False)
        mdm.put_back(site.ids)
        refused = site.until(lambda record: record.install_status == "Error")
        assert refused.excluded

        site.world.tell("mac-042", "ca-refuses", "no")
        mdm.put_back(site.ids)
        assert not site.until(lambda record: record.install_status == "Acknowledged").excluded


@real_or_small
def test_a_removal_of_what_is_not_there_ends_by_a_list(tmp_path: Path, kind: str) -> None:
    with site_of(tmp_path, kind) as site:
        mdm, serial = site.mdm(), site.devices[0].mac.facts.serial_number
        site.devices[0].mac.remove_profile(site.world.mdm.settings())
        mdm.exclude(site.ids)
        site.until(lambda record: not record.removal_pending)
        assert site.record().profile_installed is True

        mdm.devices([serial])

        assert site.until(lambda record: record.profile_installed is False).excluded


@real_or_small
def test_enrolling_anew_leaves_nobody_owed_for_ever(tmp_path: Path, kind: str) -> None:
    with site_of(tmp_path, kind) as site:
        mdm = site.mdm()
        mdm.exclude(site.ids)
        site.until(lambda record: record.profile_installed is False)
        mdm.put_back(site.ids)
        site.devices[0].enrol()
        time.sleep(0.1 if site.face is None else 0)
        site.poll()

        # NanoMDM has emptied the queue: the install is gone, and the device is owed it again.
        assert "InstallProfile" not in site.asked_of_devices()
        assert (site.record().excluded, site.record().profile_installed) == (True, None)
        mdm.put_back(site.ids)
        assert not site.until(lambda record: record.profile_installed is True).excluded


@real_or_small
def test_a_device_that_left_is_not_managed(tmp_path: Path, kind: str) -> None:
    with site_of(tmp_path, kind) as site:
        site.devices[0].check_out()
        time.sleep(0.1 if site.face is None else 0)

        assert not site.record().managed


@needs_contract
def test_a_device_from_before_us_tells_who_it_is_when_it_is_asked(tmp_path: Path) -> None:
    with site_of(tmp_path, "small", enrol=False) as site:
        assert site.face is not None
        site.face.listening = False
        site.devices[0].enrol()
        site.face.listening = True
        site.poll()
        assert site.mdm(read_only=True).devices([site.devices[0].mac.facts.serial_number]) == {}

        site.mdm().ask_what_is_old()
        site.poll()

        assert site.asked_of_devices() == ["DeviceInformation", "ProfileList", "CertificateList"]
        assert site.record().profile_installed is True
        site.mdm().ask_what_is_old()
        site.poll()
        assert len(site.asked_of_devices()) == 3


@needs_contract
def test_an_answer_that_nobody_took_is_found_by_a_list(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        mdm, serial, face = site.mdm(), site.devices[0].mac.facts.serial_number, site.face
        assert face is not None

        def unheard(change: Callable[[list[str]], None]) -> None:
            change(site.ids)
            face.listening = False
            site.poll()
            face.listening = True
            site.clock.sleep(90)
            mdm.devices([serial])
            site.poll()

        unheard(mdm.exclude)
        gone = site.record()
        assert (gone.excluded, gone.removal_pending, gone.profile_installed) == (True, False, False)
        assert gone.removed_at is not None
        unheard(mdm.put_back)
        back = site.record()
        assert (back.excluded, back.install_status, back.profile_installed) == (False, "Acknowledged", True)
        assert back.installed_at is not None
        assert back.installed_at > gone.removed_at


@needs_contract
def test_commands_and_answers_are_those_of_apples_reference(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        mdm = site.mdm()
        mdm.exclude(site.ids)
        site.poll()
        mdm.put_back(site.ids)
        site.poll()
        sent = {one["Command"]["RequestType"]: one["Command"] for one in site.devices[0].seen}
        answers = {kind: site.devices[0]._do(command) for kind, command in sent.items()}

    for kind, file in APPLE_FILES.items():
        said = yaml.safe_load((APPLE / file).read_text("utf-8"))
        assert said["payload"]["requesttype"] == kind
        for keys, found in (("payloadkeys", sent[kind]), ("responsekeys", answers[kind])):
            listed = {one["key"]: one["presence"] for one in said.get(keys, ())}
            assert found.keys() - {"RequestType", "Status", "ErrorChain"} <= listed.keys()
            assert {key for key, presence in listed.items() if presence == "required"} <= found.keys()


# --- what goes wrong ----------------------------------------------------------------------------------------------


def enqueues(service: Service) -> list[str]:
    return [plistlib.loads(one.body)["CommandUUID"] for one in service.asked if "/enqueue/" in one.path]


def raised(call: Callable[[], object]) -> ScepfixError:
    with pytest.raises(ScepfixError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value


@needs_contract
def test_a_rotated_key_counts_at_once(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.face is not None
        assert site.service is not None
        mdm = site.mdm()
        mdm.exclude(site.ids)
        site.face.api_key = "another-key"
        (tmp_path / "api_key").write_text("another-key\n")
        site.service.inject(Said(401, body=b"Unauthorized", content_type="text/plain"))

        mdm.put_back(site.ids)

        assert not site.record().excluded


@needs_contract
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "mdm-credentials"), (403, "mdm-privilege"), (404, "mdm-tenant"), (409, "mdm-refused"), (410, "mdm-refused")],
)
def test_a_refusal_is_one_line_and_leaves_nobody_excluded(tmp_path: Path, status: int, code: str) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.service is not None
        refusal = Said(status, body=b"no", content_type="text/plain")

        site.service.inject(refusal, refusal)
        assert raised(site.mdm().profile).code == ("mdm-refused" if status in (409, 410) else code)
        site.service._faults.clear()
        site.service.inject(refusal, refusal)
        error = raised(lambda: site.mdm().exclude(site.ids))

        assert error.code == code
        assert error.hint
        assert (site.record().excluded, site.mdm().members()) == (False, ())


@needs_contract
def test_another_server_at_that_address_is_no_nanomdm(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.service is not None
        site.service.inject(Said(200, body=b"<html>Welcome</html>", content_type="text/html"))

        assert raised(site.mdm().profile).code == "mdm-tenant"


@needs_contract
@pytest.mark.parametrize("retry_after", [(("Retry-After", "7"),), ()])
def test_a_429_costs_time_only(tmp_path: Path, retry_after: tuple[tuple[str, str], ...]) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.service is not None
        before, ahead = len(enqueues(site.service)), site.clock.ahead
        site.service.inject(*[Said(429, {"error": "slow down"}, headers=retry_after)] * 5)

        site.mdm().exclude(site.ids)

        assert len(set(enqueues(site.service)[before:])) == 1
        assert site.clock.ahead - ahead >= timedelta(seconds=35 if retry_after else 5)
        site.until(lambda record: record.profile_installed is False)
        assert site.asked_of_devices().count("RemoveProfile") == 1


@needs_contract
@pytest.mark.parametrize(
    "said",
    [
        Said(500, body=b"upstream failed", content_type="text/plain"),
        Said(502, body=b"", content_type="text/html"),
        Said(200, {"command_uuid": "x" * 40}, cut=True),
        Said(200, body=b"{", content_type="application/json"),
        Said(200, ["a", "list"]),
        Said(200, {"command_uuid": "of somebody else", "request_type": "RemoveProfile"}),
    ],
    ids=["500", "502", "cut", "malformed", "a list", "another command"],
)
@pytest.mark.parametrize("arrived", [True, False])
def test_a_command_without_an_answer_is_sent_again_as_the_same(tmp_path: Path, said: Said, arrived: bool) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.face is not None
        assert site.service is not None
        mdm, before = site.mdm(), len(enqueues(site.service))
        site.service.inject(*[said] * 4)

        error = raised(lambda: mdm.exclude(site.ids))
        assert error.code in ("mdm-unreachable", "mdm-answer")
        # It may be in the queue: whoever rescues must count it, and whoever repairs must ask again.
        assert ([one.identity.mdm_id for one in mdm.members()], site.record().excluded) == (site.ids, False)
        (uid,) = set(enqueues(site.service)[before:])
        site.service._faults.clear()
        if arrived:
            body = next(one.body for one in site.service.asked if uid.encode() in one.body)
            site.face._enqueue(site.ids, body, push=False)

        mdm.exclude(site.ids)

        assert set(enqueues(site.service)[before:]) == {uid}
        assert site.record().excluded
        site.until(lambda record: record.profile_installed is False)
        assert site.asked_of_devices().count("RemoveProfile") == 1


@needs_contract
def test_a_slow_answer_is_waited_for(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.service is not None
        site.service.inject(Said(400, {"error": "no PEM"}, slow_seconds=0.5))

        assert site.mdm().profile().identifier == IDENTIFIER


@needs_contract
def test_a_device_whose_queue_cannot_be_written_is_told_and_not_excluded(tmp_path: Path) -> None:
    with site_of(tmp_path, "small", "mac-042", "mac-043") as site:
        assert site.face is not None
        mdm = site.mdm()
        mdm.exclude(site.ids)
        site.poll()
        site.face.refuses = {site.ids[1]}

        error = raised(lambda: mdm.put_back(site.ids))

        assert (error.code, error.message) == ("mdm-refused", "it did not take InstallProfile for 1 of 2 devices")
        # NanoMDM repeats the command in its reason: the challenge would be in it.
        assert site.world.mdm.settings().challenge not in repr(error.as_document())
        assert [one.identity.mdm_id for one in mdm.members()] == [site.ids[1]]


@needs_contract
def test_a_push_that_fails_fails_nothing_else(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.face is not None
        mdm = site.mdm()
        assert raised(lambda: mdm.nudge(site.ids)).message == "1 of 1 devices could not be pushed"

        site.face.push_certificate = True
        mdm.nudge(site.ids)
        assert site.face.pushes == site.ids
        assert raised(lambda: mdm.nudge([*site.ids, "0" * 40])).message == "1 of 2 devices could not be pushed"


@needs_contract
def test_a_silent_device_is_asked_once_and_pushed(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.face is not None
        site.face.push_certificate = True
        serial, before = site.devices[0].mac.facts.serial_number, len(site.asked_of_devices())
        site.clock.sleep(600)
        for _ in range(3):
            site.mdm().devices([serial])

        site.poll()

        assert site.face.pushes == site.ids
        assert site.asked_of_devices()[before:] == ["ProfileList"]
        assert site.clock.now() - (site.record().last_seen_at or site.clock.now()) < timedelta(minutes=1)


@needs_contract
def test_who_may_only_read_sends_nothing_and_writes_nothing(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.service is not None
        site.clock.sleep(3600)
        written = (tmp_path / "journal.sqlite").read_bytes()
        asked = len(enqueues(site.service))
        mdm = site.mdm(read_only=True)
        serial = site.devices[0].mac.facts.serial_number

        assert (mdm.devices([serial])[serial].excluded, mdm.members()) == (False, ())
        assert mdm.certificates(site.ids)[site.ids[0]].certificates
        assert (mdm.profile().comes_back, mdm.collected(site.ids)) == ("", {})
        looking = ReadOnlyMdm(mdm)
        for change in (looking.exclude, looking.put_back, looking.nudge):
            assert raised(lambda change=change: change(site.ids)).code == "mdm-refused"  # type: ignore[misc]

        assert (tmp_path / "journal.sqlite").read_bytes() == written
        assert len(enqueues(site.service)) == asked
        other = replace(site.settings, options={**site.settings.options, "journal": "none/at-all.sqlite"})
        assert NanoMdm(other, True).devices([serial]) == {}
        assert not (tmp_path / "none").exists()


@needs_contract
def test_without_a_webhook_key_the_doctor_says_who_can_post_events(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        unsigned = {key: ref for key, ref in site.settings.secrets.items() if key != "webhook_key"}
        mdm = NanoMdm(replace(site.settings, secrets=unsigned), True, sleep=site.clock.sleep, now=site.clock.now)

        found = {one.id: one for one in mdm.checks()}["mdm.webhook"]

        assert found.result is CheckResult.UNKNOWN
        assert "any user of this computer" in found.message
        assert "-webhook-hmac-key" in found.hint
        # That nothing comes at all is worse.
        site.clock.sleep(3 * 86400)
        assert {one.id: one for one in mdm.checks()}["mdm.webhook"].result is CheckResult.FAIL


@needs_contract
@pytest.mark.parametrize("lost", ["journal", "serial number"])
def test_a_mac_that_is_offline_is_sent_one_install_however_often_it_is_put_back(tmp_path: Path, lost: str) -> None:
    """The engine puts back a device that no record shows at each of its looks."""
    with site_of(tmp_path, "small") as site:
        assert site.face is not None
        site.mdm().exclude(site.ids)
        settings = site.settings
        if lost == "journal":
            settings = replace(settings, options={**settings.options, "journal": "new.sqlite"})
        else:
            with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
                connection.execute("UPDATE device SET serial_number = ''")
            connection.close()
        serial = site.devices[0].mac.facts.serial_number
        for _ in range(6):
            mdm = NanoMdm(settings, False, sleep=site.clock.sleep, now=site.clock.now)
            assert mdm.devices([serial]) == {}
            mdm.put_back(site.ids)
            site.clock.sleep(120)

        site.poll()

        assert site.asked_of_devices().count("InstallProfile") == 1
        assert site.devices[0].mac.profile_installed_at() is not None
        if lost == "serial number":
            mdm.put_back(site.ids)
            site.poll()
            assert site.asked_of_devices().count("InstallProfile") == 1


@needs_contract
def test_an_event_that_is_posted_anew_is_answered_200_and_tells_nothing(tmp_path: Path) -> None:
    """As somebody would who saw a signed event go by."""
    with site_of(tmp_path, "small") as site, recorded(site) as posts:
        mdm = site.mdm()
        site.clock.sleep(600)
        mdm.certificates(site.ids)
        site.poll()
        site.devices[0].check_out()
        site.devices[0].enrol()
        mdm.exclude(site.ids)
        site.until(lambda record: record.profile_installed is False)
        mdm.put_back(site.ids)
        site.until(lambda record: record.profile_installed is True)
        site.clock.sleep(600)
        mdm.certificates(site.ids)
        site.poll()
        before = (site.record(), mdm.certificates(site.ids))

        assert len(posts) > 8
        assert [posted_anew(*one) for one in posts] == [200] * len(posts)

        assert (site.record(), mdm.certificates(site.ids)) == before


@contextmanager
def recorded(site: Site) -> Iterator[list[tuple[str, bytes, dict[str, str]]]]:
    """Yield what the small NanoMDM posts to the webhook from here on."""
    assert site.face is not None
    posts: list[tuple[str, bytes, dict[str, str]]] = []

    class Recording(urllib3.PoolManager):
        def request(self, method: str, url: str, **more: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
            posts.append((url, more["body"], more["headers"]))
            return super().request(method, url, **more)

    with Recording(retries=False, timeout=urllib3.Timeout(10)) as pool:
        before, site.face._pool = site.face._pool, pool
        yield posts
        site.face._pool = before


def posted_anew(url: str, body: bytes, headers: dict[str, str]) -> int:
    with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(10)) as pool:
        return pool.request("POST", url, body=body, headers=headers).status


@needs_contract
def test_a_hundred_devices_take_one_call_each_way(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        assert site.service is not None
        site.clock.sleep(5)
        ids = [f"{number:08X}-0000-4000-8000-000000000000" for number in range(250)]
        before = len(enqueues(site.service))

        site.mdm().exclude(ids)
        site.mdm().put_back(ids)

        assert len(enqueues(site.service)) - before == 6


@needs_contract
@pytest.mark.parametrize("wrong", ["", "1,2", "../pushcert", "A:user", "A b", "Ä", "A" * 65])
def test_an_id_that_nanomdm_never_gave_is_not_asked_about(tmp_path: Path, wrong: str) -> None:
    settings = settings_in(tmp_path, "challenge")
    for call in (NanoMdm(settings, False).exclude, NanoMdm(settings, False).nudge):
        with pytest.raises(MdmError):
            call([wrong])
    assert NanoMdm(settings, True).members() == ()


# --- the profile's file -------------------------------------------------------------------------------------------


@needs_contract
def test_a_file_that_cannot_be_sent_says_so_before_anything_is_taken_away(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        unset = {key: ref for key, ref in site.settings.secrets.items() if key != "challenge"}
        without = NanoMdm(replace(site.settings, secrets=unset), True)
        assert "the settings name no challenge" in without.profile().comes_back
        assert {one.id: one.result for one in without.checks()}["mdm.profile"] is CheckResult.FAIL

        file = tmp_path / "okta-scep.mobileconfig"
        for content, told in (
            (mobileconfig(PLACEHOLDER, "com.example.other"), "this is profile com.example.other"),
            (b"<html></html>", "no property list"),
            (b"", ""),
        ):
            file.write_bytes(content)
            error = raised(site.mdm().profile)
            assert isinstance(error, UsageError)
            assert told in error.message
        file.unlink()
        assert isinstance(raised(site.mdm().profile), UsageError)


@needs_contract
def test_the_challenge_is_in_the_device_and_nowhere_else(tmp_path: Path) -> None:
    with site_of(tmp_path, "small") as site:
        mdm = site.mdm()
        mdm.exclude(site.ids)
        site.poll()
        mdm.put_back(site.ids)
        site.until(lambda record: record.profile_installed is True)

        kept = (tmp_path / "journal.sqlite").read_bytes()
        secrets = (*PLANTED, site.world.mdm.settings().challenge)
        assert [one for one in secrets if one.encode() in kept] == []
        assert [one for one in secrets if one in repr((mdm, vars(mdm), mdm.profile(), site.record()))] == []


# --- the whole device flow ----------------------------------------------------------------------------------------


@contextmanager
def served(config: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run ``scepfix serve`` as a process of its own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "xdg")}
    process = subprocess.Popen(
        [sys.executable, "-m", "scepfix", "serve", "--config", str(config)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        assert "listening for NanoMDM" in process.stderr.readline()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


@pytest.mark.slow
@real_or_small
def test_the_whole_flow_through_nanomdm(tmp_path: Path, kind: str) -> None:
    flow = tmp_path / "flow"
    flow.mkdir()
    with ExitStack() as stack:
        macs = [MacSpec("mac-042", scenario="deleted")]
        running = stack.enter_context(run_world(tmp_path / "world", macs, checkin_seconds=3600))
        challenge, mac = running.world.mdm.settings().challenge, running.world.macs["mac-042"]
        # Beside what the commands write, where the secrets are looked for.
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        port = free_port()
        options = settings_in(secrets, challenge).options
        settings = {
            **options,
            "kind": "nanomdm",
            "profile_file": str(secrets / "okta-scep.mobileconfig"),
            "journal": str(flow / "journal.sqlite"),
            "listen": f"127.0.0.1:{port}",
            **{name: {"file": str(secrets / name)} for name in ("api_key", "webhook_key", "challenge")},
        }
        of_device = identity(tmp_path / "scep", "mac-042")
        hook = f"http://127.0.0.1:{port}/webhook"
        url = stack.enter_context(nanomdm_of(tmp_path, kind, of_device, hook))
        settings["url"] = url
        stack.enter_context(served(Commands(flow, running, settings).config, flow))
        device = AppleMdmDevice(running.world, mac, url, of_device)
        device.enrol()
        stack.enter_context(polling([device]))
        wait_until(lambda: len(device.seen) == 2)

        told = run_flow(flow, running, settings)

        kinds = [one["Command"]["RequestType"] for one in device.seen]
        assert (kinds.count("RemoveProfile"), kinds.count("InstallProfile")) == (1, 1)
        assert [one for one in (*running.world.secrets(), *PLANTED) if one in told.written] == []


@contextmanager
def nanomdm_of(folder: Path, kind: str, of_device: MdmIdentity, hook: str) -> Iterator[str]:
    if kind == "real":
        with run_nanomdm(folder / "nanomdm", [of_device.ca], API_KEY, hook, WEBHOOK_KEY) as server:
            yield server.url
    else:
        with serve(
            NanoMdmFace(API_KEY, hook, WEBHOOK_KEY), OpenApiContract(CONTRACT, elsewhere=FOR_DEVICES)
        ) as service:
            yield service.url
            assert service.off_contract == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)
