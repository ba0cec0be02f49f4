"""``plan``, ``approve``, ``reject``, ``apply``, ``fix`` and ``rescue`` as a person meets them, on fake devices."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.evidence_factory import NOW
from tests.plan_factory import HOSTILE
from tests.plan_world import World

from scepfix import wiring
from scepfix.adapters.login_name import login_name
from scepfix.cli.main import run
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.plan import Plan
from scepfix.domain.remediation import Approval, Outcome, Remediation
from scepfix.service.advance import Progress
from scepfix.service.apply import remediations_of
from scepfix.service.approve import standing_approval
from scepfix.service.observe import NotObserved
from scepfix.service.ports import InventoryDevice


class Command:
    """The command on a world of fake devices; what leaves the process is only the store, a file of its own."""

    def __init__(self, folder: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.world, self.capsys = folder, world, capsys
        self.plan_file = str(folder / "plan.json")
        self.applied: list[Plan] = []
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        self.capsys.readouterr()
        code = run(
            [*words, "--database", f"sqlite:///{self.folder}/state.sqlite", "--config", f"{self.folder}/config.yml"]
        )
        self.out, self.err = self.capsys.readouterr()
        return code

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def plan(self, *names: str) -> int:
        return self("plan", *(names or ("mac-042",)), "-i", "inventory", "-o", self.plan_file)


@pytest.fixture
def world() -> World:
    return World("mac-042", "mac-043")


@pytest.fixture
def command(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Our own edges are replaced: inventory, devices, MDM, Okta, and the run itself."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "config.yml").write_text(
        'mdm: {kind: simulated, url: "http://127.0.0.1:1", profile: p, exclusion_group: g}\n'
        'okta: {kind: simulated, url: "http://127.0.0.1:1"}\n'
    )
    found = Command(tmp_path, world, capsys)

    class Inventory:
        names = frozenset({"mac-042", "mac-043"})

        def devices(self, names: Sequence[str], group: str | None = None) -> tuple[InventoryDevice, ...]:
            return tuple(one for one in world.devices if one.name in names or group == "all")

    class Clock:
        def now(self) -> datetime:
            return NOW

    def apply(
        plan: Plan, config: str, database: str, tell: Callable[[Progress], None], say: Callable[[str], None]
    ) -> tuple[Plan, tuple[Remediation, ...]]:
        standing_approval(plan, wiring.approvals(plan, database), world.policy, plan.made_at)
        found.applied.append(plan)
        done = tuple(replace(one, outcome=Outcome.AWAITING_REGISTRATION) for one in remediations_of(plan))
        return plan, done

    monkeypatch.setattr(wiring, "SystemClock", Clock)
    monkeypatch.setattr(wiring, "inventory", lambda path, config: Inventory())
    monkeypatch.setattr(
        wiring, "observe", lambda devices, config: {one.name: world.observations[one.name] for one in devices}
    )
    monkeypatch.setattr(wiring, "mdm", lambda config, read_only=True: world.mdm)
    monkeypatch.setattr(wiring, "okta", lambda config: world.okta)
    monkeypatch.setattr(wiring, "apply", apply)
    return found


# --- plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_shown_and_written(command: Command) -> None:
    assert command.plan() == 0

    document = json.loads(Path(command.plan_file).read_text())
    assert document["schema"] == "scepfix/plan/1"
    assert document["digest"] in command.out
    for words in (
        "Preview: nothing has been changed.",
        "mac-042, alice",
        "device-deleted (confirmed)",
        "ONE-WAY",
        "assumed",
    ):
        assert words in command.out
    assert "scepfix approve " in command.out
    assert "looking at 1 device" in command.err


def test_json_is_the_plan_and_nothing_else(command: Command) -> None:
    assert command("--json", "plan", "mac-042", "-i", "x", "-o", command.plan_file) == 0

    assert command.document == json.loads(Path(command.plan_file).read_text())


def test_a_plan_opens_no_database_and_keeps_nothing(command: Command, tmp_path: Path) -> None:
    before = {file.name for file in tmp_path.iterdir()}
    assert command.plan() == 0

    assert {file.name for file in tmp_path.iterdir()} - before == {"plan.json"}


def test_the_pages_are_written(command: Command, tmp_path: Path) -> None:
    pages = [str(tmp_path / name) for name in ("plan.html", "plan.md")]
    assert (
        command("plan", "mac-042", "-i", "x", "-o", command.plan_file, "--html", pages[0], "--markdown", pages[1]) == 0
    )

    html, markdown = (Path(name).read_text() for name in pages)
    assert html.startswith("<!doctype html>")
    assert markdown.startswith("# What would be done")


def test_a_device_that_could_not_be_judged_makes_it_mixed(command: Command) -> None:
    command.world.observations["mac-043"] = NotObserved("unreachable", "no route")

    assert command.plan("mac-042", "mac-043") == 5
    assert "mac-043: unreachable: no answer: asleep, off, or off the network? no route" in command.out


def test_a_healthy_device_beside_it_does_not(command: Command) -> None:
    command.world.okta_says("mac-043", "okta.device-active", "okta.registered")

    assert command.plan("mac-042", "mac-043") == 0
    assert "mac-043: healthy" in command.out


def test_no_device_left_is_refused_with_the_reasons(command: Command, tmp_path: Path) -> None:
    command.world.observations["mac-042"] = NotObserved("unreachable", "no route")

    assert command("--json", "plan", "mac-042", "-i", "x", "-o", command.plan_file) == 4
    assert command.document["code"] == "empty-selection"
    assert "mac-042: unreachable: no answer: asleep, off, or off the network? no route" in command.document["message"]
    assert not Path(command.plan_file).exists()


@pytest.mark.parametrize(
    "words",
    [
        ["-i", "x", "-o", "p"],
        ["mac-042", "--group", "all", "-i", "x", "-o", "p"],
        ["mac-042", "--devices", "f", "-i", "x", "-o", "p"],
        ["mac-042", "-o", "p"],
        ["mac-042", "-i", "x"],
        ["mac-042", "-i", "x", "-o", "p", "--only-fault", "device-deletd"],
    ],
)
def test_bad_usage(command: Command, words: list[str]) -> None:
    assert command("plan", *words) == 2


def test_a_misspelt_fault_is_answered_with_the_near_one(command: Command) -> None:
    command("plan", "mac-042", "-i", "x", "-o", "p", "--only-fault", "device-deletd")

    assert "did you mean device-deleted?" in command.err


def test_names_come_from_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("\ufeff# two Macs\nmac-042\n\n  mac-043  \n")

    assert command("--json", "plan", "--devices", str(tmp_path / "names"), "-i", "x", "-o", command.plan_file) == 0
    assert [one["name"] for one in command.document["devices"]] == ["mac-042", "mac-043"]


def test_a_hostile_person_does_nothing_to_the_terminal(command: Command) -> None:
    command.world.devices = [World.device("mac-042", HOSTILE)]
    command.plan()

    assert "\x1b" not in command.out
    assert "\u202e" not in command.out
    assert "{{ 7*7 }}" in command.out


# --- approve and reject -------------------------------------------------------------------------------------------


def test_approve_and_apply(command: Command) -> None:
    command.plan()
    assert command("apply", command.plan_file) == 4
    assert "nobody has approved this plan" in command.err

    assert command("approve", command.plan_file) == 0
    assert f"Approved by {login_name()} (unauthenticated)" in command.out
    assert command("apply", command.plan_file) == 0
    assert "mac-042, alice: device-deleted: awaiting-registration" in command.out
    assert len(command.applied) == 1


def test_an_approval_is_a_document(command: Command) -> None:
    command.plan()

    assert command("--json", "approve", command.plan_file, "--as", "carol") == 0
    found = command.document
    assert (found["schema"], found["person"], found["how"]) == ("scepfix/approval/1", "carol", "unauthenticated")


def test_reject(command: Command) -> None:
    command.plan()
    command("approve", command.plan_file)

    assert command("reject", command.plan_file, "--reason", "not now \x1b[31m") == 0
    assert command("apply", command.plan_file) == 4
    assert "rejected this plan: not now" in command.err
    assert command.applied == []


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client's ssh-keygen")
def test_two_devices_need_a_signature(command: Command, tmp_path: Path) -> None:
    command.plan("mac-042", "mac-043")
    assert command("approve", command.plan_file, "--as", "carol") == 4

    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    (tmp_path / "signers").write_text(f'carol@x namespaces="scepfix-plan" {public}\n')
    (tmp_path / "config.yml").write_text((tmp_path / "config.yml").read_text() + "allowed_signers: signers\n")
    digest = json.loads(Path(command.plan_file).read_text())["digest"]
    signed = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {digest} | ssh-keygen -Y sign -f {key} -n scepfix-plan"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "plan.sig").write_bytes(signed.stdout)

    assert command("approve", command.plan_file, "--signature", str(tmp_path / "plan.sig")) == 0
    assert "Approved by carol@x at" in command.out
    assert command("apply", command.plan_file) == 0

    # No earlier signature undoes a rejection; one that knows of it does.
    assert command("reject", command.plan_file, "--reason", "security said no") == 0
    assert command("approve", command.plan_file, "--signature", str(tmp_path / "plan.sig")) == 4
    line = f"{digest} after 1 rejection"
    assert line in command.err
    assert command("apply", command.plan_file) == 4
    again = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' '{line}' | ssh-keygen -Y sign -f {key} -n scepfix-plan"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "again.sig").write_bytes(again.stdout)
    assert command("approve", command.plan_file, "--signature", str(tmp_path / "again.sig")) == 0
    assert command("apply", command.plan_file) == 0


@pytest.mark.parametrize("key", ["fault", "person", "playbook"])
def test_a_tampered_plan_is_refused_by_every_verb(command: Command, key: str) -> None:
    command.plan()
    command("approve", command.plan_file)
    document = json.loads(Path(command.plan_file).read_text())
    document["devices"][0][key] = "x"
    Path(command.plan_file).write_text(json.dumps(document))

    for words in (["apply"], ["approve"], ["reject", "--reason", "r"]):
        assert command(words[0], command.plan_file, *words[1:]) == 4
        assert "is not what its digest was taken of" in command.err
    assert command.applied == []


@pytest.mark.parametrize(
    "words",
    [["approve", "--as", " "], ["approve", "--as", "x", "--signature", "y"], ["reject"], ["reject", "--reason", ""]],
)
def test_bad_usage_of_a_decision(command: Command, words: list[str]) -> None:
    command.plan()

    assert command(words[0], command.plan_file, *words[1:]) == 2


@pytest.mark.parametrize("verb", ["approve", "apply"])
@pytest.mark.parametrize(("content", "code"), [(None, "input-missing"), ("", "input-empty"), ("{}", "plan-unreadable")])
def test_what_is_no_plan(command: Command, tmp_path: Path, verb: str, content: str | None, code: str) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)

    assert command("--json", verb, str(tmp_path / "x.json")) == 2
    assert command.document["code"] == code


@pytest.mark.parametrize("url", ["postgresql://u:geheim@h/d", "sqlite://x/y", "sqlite:///", "state.db"])
def test_a_database_that_is_none(command: Command, capsys: pytest.CaptureFixture[str], url: str) -> None:
    command.plan()

    assert run(["approve", command.plan_file, "--database", url]) == 2
    told = capsys.readouterr().err
    assert "--database: no database that this version knows" in told
    assert "geheim" not in told


# --- apply --------------------------------------------------------------------------------------------------------


def test_ctrl_c_says_that_it_is_safe_and_how_to_go_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    command.plan()
    command("approve", command.plan_file)
    monkeypatch.setattr(wiring, "apply", interrupted)

    assert command("apply", command.plan_file) == 130
    assert "is still owed a re-install" in command.err
    assert f"go on with: scepfix apply {command.plan_file}" in command.err


def test_the_page_is_written_again_after_the_run(command: Command, tmp_path: Path) -> None:
    command.plan()
    command("approve", command.plan_file, "--as", "carol")

    assert command("apply", command.plan_file, "--html", str(tmp_path / "after.html")) == 0
    html = (tmp_path / "after.html").read_text()
    assert "This plan was run." in html
    assert "carol" in html


# --- fix ----------------------------------------------------------------------------------------------------------


def test_fix_without_a_terminal_shows_the_preview_and_stops(command: Command) -> None:
    assert command("fix", "mac-042", "-i", "inv") == 4

    assert "Preview: nothing has been changed." in command.err
    assert "--approve sha256:" in command.err
    assert command.applied == []


def test_fix_with_the_digest_of_the_preview(command: Command) -> None:
    command.plan()
    digest = json.loads(Path(command.plan_file).read_text())["digest"]

    assert command("fix", "mac-042", "-i", "x", "--approve", digest, "--json") == 0
    assert command.document["remediations"][0]["outcome"] == "awaiting-registration"


def test_fix_with_another_digest_changes_nothing(command: Command) -> None:
    assert command("--json", "fix", "mac-042", "-i", "x", "--approve", "sha256:" + "0" * 64) == 4

    assert command.document["code"] == "plan-changed"
    assert command.applied == []


@pytest.mark.parametrize(("typed", "code", "runs"), [("yes\n", 0, 1), ("y\n", 4, 0), ("\n", 4, 0), ("no\n", 4, 0)])
def test_fix_asks_on_a_terminal(
    command: Command, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, runs: int
) -> None:
    monkeypatch.setattr("scepfix.cli.fix._can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))

    assert command("fix", "mac-042", "-i", "x") == code
    assert len(command.applied) == runs


def test_fix_of_a_fault_for_a_person_asks_for_nothing(command: Command) -> None:
    command.world.okta_says("mac-042", "okta.pin-setting")

    command("fix", "mac-042", "-i", "x")

    assert "Security > General" in command.out
    assert len(command.applied) == 1


# --- rescue -------------------------------------------------------------------------------------------------------


def test_rescue_puts_everybody_back(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    back = [World.record("mac-042"), World.record("mac-\x1b[31m")]

    class Mdm:
        def members(self) -> tuple[MdmDevice, ...]:
            return tuple(back)

        def put_back(self, mdm_ids: Sequence[str]) -> None:
            del back[: len(mdm_ids)]

    def opened(config: str, read_only: bool = True) -> Mdm:
        assert read_only is False
        return Mdm()

    monkeypatch.setattr(wiring, "mdm", opened)

    assert command("rescue") == 0
    assert "Asked back 2" in command.out
    assert "\x1b" not in command.out
    assert command("--json", "rescue") == 0
    assert command.document == {"schema": "scepfix/rescue/1", "put_back": []}


def test_rescue_needs_an_mdm(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (tmp_path / "config.yml").write_text(yaml.safe_dump({}))

    assert command("--json", "rescue") == 2
    assert command.document["code"] == "no-mdm"


def begun(command: Command, *names: str) -> Plan:
    """Plan those devices and begin their repair, as an interrupted scepfix leaves it."""
    command.plan(*names)
    made = wiring.load_plan(command.plan_file)
    with closing(wiring.store(f"sqlite:///{command.folder}/state.sqlite")) as kept:
        kept.save_plan(made)
        kept.save_approval(Approval(made.digest(), "carol", "unauthenticated", True, NOW))
        kept.begin(remediations_of(made))
    return made


def test_fix_goes_on_with_a_repair_that_is_under_way(command: Command) -> None:
    made = begun(command, "mac-042")

    assert command("fix", "mac-042", "-i", "x") == 0

    assert [plan.digest() for plan in command.applied] == [made.digest()]
    assert "mac-042 is being repaired already" in command.err


def test_fix_does_not_go_on_with_the_repair_of_others(command: Command) -> None:
    begun(command, "mac-042", "mac-043")

    assert command("fix", "mac-042", "-i", "x", "--json") == 4

    assert command.document["code"] == "being-repaired"
    assert "scepfix apply" in command.document["hint"]
    assert command.applied == []
