"""Runs of playbooks: recorded ones read again, damaged ones distrusted, real ones killed and found again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.adapters.record_runs import HOSTS, kill_ansible_playbook

from scepfix.adapters.ansible.processes import command_lines, command_lines_of_ps, run_is_alive
from scepfix.adapters.ansible.runner import AnsibleRunner
from scepfix.adapters.run_events import read_run_events
from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.errors import ScepfixError
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import Run
from scepfix.service.ports import RunRequest

RECORDED = Path(__file__).parent / "recorded_runs"
A, B = HOSTS
LOCAL = {"ansible_connection": "local"}


def recorded(tmp_path: Path, situation: str, stage: Stage = Stage.INSPECT) -> Path:
    """Return a run folder with these events, in which the stage left an answer for each device."""
    folder = tmp_path / situation
    shutil.copytree(RECORDED / situation, folder)
    for host in HOSTS:
        RunFolder(folder).write_result(host, StageResult(stage, StageAnswer.DONE, facts={"of": host}))
    return folder


def results(folder: Path, stage: Stage | None = Stage.INSPECT) -> dict[str, StageResult]:
    return dict(AnsibleRunner(folder.parent / "state", None).results(folder, HOSTS, stage))


def answers(folder: Path, stage: Stage | None = Stage.INSPECT) -> list[StageAnswer]:
    return [results(folder, stage)[host].answer for host in HOSTS]


def event_files(folder: Path) -> list[Path]:
    files = (folder / "artifacts" / "recorded" / "job_events").iterdir()
    return sorted(files, key=lambda file: int(file.name.partition("-")[0]))


DONE, UNKNOWN, UNREACHABLE = StageAnswer.DONE, StageAnswer.UNKNOWN, StageAnswer.UNREACHABLE


# --- recorded runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        ("whole", [DONE, DONE]),
        ("at-the-mdm-only", [DONE, DONE]),
        ("one-rescued", [DONE, DONE]),
        ("one-failed", [DONE, DONE]),
        ("one-unreachable", [DONE, UNREACHABLE]),
        ("nothing-matched", [UNKNOWN, UNKNOWN]),
        ("killed-halfway", [UNKNOWN, UNKNOWN]),
    ],
)
def test_a_recorded_run_is_read(tmp_path: Path, situation: str, expected: list[StageAnswer]) -> None:
    assert answers(recorded(tmp_path, situation)) == expected


def test_each_host_gets_its_own_answer(tmp_path: Path) -> None:
    found = results(recorded(tmp_path, "whole"))

    assert {host: result.facts["of"] for host, result in found.items()} == {A: A, B: B}


def test_status_and_return_code_are_no_evidence(tmp_path: Path) -> None:
    """Successful without statistics was seen in the wild; a failed run may have answered for everybody."""
    killed = recorded(tmp_path, "killed-halfway")
    (killed / "artifacts/recorded/rc").write_text("0")
    (killed / "artifacts/recorded/status").write_text("successful")
    whole = recorded(tmp_path, "whole")
    (whole / "artifacts/recorded/rc").unlink()
    (whole / "artifacts/recorded/status").write_text("failed")

    assert answers(killed) == [UNKNOWN, UNKNOWN]
    assert answers(whole) == [DONE, DONE]


@pytest.mark.parametrize("number", range(17))
def test_any_torn_event_makes_the_run_unknown(tmp_path: Path, number: int) -> None:
    folder = recorded(tmp_path, "whole")
    file = event_files(folder)[number]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    found = results(folder)

    assert {result.answer for result in found.values()} == {UNKNOWN}
    assert found[A].facts["error"] == f"event {number + 1} cannot be read"


@pytest.mark.parametrize("number", range(17))
def test_any_missing_event_makes_the_run_unknown(tmp_path: Path, number: int) -> None:
    folder = recorded(tmp_path, "whole")
    event_files(folder)[number].unlink()

    found = results(folder)

    assert {result.answer for result in found.values()} == {UNKNOWN}
    missing = "the statistics are missing" if number == 16 else f"event {number + 1} is not there"
    assert str(found[A].facts["error"]).startswith(missing)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"counter": 3}', b"\xff", b"[" * 100_000])
def test_an_event_that_is_something_else_makes_the_run_unknown(tmp_path: Path, content: bytes) -> None:
    folder = recorded(tmp_path, "whole")
    event_files(folder)[5].write_bytes(content)

    assert answers(folder) == [UNKNOWN, UNKNOWN]


def test_a_second_run_in_the_folder_makes_it_unknown(tmp_path: Path) -> None:
    """Started twice, ansible-runner counts from one again: every counter is there twice."""
    folder = recorded(tmp_path, "whole")
    for file in event_files(folder):
        shutil.copy(file, file.with_name(f"{file.name.partition('-')[0]}-another-run.json"))

    assert results(folder)[A].facts["error"] == "event 1 is double"


def test_loose_output_after_the_statistics_is_allowed_and_a_task_is_not(tmp_path: Path) -> None:
    folder = recorded(tmp_path, "whole")
    more = event_files(folder)[0].with_name("18-more.json")

    more.write_text(json.dumps({"counter": 18, "event": "verbose", "stdout": "[WARNING]"}))
    assert answers(folder) == [DONE, DONE]

    more.write_text(json.dumps({"counter": 18, "event": "runner_on_ok", "event_data": {}}))
    assert answers(folder) == [UNKNOWN, UNKNOWN]


def test_unfinished_files_are_no_events(tmp_path: Path) -> None:
    folder = recorded(tmp_path, "whole")
    for name in ("abc-partial.json", "18-abc.json.tmp", "18-abc-partial.json", "nothing"):
        (folder / "artifacts/recorded/job_events" / name).write_text("{")

    assert answers(folder) == [DONE, DONE]


@pytest.mark.parametrize("data", [{}, {"processed": None}, {"processed": [A, B]}, {"processed": {A: 1}}, None])
def test_every_device_must_be_in_the_statistics(tmp_path: Path, data: object) -> None:
    folder = recorded(tmp_path, "whole")
    last = event_files(folder)[-1]
    last.write_text(json.dumps({"counter": 17, "event": "playbook_on_stats", "event_data": data}))

    assert answers(folder) == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": "scepfix/result/1"}', b"[" * 100_000]
)
def test_an_answer_that_cannot_be_read_is_unknown_for_that_device_alone(tmp_path: Path, content: bytes | None) -> None:
    folder = recorded(tmp_path, "whole")
    file = folder / "result" / f"{A}.json"
    file.unlink() if content is None else file.write_bytes(content)

    assert answers(folder) == [UNKNOWN, DONE]


@pytest.mark.parametrize(
    "changes",
    [{"schema": "scepfix/result/2"}, {"stage": "confirm"}, {"answer": "fixed"}, {"facts": []}, {"facts": None}],
)
def test_an_answer_of_another_kind_is_unknown(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = recorded(tmp_path, "whole")
    file = folder / "result" / f"{A}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    assert answers(folder) == [UNKNOWN, DONE]


def test_unreachable_wins_over_an_answer(tmp_path: Path) -> None:
    folder = recorded(tmp_path, "one-unreachable")
    RunFolder(folder).write_result(B, StageResult(Stage.INSPECT, StageAnswer.DONE))

    assert answers(folder) == [DONE, UNREACHABLE]


def test_what_a_stage_waits_for_is_inert(tmp_path: Path) -> None:
    folder = recorded(tmp_path, "whole")
    RunFolder(folder).write_result(A, StageResult(Stage.INSPECT, StageAnswer.NOT_YET, "\x1b[2J{{ 7 }}\n"))

    assert results(folder)[A].waiting_for == "␛[2J{{ 7 }}␊"


def test_what_nobody_knows_says_whether_something_may_have_been_changed(tmp_path: Path) -> None:
    folder = recorded(tmp_path, "killed-halfway")
    assert results(folder)[A].facts["effects"] is False

    journal = RunFolder(folder)
    journal.begin_effect("nudge", ["1"], "intent")
    assert results(folder)[A].facts["effects"] is False

    journal.begin_effect("exclude", ["1"], "intent")
    assert results(folder)[A].facts["effects"] is True


def test_a_look_that_is_no_stage_is_read_too(tmp_path: Path) -> None:
    folder = recorded(tmp_path, "whole")
    for host in HOSTS:
        RunFolder(folder).write_result(host, StageResult(Stage.INSPECT, StageAnswer.DONE), "observe")

    assert answers(folder, None) == [DONE, DONE]
    assert answers(folder, Stage.INSPECT) == [UNKNOWN, UNKNOWN]


def test_a_folder_without_a_run_is_unknown(tmp_path: Path) -> None:
    assert answers(tmp_path / "nothing") == [UNKNOWN, UNKNOWN]
    assert read_run_events(tmp_path).broken == "there are no events"


# --- what Ansible is given --------------------------------------------------------------------------------------------


def request(tmp_path: Path, text: str = "", **changes: object) -> RunRequest:
    """Return a run of that playbook on two devices, which are this computer."""
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(textwrap.dedent(text))
    given: dict[str, object] = {
        "folder": tmp_path / "state" / "runs" / "inspect-1",
        "ident": "inspect-1",
        "playbook": str(playbook),
        "stage": "inspect",
        "connections": {A: LOCAL, B: LOCAL},
        "devices": {A: {"name": "mac-{{ 7 }}"}, B: {"name": "mac-b"}},
        **changes,
    }
    return RunRequest(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "connection"),
    [
        ("mac-042", LOCAL),
        ("dev-{{ 7 }}aaaaaa", LOCAL),
        ("localhost", LOCAL),
        (A, {"ansible_host": "{{ lookup('pipe', 'id') }}"}),
        (A, {"ansible_host": "127.0.0.1", "ansible_user": "{% if 1 %}"}),
        (A, {"ansible_host": "127.0.0.1", "ansible_ssh_common_args": "-o ProxyCommand=id"}),
        (A, {"ansible_host": "127.0.0.1", "ansible_ssh_executable": "/tmp/ssh"}),
        (A, {"ansible_host": "127.0.0.1", "ansible_password": "hunter2"}),
        (A, {"ansible_host": "127.0.0.1\n"}),
    ],
)
def test_only_plain_hosts_and_connections_reach_ansible(
    tmp_path: Path, host: str, connection: dict[str, str | int]
) -> None:
    wanted = request(tmp_path, connections={host: connection}, devices={})

    with pytest.raises(ScepfixError) as refused:
        AnsibleRunner(tmp_path / "state", None).start(wanted)

    assert refused.value.code == "connection-refused"
    assert "hunter2" not in str(refused.value)
    assert not wanted.folder.exists()


def test_the_inventory_holds_opaque_names_and_nothing_of_the_device(tmp_path: Path) -> None:
    wanted = request(tmp_path)
    AnsibleRunner(tmp_path / "state", "/etc/scepfix.yml").prepare(wanted)

    inventory = json.loads((wanted.folder / "inventory/hosts.json").read_text())

    assert inventory == {
        "all": {
            "vars": {"scepfix_run": str(wanted.folder)},
            "children": {"scepfix_devices": {"hosts": {A: LOCAL, B: LOCAL}}},
        }
    }
    run = RunFolder(wanted.folder).run()
    assert isinstance(run, Run)
    assert (run.intent, run.stage, run.config, run.wait_seconds) == ("inspect-1", "inspect", "/etc/scepfix.yml", 0)
    assert run.devices[A].name == "mac-{{ 7 }}"


def test_preparing_again_is_the_same(tmp_path: Path) -> None:
    """A starter that was killed halfway is followed by another one."""
    runner, wanted = AnsibleRunner(tmp_path / "state", None), request(tmp_path)
    runner.prepare(wanted)
    before = {file: file.read_bytes() for file in wanted.folder.rglob("*") if file.is_file()}
    runner.prepare(wanted)

    assert {file: file.read_bytes() for file in wanted.folder.rglob("*") if file.is_file()} == before
    assert not runner.started(wanted.folder)


def test_a_folder_whose_path_is_a_template_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "{{ 7 }}"

    with pytest.raises(ScepfixError, match="brace"):
        AnsibleRunner(state, None).prepare(request(tmp_path, folder=state / "runs" / "x"))


# --- real runs --------------------------------------------------------------------------------------------------------

ANSWERS = """
- name: Answer for each device
  hosts: scepfix_devices
  gather_facts: false
  tasks:
    - name: Answer
      ansible.builtin.raw: >-
        printf '{"schema":"scepfix/result/1","stage":"inspect","answer":"done","waiting_for":"","facts":{}}'
        > {{ scepfix_run }}/result/{{ inventory_hostname }}.json
