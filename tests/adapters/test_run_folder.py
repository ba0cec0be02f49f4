"""The files of a run folder: whole or not at all, numbered once, refused where they are something else."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError, ScepfixError
from scepfix.domain.mdm import CollectedText, ManagedProfile, MdmDevice
from scepfix.domain.mdm_answer import CollectedAnswer, CollectedDevice, MdmAnswer
from scepfix.domain.plan import KnownCertificate
from scepfix.domain.platform import Platform
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import COLLECTOR, Run, RunDevice

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
RUN = Run(
    "intent-1",
    "uninstall",
    {
        "dev-0123456789ab": RunDevice(
            "mac-042",
            Platform.WINDOWS,
            Identity("S", "U", "7"),
            (KnownCertificate("aa", "bb", "cc"),),
            ("dd",),
            "reinstall_scep_profile",
            NOW,
            None,
        )
    },
    config="/etc/scepfix.yml",
    wait_seconds=2.5,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    device = MdmDevice(Identity("S", "U", "7"), "mac", last_seen_at=NOW)
    answer = MdmAnswer(NOW, ManagedProfile("com.example"), {"dev-0123456789ab": device}, "", ("x",), 20)
    result = StageResult(Stage.CONFIRM, StageAnswer.NOT_YET, "the device", {"effects": False})

    folder.write_run(RUN)
    folder.write_mdm(answer)
    folder.write_result("dev-0123456789ab", result)

    assert folder.run() == RUN
    assert folder.mdm() == answer
    assert folder.result("dev-0123456789ab") == ("confirm", result)
    assert folder.result("dev-000000000000") is None


def test_what_collectors_told_is_read_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    record = MdmDevice(Identity("S", "U", "7"), "mac", installed_at=NOW)
    answer = CollectedAnswer(
        NOW,
        {
            "dev-0123456789ab": CollectedDevice(record, CollectedText("scepfix1 \x1b[31m", NOW)),
            "dev-0123456789ac": CollectedDevice(record, CollectedText("", None)),
            "dev-0123456789ad": CollectedDevice(record),
        },
        "mdm-timeout: …",
    )
    device = RunDevice("mac-042", identity=Identity("S"), channel=COLLECTOR)

    folder.write_collected(answer)
    folder.write_run(replace(RUN, devices={"dev-0123456789ab": device}))

    assert folder.collected() == answer
    assert folder.run().devices == {"dev-0123456789ab": device}


@pytest.mark.parametrize("text", ["[]", "{}", '{"at":"x","devices":{},"error":""}', '{"at":"2026-06-01T12:00:00Z"}'])
def test_another_file_is_not_taken_for_what_collectors_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "collected.json").write_text(text)

    with pytest.raises(InputError):
        RunFolder(tmp_path).collected()


def test_a_look_that_is_no_stage_keeps_its_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_result("a", StageResult(Stage.INSPECT, StageAnswer.DONE), "observe")

    found = folder.result("a")
    assert found is not None
    assert found[0] == "observe"


def test_an_effect_is_open_until_it_is_ended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    first, second = folder.begin_effect("exclude", ["7", "8"], "i"), folder.begin_effect("nudge", ["7"], "i")
    folder.end_effect(first)
    third = folder.begin_effect("put-back", ["7"], "i")
    folder.end_effect(third, "mdm: \x1b[31mno")

    found = folder.effects()
    assert [(one.number, one.verb, one.outcome) for one in found] == [
        (first, "exclude", "done"),
        (second, "nudge", ""),
        (third, "put-back", "failed"),
    ]
    assert found[2].error == "mdm: ␛[31mno"
    again = RunFolder(tmp_path / "other")
    (tmp_path / "other").mkdir()
    again.begin_effect("exclude", ["8", "7"], "i")
    assert again.effects()[0].key == found[0].key


def _begin(path: str) -> int:
    return RunFolder(path).begin_effect("delete-certificate", ["aa"], "i")


def test_processes_side_by_side_never_take_the_same_number(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        numbers = pool.map(_begin, [str(tmp_path)] * 40)

    assert sorted(set(numbers)) == sorted(numbers)
    assert len(RunFolder(tmp_path).effects()) == 40


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "scepfix/run/2"}', '{"schema": "scepfix/run/1"}'])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    for name in ("run.json", "mdm.json"):
        (tmp_path / name).write_text(text)
    folder = RunFolder(tmp_path)

    for read in (folder.run, folder.mdm):
        with pytest.raises(InputError) as caught:
            read()
        assert str(tmp_path) in caught.value.where


@pytest.mark.parametrize("host", ["../x", "a/b", "", ".hidden", "a\nb", "-x", "a" * 300, "{{ x }}"])
def test_a_host_that_is_no_file_name_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError):
        RunFolder(tmp_path).write_result(host, StageResult(Stage.CONFIRM, StageAnswer.DONE))
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_is_left_where_a_folder_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ScepfixError):
        RunFolder(tmp_path / "gone").write_run(RUN)


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_run(RUN)
    folder.begin_effect("exclude", ["7"], "i")

    modes = {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")}
    assert modes == {0}
    assert json.loads((tmp_path / "run.json").read_text())["schema"] == "scepfix/run/1"
    assert replace(RUN, by_hand=True) != RUN
