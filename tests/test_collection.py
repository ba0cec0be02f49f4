"""The collection as Ansible sees it: documentation, roles, and real runs on the demo fleet."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[a-z]*.py"))
READY = Path(sys.prefix, ".ready")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which Ansible finds this repository as the collection, and no settings of the user."""
    link = tmp_path / "collections/ansible_collections/scepfix/device_access"
    link.parent.mkdir(parents=True)
    link.symlink_to(ROOT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    return clean | {
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_argument_specs(role: str) -> None:
    options = options_of(role)
    defaults = load(f"roles/{role}/defaults/main.yml") or {}

    assert defaults == {name: option["default"] for name, option in options.items() if "default" in option}
    assert all("default" in option or option.get("required") for option in options.values())
    assert all(name.startswith(f"{role}_") for name in options)


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_is_in_its_readme(role: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+?) \|", (ROOT / f"roles/{role}/README.md").read_text("utf-8"), re.M)

    wanted = {
        (name, option["type"], f"`{json.dumps(option['default'])}`" if "default" in option else "required")
        for name, option in options_of(role).items()
    }
    assert set(rows) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_how_it_takes_check_mode_diff_mode_and_a_second_run(module: str, env: dict[str, str]) -> None:
    name = f"scepfix.device_access.{module}"

    documentation = json.loads(run("ansible-doc", "--json", name, env=env))[name]

    assert {"check_mode", "diff_mode", "idempotent"} <= documentation["doc"]["attributes"].keys()
    assert documentation["examples"]
    assert documentation["return"]


PLAYBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "playbooks").rglob("*.yml"))


def test_every_action_plugin_has_a_module_of_its_name_with_its_documentation_beside() -> None:
    actions = {path.stem for path in (ROOT / "plugins/action").glob("[a-z]*.py")}

    assert actions == {path.stem for path in (ROOT / "plugins/modules").glob("*.yml")}
    assert actions <= set(MODULES)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_play_is_thin_gathers_nothing_and_begins_with_what_refuses_a_limit(playbook: str) -> None:
    for play in load(playbook):
        if "ansible.builtin.import_playbook" in play:
            assert (ROOT / playbook).parent.joinpath(play["ansible.builtin.import_playbook"]).is_file()
            continue
        assert play["gather_facts"] is False
        assert not {"serial", "max_fail_percentage", "any_errors_fatal", "run_once", "strategy"} & play.keys()
        assert play["hosts"] in ("localhost", "all:!localhost", "all")
        tasks = [*play.get("pre_tasks", []), *play.get("tasks", [])]
        first = tasks[0]
        if "ansible.builtin.assert" in first:
            assert first["ansible.builtin.assert"]["that"] == "ansible_limit is not defined"
            continue
        for task in tasks:
            role = task["ansible.builtin.import_role"]
            (only, *more) = load(f"roles/{role['name'].rpartition('.')[2]}/tasks/{role['tasks_from']}")
            # Our action plugins refuse a limit by themselves; a report only shows what the play before it found.
            assert any(name.startswith("scepfix.device_access.") for name in only) or "report" in role["tasks_from"]
            assert more == [] or "report" in role["tasks_from"]


@pytest.mark.slow
@pytest.mark.skipif(not READY.exists(), reason="this environment was not made by make")
def test_the_development_environment_has_the_collection_without_any_setting(env: dict[str, str]) -> None:
    del env["ANSIBLE_COLLECTIONS_PATH"]

    listing = run("ansible-doc", "-t", "module", "-l", "scepfix.device_access", env=env)

    assert "scepfix.device_access.certificate_info" in listing


VERDICTS = {
    "dev-1c52f09a6be3": ["usable"],
    "dev-7e04b1d8c2f5": ["unusable"],
    "dev-93ad5506f7b1": ["unusable"],
    "dev-c8206d4e91fa": ["unusable", "usable"],
}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--check"], ["--check", "--diff"]], ids=" ".join)
def test_the_demo_fleet_gets_the_right_answers_and_stays_as_it_is(arguments: list[str], env: dict[str, str]) -> None:
    command = ["ansible-playbook", "-i", "inventories/demo", "playbooks/inspect_certificate_file.yml", *arguments]

    first, second = run(*command, env=env), run(*command, env=env)

    assert verdicts_in(first) == verdicts_in(second) == VERDICTS
    for output in (first, second):
        assert re.findall(r"(changed|unreachable|failed)=([1-9]\d*)", output) == []


@pytest.mark.slow
def test_the_reasons_are_named_and_the_moment_can_be_chosen(env: dict[str, str]) -> None:
    command = ("ansible-playbook", "-i", "inventories/demo", "scepfix.device_access.inspect_certificate_file")

    now = run(*command, env=env)
    then = run(*command, "-e", "device_certificate_at=2025-06-01T12:00:00Z", env=env)

    assert "marker" in messages_in(now)["dev-93ad5506f7b1"][0]
    assert verdicts_in(then)["dev-7e04b1d8c2f5"] == ["usable"]