"""
SLOW = """
- name: Take long
  hosts: scepfix_devices
  gather_facts: false
  tasks:
    - name: Take long
      ansible.builtin.raw: touch {{ scepfix_run }}/begun; sleep SECONDS
    - name: End
      ansible.builtin.raw: touch {{ scepfix_run }}/after
"""


def begun(folder: Path) -> None:
    """Wait until the slow playbook is in its first task."""
    end = time.monotonic() + 30
    while not (folder / "begun").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_real_run_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCEP_CHALLENGE", "planted-secret")
    monkeypatch.setenv("ANSIBLE_STRATEGY", "nonsense")
    monkeypatch.setenv("PYTHONPATH", "/nonsense")
    runner, wanted = AnsibleRunner(tmp_path / "state", None), request(tmp_path, ANSWERS)

    began = time.monotonic()
    runner.start(wanted)
    took = time.monotonic() - began

    assert took < 1, "it does not wait for the run"
    assert runner.started(wanted.folder)
    assert runner.alive(wanted.folder)
    assert not runner.wait(wanted.folder, 0)
    assert runner.wait(wanted.folder, 60)
    assert [runner.results(wanted.folder, HOSTS, Stage.INSPECT)[host].answer for host in HOSTS] == [DONE, DONE]
    files = [file for file in wanted.folder.rglob("*") if file.is_file()]
    assert not [file for file in files if b"planted-secret" in file.read_bytes()]
    command = json.loads((wanted.folder / "artifacts/inspect-1/command").read_text())
    assert command["env"]["ANSIBLE_HOST_KEY_CHECKING"] == "true"
    assert {"SCEP_CHALLENGE", "ANSIBLE_STRATEGY", "PYTHONPATH"}.isdisjoint(command["env"])
    for folder in (wanted.folder, wanted.folder / "artifacts", wanted.folder.parent, tmp_path / "state" / "ansible"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.slow
def test_a_run_outlives_its_starter_and_is_found_again(tmp_path: Path) -> None:
    wanted = request(tmp_path, SLOW.replace("SECONDS", "2"))
    starter = f"""
        import time
        from pathlib import Path
        from scepfix.adapters.ansible.runner import AnsibleRunner
        from scepfix.service.ports import RunRequest
        AnsibleRunner(Path({str(tmp_path / "state")!r}), None).start(RunRequest(
            Path({str(wanted.folder)!r}), {wanted.ident!r}, {wanted.playbook!r}, "inspect",
            {dict(wanted.connections)!r}, {{}}))
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(starter)], start_new_session=True) as process:
        begun(wanted.folder)
        os.killpg(process.pid, signal.SIGKILL)

    runner = AnsibleRunner(tmp_path / "state", None)

    assert runner.alive(wanted.folder)
    assert runner.wait(wanted.folder, 60)
    assert (wanted.folder / "after").exists()
    assert read_run_events(wanted.folder / "artifacts" / wanted.ident).broken == ""


