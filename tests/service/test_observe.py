"""Observing: one read-only run for up to a hundred devices, and an answer for each of them, whatever happened."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.evidence_factory import NOW
from tests.hostile import CORPUS, is_inert

from scepfix.domain.device import Identity, Observation, StoredCertificate, host_of
from scepfix.domain.platform import Platform
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.service.observe import MOST_DEVICES, NotObserved, observe_devices, reading_of
from scepfix.service.ports import InventoryDevice, PlaybookRunner, RunRequest


@dataclass
class StandInRunner:
    """Runs nothing: each started run is over at once, unless it hangs, and each host answers what it was told to."""

    answers: Mapping[str, StageResult] = field(default_factory=dict)
    hangs: bool = False
    requests: dict[Path, RunRequest] = field(default_factory=dict)

    def start(self, request: RunRequest) -> None:
        assert request.folder not in self.requests
        self.requests[request.folder] = request

    def alive(self, folder: Path) -> bool:
        return self.hangs and folder in self.requests

    def started(self, folder: Path) -> bool:
        return folder in self.requests

    def wait(self, folder: Path, timeout_seconds: float) -> bool:
        return not self.alive(folder)

    def forget_look(self, folder: Path) -> None:
        raise AssertionError("a look is forgotten by whoever asked for it")

    def results(self, folder: Path, hosts: Sequence[str], stage: Stage | None) -> Mapping[str, StageResult]:
        assert stage is None
        assert set(hosts) == set(self.requests[folder].devices)
        lost = StageResult(Stage.INSPECT, StageAnswer.UNKNOWN, "the event stream has a gap")
        return {host: self.answers.get(host, lost) for host in hosts}


def device(name: str, **connection: str | int) -> InventoryDevice:
    return InventoryDevice(
        name, host_of(name), {"ansible_connection": "ssh", "ansible_host": "127.1.0.2", **connection}
    )


def observation(**changes: Any) -> Observation:
    return Observation(Platform.MACOS, NOW, Identity("C02XK1ZZJGH5"), **changes)


def answered(document: object, answer: StageAnswer = StageAnswer.DONE, **facts: object) -> StageResult:
    return StageResult(Stage.INSPECT, answer, facts={"observation": document, **facts})


class Folders:
    def __init__(self, root: Path) -> None:
        self.root, self.made = root, 0

    def __call__(self) -> Path:
        self.made += 1
        return self.root / f"observe-{self.made}"


def test_a_run_is_read_only_and_knows_no_name_but_the_opaque_one(tmp_path: Path) -> None:
    runner = StandInRunner()
    runner_as_port: PlaybookRunner = runner
    pc = device("pc-1", ansible_connection="psrp")

    observe_devices([device("{{ x }}"), pc], runner_as_port, Folders(tmp_path))

    (request,) = runner.requests.values()
    assert (request.read_only, request.stage, request.wait_seconds) == (True, "observe", 0)
    assert request.playbook == "scepfix.device_access.stages.observe"
    assert request.ident == request.folder.name
    assert set(request.connections) == set(request.devices) == {host_of("{{ x }}"), host_of("pc-1")}
    assert request.connections[pc.host] == pc.connection
    assert [request.devices[host]["platform"] for host in request.devices] == ["macos", "windows"]
    assert "{{" not in repr(request.connections)


def test_each_device_gets_its_own_answer(tmp_path: Path) -> None:
    good, quiet, broken, lost = (device(name) for name in ("good", "quiet", "broken", "lost"))
    seen = observation(complete=True)
    runner = StandInRunner(
        {
            good.host: answered(seen.as_document()),
            quiet.host: StageResult(Stage.INSPECT, StageAnswer.UNREACHABLE, facts={"error": "ssh: no route"}),
            broken.host: answered({"platform": "macos"}),
        }
    )

    found = observe_devices([good, quiet, broken, lost], runner, Folders(tmp_path))

    assert found == {
        "good": seen,
        "quiet": NotObserved("unreachable", "ssh: no route"),
        "broken": NotObserved("garbage", "what it answered is no reading of a device"),
        "lost": NotObserved("unknown", "the event stream has a gap"),
    }


def test_more_than_a_hundred_devices_take_several_runs(tmp_path: Path) -> None:
    devices = [device(f"mac-{number}") for number in range(2 * MOST_DEVICES + 1)]
    runner = StandInRunner({one.host: answered(observation(name=one.name).as_document()) for one in devices})

    found = observe_devices(devices, runner, Folders(tmp_path))

    assert [len(request.devices) for request in runner.requests.values()] == [MOST_DEVICES, MOST_DEVICES, 1]
    assert {name: one.name for name, one in found.items() if isinstance(one, Observation)} == {
        one.name: one.name for one in devices
    }


def test_no_device_is_no_run(tmp_path: Path) -> None:
    runner = StandInRunner()

    assert observe_devices([], runner, Folders(tmp_path)) == {}
    assert runner.requests == {}


def test_a_run_that_does_not_end_is_unknown_for_all_of_its_devices(tmp_path: Path) -> None:
    found = observe_devices([device("a"), device("b")], StandInRunner(hangs=True), Folders(tmp_path), timeout_seconds=7)

    reason = "the look at it has not ended within 7 seconds"
    assert found == {"a": NotObserved("unknown", reason), "b": NotObserved("unknown", reason)}


def test_a_device_that_answered_and_could_not_be_read_says_why() -> None:
    found = reading_of(answered(None, StageAnswer.FAILED, error="sudo: a password is required"))

    assert found == NotObserved("failed", "sudo: a password is required")


BAD: dict[str, Any] = {
    "observed_at": "yesterday",
    "platform": "linux",
    "identity": "C02",
    "certificates": [{"der": "*", "store": "system"}],
    "profiles": {"a": 1},
    "enrolled": "yes",
    "daemon_present": 1,
    "clock_offset_seconds": "0",
    "log": "ä",
}


@pytest.mark.parametrize("key", BAD)
def test_a_reading_with_one_wrong_value_is_garbage(key: str) -> None:
    document = {**observation().as_document(), key: BAD[key]}

    assert reading_of(answered(document)) == NotObserved("garbage", "what it answered is no reading of a device")


@pytest.mark.parametrize("document", [[], "text", 7, True, {}, {"observed_at": None}])
def test_another_thing_than_a_reading_is_garbage(document: object) -> None:
    found = reading_of(answered(document))

    assert isinstance(found, NotObserved)
    assert found.code == "garbage"


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), True])
def test_a_clock_that_is_no_number_is_garbage(offset: float) -> None:
    found = reading_of(answered({**observation().as_document(), "clock_offset_seconds": offset}))

    assert isinstance(found, NotObserved)


def test_truths_of_a_certificate_are_truths() -> None:
    document = observation(certificates=(StoredCertificate(b"der", "system"),)).as_document()
    document["certificates"][0]["private_key"] = "no"

    assert isinstance(reading_of(answered(document)), NotObserved)
    assert base64.b64decode(document["certificates"][0]["der"]) == b"der"


@pytest.mark.parametrize("text", CORPUS)
def test_what_a_device_says_of_its_failure_is_inert_and_short(text: str) -> None:
    found = reading_of(StageResult(Stage.INSPECT, StageAnswer.UNREACHABLE, facts={"error": text * 50}))

    assert isinstance(found, NotObserved)
    assert is_inert(found.reason)
    assert "\n" not in found.reason
    assert len(found.reason) <= 300
