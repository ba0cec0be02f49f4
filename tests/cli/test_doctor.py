"""``scepfix doctor`` as a person meets it: real settings, secrets, state folder and database; MDM and Okta stand in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.certificate_factory import make
from tests.service.test_doctor import BAD, GOOD, MEMBER, Mdm, Org

from scepfix import wiring
from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.cli.doctor import as_text
from scepfix.cli.main import run
from scepfix.domain.check import Check, CheckResult
from scepfix.simulator.running import MacSpec, run_world

SECRET = "p4ssw0rd-in-a-file"
SETTINGS = """
mdm:
  kind: jamf
  url: https://mdm.example
  client_id: id
  client_secret: {env: SCEPFIX_TEST_SECRET}
  profile: com.example.scep
  exclusion_group: scepfix
okta:
  kind: simulated
  url: http://127.0.0.1:1
  token: {file: token}
issuer_certificates: [ca.der]
allowed_signers: signers
"""


class Command:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        self.capsys.readouterr()
        code = run(["doctor", *words, "--config", str(self.folder / "config.yml")])
        self.out, self.err = self.capsys.readouterr()
        return code

    def checks(self, *words: str) -> dict[str, dict[str, str]]:
        self("--json", *words)
        found: dict[str, Any] = json.loads(self.out)
        return {check["id"]: check for check in found["checks"]}


@pytest.fixture
def mdm(monkeypatch: pytest.MonkeyPatch) -> Mdm:
    found = Mdm(replace(GOOD))
    monkeypatch.setattr(wiring, "open_mdm", lambda settings, read_only: read_only and found)
    return found


@pytest.fixture
def command(tmp_path: Path, mdm: Mdm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SCEPFIX_TEST_SECRET", SECRET)
    monkeypatch.setattr(wiring, "okta", lambda config: Org())
    (tmp_path / "config.yml").write_text(SETTINGS)
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "signers").write_text("alice ssh-ed25519 AAAA\n")
    (tmp_path / "ca.der").write_bytes(make(ca=True, not_after=datetime(2100, 1, 1, tzinfo=UTC)).der)
    (tmp_path / "inventory.yml").write_text("all: {hosts: {mac-042: {ansible_host: 127.0.0.1}}}\n")
    return Command(tmp_path, capsys)


def test_a_ready_site_is_zero_and_says_so_in_one_line_each(command: Command) -> None:
    assert command("-i", str(command.folder / "inventory.yml")) == 0

    assert "FAIL" not in command.out
    assert "\x1b" not in command.out
    assert command.out.rstrip().splitlines()[-1].endswith(" pass")
    assert "pass  machine.inventory" in command.out
    assert "asking the MDM, nothing is changed" in command.err


def test_the_document_has_one_entry_for_each_line(command: Command) -> None:
    command("--json")
    document = json.loads(command.out)

    assert list(document) == ["schema", "checks"]
    assert document["schema"] == "scepfix/doctor/1"
    for check in document["checks"]:
        assert set(check) == {"id", "result", "message", "hint"}
        assert check["result"] in ("pass", "fail", "unknown")


def test_a_line_that_fails_is_one_and_its_hint_stands_below(command: Command, mdm: Mdm) -> None:
    mdm.found = BAD

    assert command() == 1

    lines = command.out.splitlines()
    (index,) = [index for index, line in enumerate(lines) if "FAIL  group.alone" in line]
    assert "Restrictions" in lines[index]
    assert lines[index + 1].strip().startswith("→ take the exclusion group out of everything")


def test_what_could_not_be_looked_at_is_three(command: Command) -> None:
    (command.folder / "config.yml").write_text("")

    assert command() == 3
    assert "?     mdm.settings" in command.out


def test_a_broken_settings_file_is_two_as_everywhere(command: Command) -> None:
    (command.folder / "config.yml").write_text("mdm: {kind: jamv}\n")

    assert command("--json") == 2
    assert json.loads(command.out)["code"] == "settings"


def test_a_secret_that_is_not_there_fails_by_name(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCEPFIX_TEST_SECRET")

    assert command() == 1
    assert "FAIL  settings.secret" in command.out
    assert "mdm.client_secret (env SCEPFIX_TEST_SECRET)" in command.out


def test_no_secret_is_in_anything_that_is_printed(command: Command) -> None:
    for words in ((), ("--json",)):
        command(*words)
        assert SECRET not in command.out + command.err


def test_a_state_folder_that_cannot_be_written_fails(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/1/nowhere")

    checks = command.checks()

    assert checks["machine.state-folder"]["result"] == "fail"
    assert checks["machine.state-folder"]["hint"]


def test_a_database_is_opened_where_there_is_one_and_none_is_made(command: Command) -> None:
    file = command.folder / "elsewhere" / "x.sqlite"

    assert command.checks("--database", f"sqlite:///{file}")["machine.database"]["result"] == "pass"
    assert not file.exists()
    file.parent.mkdir()
    file.write_text("this is no database, whatever its name says")
    assert command.checks("--database", f"sqlite:///{file}")["machine.database"]["result"] == "fail"


def test_a_member_left_behind_is_named_with_the_way_out(command: Command, mdm: Mdm) -> None:
    mdm.inside = (MEMBER,)
    with closing(SqliteStore(command.folder / "x.sqlite")):
        checks = command.checks("--database", f"sqlite:///{command.folder}/x.sqlite")

    assert checks["group.members"]["result"] == "fail"
    assert "scepfix rescue" in checks["group.members"]["hint"]


@pytest.mark.parametrize("content", ["all: {hosts: {}}\n", "all: [\n"])
def test_an_inventory_that_cannot_be_used_fails(command: Command, content: str) -> None:
    (command.folder / "inventory.yml").write_text(content)

    assert command.checks("-i", str(command.folder / "inventory.yml"))["machine.inventory"]["result"] == "fail"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_secret_file_that_is_closed_fails(command: Command) -> None:
    (command.folder / "token").chmod(0)

    assert command.checks()["settings.secret"]["result"] == "fail"


def test_lines_that_want_one_thing_share_their_hint() -> None:
    checks = [Check(f"way-back.{name}", CheckResult.UNKNOWN, "could not look", "is it up?") for name in "abc"]

    assert as_text(checks).count("is it up?") == 1


def test_colour_is_only_for_a_terminal(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    painted: Callable[[Any], str] = as_text

    assert "\x1b[32mpass\x1b[0m" in painted([Check("mdm.credentials", CheckResult.PASS, "fine")])
    command()
    assert "\x1b" not in command.out


@pytest.mark.slow
def test_the_simulated_world_has_no_line_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with run_world(tmp_path / "world", [MacSpec("mac-042", scenario="deleted")]) as world:
        run(["--json", "doctor", "--config", str(world.config), "-i", str(world.inventory)])
        document = json.loads(capsys.readouterr().out)
        assert world.effects() == []

    not_passed = [check for check in document["checks"] if check["result"] != "pass"]
    # The simulated org does not have every question of the real one.
    assert [check for check in not_passed if check["result"] == "fail" or not check["id"].startswith("okta.")] == []
    assert len(document["checks"]) > 25
    assert not any(secret in json.dumps(document) for secret in world.world.secrets())