@pytest.mark.slow
def test_a_run_is_found_again_under_another_name_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to("state")
    wanted = request(tmp_path, SLOW.replace("SECONDS", "2"), folder=tmp_path / "link" / "runs" / "inspect-1")
    runner = AnsibleRunner(tmp_path / "link", None)
    runner.start(wanted)
    begun(wanted.folder)

    for folder in (wanted.folder, tmp_path / "state" / "runs" / "inspect-1"):
        assert run_is_alive(folder)
    assert runner.wait(wanted.folder, 60)


@pytest.mark.slow
def test_a_killed_ansible_playbook_leaves_an_unknown_run(tmp_path: Path) -> None:
    runner, wanted = AnsibleRunner(tmp_path / "state", None), request(tmp_path, SLOW.replace("SECONDS", "30"))
    runner.start(wanted)
    begun(wanted.folder)

    kill_ansible_playbook(wanted.folder)

    assert runner.wait(wanted.folder, 20)
    assert answers(wanted.folder) == [UNKNOWN, UNKNOWN]
    assert not (wanted.folder / "after").exists()


@pytest.mark.slow
def test_ansible_playbook_that_outlives_its_killed_runner_is_waited_for(tmp_path: Path) -> None:
    """SIGKILL on ansible-runner leaves ansible-playbook at work: nothing else may be begun beside it."""
    runner, wanted = AnsibleRunner(tmp_path / "state", None), request(tmp_path, SLOW.replace("SECONDS", "3"))
    runner.start(wanted)
    begun(wanted.folder)

    os.kill(int((wanted.folder / "pid").read_text()), signal.SIGKILL)
    time.sleep(0.2)

    assert runner.alive(wanted.folder)
    assert not runner.wait(wanted.folder, 0.5)
    assert runner.wait(wanted.folder, 30)
    assert not runner.alive(wanted.folder)
    assert not (wanted.folder / "artifacts" / wanted.ident / "rc").exists()
    assert answers(wanted.folder) == [UNKNOWN, UNKNOWN]