@pytest.mark.slow
def test_a_role_that_is_switched_off_reads_nothing(env: dict[str, str]) -> None:
    off = json.dumps({"device_certificate_enabled": False, "device_certificate_file": "/missing.pem"})

    output = run(
        "ansible-playbook", "-i", "inventories/demo", "playbooks/inspect_certificate_file.yml", "-e", off, env=env
    )

    assert messages_in(output) == {}


@pytest.mark.slow
def test_a_listing_that_proves_no_absence_is_reported_as_no_answer(env: dict[str, str], tmp_path: Path) -> None:
    without_marker = ROOT / "inventories/demo_certificates/dev-93ad5506f7b1.pem"
    sha1 = certificate_info(f"path={without_marker}", env)["certificates"][0]["sha1"]
    listing = tmp_path / "keychain.txt"
    listing.write_text(f"SHA-1 hash: {sha1.upper()}\n{without_marker.read_text('utf-8')}", encoding="utf-8")

    output = run(
        *("ansible-playbook", "-i", "inventories/demo", "scepfix.device_access.inspect_certificate_file"),
        *("-e", f"device_certificate_file={listing}"),
        env=env,
    )

    assert "no-answer: what this file lacks may still be on the device" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said", "where"),
    [
        ("path=missing.pem", "no such file", "missing.pem"),
        ("path={root}/galaxy.yml", "there is no certificate in it", "/galaxy.yml"),
        ("path=a content=b", "mutually exclusive", ""),
        ("at=2026-01-01T00:00:00Z", "one of the following is required", ""),
        ("path={root}/inventories/demo_certificates/dev-1c52f09a6be3.pem at=yesterday", "yesterday", "at"),
        ("path={root}/inventories/demo_certificates/dev-1c52f09a6be3.pem at=20260101T000000Z", "no time with", "at"),
    ],
)
def test_the_module_says_what_is_wrong(arguments: str, said: str, where: str, env: dict[str, str]) -> None:
    done = certificate_info(arguments.format(root=ROOT), env)

    assert done["failed"] is True
    assert said in done["msg"]
    assert done.get("where", "").endswith(where)
    assert bool(done.get("hint")) is bool(where)


@pytest.mark.slow
def test_the_module_reads_content_like_a_file(env: dict[str, str]) -> None:
    path = ROOT / "inventories/demo_certificates/dev-c8206d4e91fa.pem"

    from_path = certificate_info(f"path={path}", env)
    from_content = certificate_info(json.dumps({"content": path.read_text("utf-8")}), env)

    assert len(from_path["certificates"]) == 2
    assert {one["source"] for one in from_path["certificates"]} == {str(path)}
    assert [one | {"source": str(path)} for one in from_content["certificates"]] == from_path["certificates"]
    assert from_path["changed"] is False


@pytest.mark.slow
def test_the_documentation_names_every_field_that_is_returned(env: dict[str, str]) -> None:
    name = "scepfix.device_access.certificate_info"
    documented = json.loads(run("ansible-doc", "--json", name, env=env))[name]["return"]

    answer = certificate_info(f"path={ROOT}/inventories/demo_certificates/dev-1c52f09a6be3.pem", env)

    assert answer["input"].keys() == documented["input"]["contains"].keys()
    assert answer["certificates"][0].keys() == documented["certificates"]["contains"].keys()
    assert documented.keys() <= answer.keys()


@pytest.mark.slow
def test_the_module_names_the_package_it_needs_where_it_is_missing(env: dict[str, str], tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare"), env=env)

    done = certificate_info("path=x", env, python=str(tmp_path / "bare/bin/python"))

    assert "Failed to import the required Python library (scepfix)" in done["msg"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="peer absent: openssl")
def test_the_molecule_scenarios_pass(env: dict[str, str], tmp_path: Path) -> None:
    run("molecule", "test", "--all", env=env | {"HOME": str(tmp_path)})


def certificate_info(arguments: str, env: dict[str, str], python: str = sys.executable) -> dict[str, Any]:
    """Given the module's arguments, run it by ``ansible`` on this machine and return its answer."""
    command = ("ansible", "localhost", "-c", "local", "-e", f"ansible_python_interpreter={python}")
    module = ("-m", "scepfix.device_access.certificate_info", "-a", arguments)
    output = run(*command, *module, env=env, ends_well=None)
    answer: dict[str, Any] = json.loads(output[output.index("=> {") + 3 :])
    return answer | {"failed": "FAILED!" in output}


def verdicts_in(output: str) -> dict[str, list[str]]:
    return {host: [said.split(":")[0] for said in messages] for host, messages in messages_in(output).items()}


def messages_in(output: str) -> dict[str, list[str]]:
    """Given what ansible-playbook printed, return host -> what the role reported, in order."""
    found: dict[str, list[str]] = {}
    for host, answer in re.findall(r"^ok: \[(dev-\w+)\] => \(item=[^)\n]+\) => (\{.*?^\})", output, re.M | re.S):
        found.setdefault(host, []).append(json.loads(answer)["msg"])
    return found


def options_of(role: str) -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"][
        "options"
    ]
    return options


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def run(*command: str, env: dict[str, str], ends_well: bool | None = True) -> str:
    """Given a command, run it at the root of the repository and return its output; check how it ends unless None."""
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert ends_well is None or (done.returncode == 0) is ends_well, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