@pytest.mark.slow
def test_a_playbook_that_is_not_there_is_an_unknown_run(tmp_path: Path) -> None:
    runner, wanted = AnsibleRunner(tmp_path / "state", None), request(tmp_path, playbook="scepfix.device_access.nosuch")
    runner.start(wanted)

    assert runner.wait(wanted.folder, 30)
    assert answers(wanted.folder) == [UNKNOWN, UNKNOWN]


def test_a_start_that_comes_to_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    runner, wanted = AnsibleRunner(tmp_path / "state", None), request(tmp_path)
    runner.start(wanted)

    with pytest.raises(ScepfixError) as error:
        runner.wait(wanted.folder, 10)

    assert error.value.code == "run-not-started"


def test_a_python_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    with pytest.raises(ScepfixError, match="cannot be started"):
        AnsibleRunner(tmp_path / "state", None).start(request(tmp_path))


# --- whose process it is ----------------------------------------------------------------------------------------------


def test_a_reused_process_id_is_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(str(os.getpid()))

    assert not run_is_alive(tmp_path)


@pytest.mark.parametrize("content", ["", "x", "-1", "999999999", "1 2"])
def test_a_pid_file_that_names_nobody_is_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)

    assert not run_is_alive(tmp_path)


def test_somebody_who_looks_into_the_folder_is_not_the_run(tmp_path: Path) -> None:
    for arguments in ([str(tmp_path)], [str(tmp_path / "inventory")], [f"{tmp_path}/ansible-playbook.log"]):
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *arguments]) as process:
            assert not run_is_alive(tmp_path)
            process.kill()


def test_ps_tells_the_same_as_proc() -> None:
    script = "import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, "a-mark-of-this-test"]) as process:
        time.sleep(0.2)
        for tell in (command_lines, command_lines_of_ps):
            assert any("a-mark-of-this-test" in arguments for arguments in tell())
        process.kill()
