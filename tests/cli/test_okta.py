"""``scepfix okta`` from the command line against a served org: snapshot, deleted, permission, set."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.contract.okta_face import READ, OktaFace
from tests.contract.server import Service, changes, serve

from scepfix.adapters.login_name import login_name
from scepfix.cli.main import run
from scepfix.domain.moment import rfc3339
from scepfix.simulator.mac import Mac
from scepfix.simulator.world import MacSpec, World

TOKEN, WRITING = "ssws-read", "ssws-write"
DELETED = "device.lifecycle.delete"


@dataclass
class Site:
    """An org with three devices, its settings file, and what the last command printed."""

    world: World
    face: OktaFace
    service: Service
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run with --json and return exit code and document."""
        code = run([*arguments, "--config", str(self.folder / "config.yml"), "--json"])
        printed = self.capsys.readouterr()
        assert TOKEN not in printed.out + printed.err
        assert WRITING not in printed.out + printed.err
        found: dict[str, Any] = json.loads(printed.out)
        return code, found

    def text(self, *arguments: str) -> str:
        run([*arguments, "--config", str(self.folder / "config.yml")])
        return self.capsys.readouterr().out

    def mac(self, name: str) -> Mac:
        return self.world.macs[name]

    def delete(self, name: str, *, hours: float = 1) -> None:
        self.world.okta.delete(self.mac(name), datetime.now(UTC) - timedelta(hours=hours))

    def forget_details(self) -> None:
        """Take what names a device out of every event: nobody knows whether real ones have it."""

        def change(state: dict[str, Any]) -> None:
            for event in state["events"]:
                for target in event["target"]:
                    target.pop("detailEntry", None)

        self.world.okta._change(change)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OKTA_TOKEN", TOKEN)
    monkeypatch.setenv("OKTA_WRITE_TOKEN", WRITING)
    world = World.create(tmp_path / "world", [MacSpec(f"mac-{number}") for number in range(3)], datetime.now(UTC))
    face = OktaFace(world.okta, {TOKEN: READ, WRITING: READ | {"okta.orgs.manage"}}, page=2)
    with serve(face) as service:
        face.url = service.url
        (tmp_path / "allowed_signers").touch()
        (tmp_path / "config.yml").write_text(
            f"okta:\n  kind: okta\n  url: {service.url}\n  token: {{env: OKTA_TOKEN}}\n"
            f"okta_write:\n  kind: okta\n  url: {service.url}\n  token: {{env: OKTA_WRITE_TOKEN}}\n"
            "allowed_signers: allowed_signers\n"
        )
        yield Site(world, face, service, tmp_path, capsys)


def ago(**how_long: float) -> str:
    return rfc3339(datetime.now(UTC) - timedelta(**how_long)) or ""


# --- snapshot and deleted ---------------------------------------------------------------------------------------


def test_a_snapshot_is_kept_for_its_user_alone(site: Site) -> None:
    code, found = site.run("okta", "snapshot")

    assert (code, found["schema"]) == (0, "scepfix/okta-snapshot/1")
    assert (found["known"], found["living"], found["new"], found["vanished"]) == (3, 3, 3, 0)
    path = Path(found["file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.parent == site.folder / "state/scepfix"
    [one] = [each for each in json.loads(path.read_text())["devices"] if each["display_name"] == "mac-1"]
    assert one["serial_number"] == site.mac("mac-1").facts.serial_number
    assert one["people"] == [site.mac("mac-1").facts.person]

    site.delete("mac-1")
    code, found = site.run("okta", "snapshot")
    assert (found["known"], found["living"], found["new"], found["vanished"]) == (3, 2, 0, 1)


def test_deleted_devices_are_told_by_the_snapshot_and_written_for_plan(site: Site) -> None:
    site.run("okta", "snapshot")
    site.delete("mac-0")
    site.delete("mac-2", hours=2)
    site.forget_details()
    output = site.folder / "deleted.txt"

    code, found = site.run("okta", "deleted", "--since", ago(days=1), "--output", str(output))

    assert (code, found["schema"]) == (0, "scepfix/okta-deleted/1")
    assert [one["name"] for one in found["devices"]] == ["mac-2", "mac-0"]
    assert {one["joined_by"] for one in found["devices"]} == {"snapshot"}
    lines = [line for line in output.read_text().splitlines() if not line.startswith("#")]
    assert lines == [site.mac(name).facts.serial_number for name in ("mac-2", "mac-0")]


def test_what_nobody_can_tell_is_listed(site: Site) -> None:
    site.delete("mac-0")
    site.forget_details()

    code, found = site.run("okta", "deleted", "--since", ago(days=1))

    assert (code, found["devices"], len(found["unknown"])) == (3, [], 1)
    assert "not in the snapshot" in found["unknown"][0]["reason"]
    text = site.text("okta", "deleted", "--since", ago(days=1))
    assert "Cannot be selected" in text
    assert "scepfix okta snapshot daily" in text


def test_a_deletion_without_a_serial_number_is_listed_and_never_written(site: Site) -> None:
    path = Path(site.run("okta", "snapshot")[1]["file"])
    kept = json.loads(path.read_text())
    for one in kept["devices"]:
        if one["display_name"] == "mac-2":
            one["serial_number"] = ""
    path.write_text(json.dumps(kept))
    site.delete("mac-0")
    site.delete("mac-2")
    site.forget_details()
    output = site.folder / "deleted.txt"

    code, found = site.run("okta", "deleted", "--since", ago(days=1), "--output", str(output))

    assert (code, [one["name"] for one in found["unknown"]]) == (5, ["mac-2"])
    assert "no serial number" in found["unknown"][0]["reason"]
    lines = [line for line in output.read_text().splitlines() if not line.startswith("#")]
    assert lines == [site.mac("mac-0").facts.serial_number]
    assert "mac-2" not in output.read_text()


@pytest.mark.parametrize("by", ["serial", "name"])
def test_nothing_but_serial_numbers_can_be_asked_for(site: Site, by: str) -> None:
    code, found = site.run("okta", "deleted", "--since", ago(days=1), "--by", by)

    assert (code, found["code"]) == (2, "usage")
    assert site.service.asked == []


def test_one_that_came_back_is_set_aside(site: Site) -> None:
    site.run("okta", "snapshot")
    site.delete("mac-0")
    site.world.okta.enrol_person(site.mac("mac-0"), datetime.now(UTC))

    code, found = site.run("okta", "deleted", "--since", ago(days=1))

    assert (code, found["devices"]) == (0, [])
    assert "it came back as the record guo" in found["set_aside"][0]["reason"]


def test_an_export_tells_of_what_the_log_has_forgotten(site: Site) -> None:
    site.run("okta", "snapshot")
    site.delete("mac-0", hours=24 * 100)
    events = site.world.okta.answer("/api/v1/logs", {"filter": f'eventType eq "{DELETED}"'})[1]
    export = site.folder / "log.jsonl"
    export.write_text("\n".join(map(json.dumps, events)))
    since = ago(days=120)

    code, found = site.run("okta", "deleted", "--since", since)
    assert (code, found["code"]) == (2, "time-range")
    assert "--export" in found["hint"]

    code, found = site.run("okta", "deleted", "--since", since, "--export", str(export))
    assert (code, [one["name"] for one in found["devices"]]) == (0, ["mac-0"])
    assert not [asked for asked in site.service.asked if asked.path == "/api/v1/logs"]


def test_nothing_left_to_select_writes_no_file(site: Site) -> None:
    output = site.folder / "deleted.txt"

    code, found = site.run("okta", "deleted", "--since", ago(days=1), "--output", str(output))

    assert (code, found["code"]) == (4, "empty-selection")
    assert not output.exists()


@pytest.mark.parametrize("time", ["yesterday", "2026-11-24", "2026-11-24T00:00:00"])
def test_a_time_without_a_zone_is_refused(site: Site, time: str) -> None:
    code, found = site.run("okta", "deleted", "--since", time)

    assert (code, found["code"]) == (2, "usage")
    assert "zone" in found["message"]


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "scepfix/okta-snapshot/1", "org": "https://other.okta.com"}'])
def test_a_snapshot_that_is_none_is_never_written_over(site: Site, text: str) -> None:
    path = Path(site.run("okta", "snapshot")[1]["file"])
    path.write_text(text)

    code, found = site.run("okta", "snapshot")

    assert code == 2
    assert found["code"] in ("snapshot", "input-empty")
    assert path.read_text() == text


def test_another_orgs_snapshot_is_refused(site: Site) -> None:
    path = Path(site.run("okta", "snapshot")[1]["file"])
    path.write_text(path.read_text().replace(site.service.url, "https://other.okta.com"))

    code, found = site.run("okta", "snapshot")

    assert (code, found["code"]) == (2, "snapshot")
    assert "another org" in found["message"]


# --- a role's permissions ---------------------------------------------------------------------------------------


def test_the_permissions_of_a_role_are_listed(site: Site) -> None:
    site.face.custom_roles = {"cr1": ("PIN desk", ("okta.x", "okta.a"))}

    assert site.run("okta", "permission", "PIN desk") == (
        0,
        {"schema": "scepfix/okta-permissions/1", "role": "PIN desk", "permissions": ["okta.a", "okta.x"]},
    )
    code, found = site.run("okta", "permission", "Pin desk")
    assert (code, found["code"], found["hint"]) == (2, "unknown-role", "custom roles: PIN desk")


# --- the one write ----------------------------------------------------------------------------------------------

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client's ssh-keygen"
)


def sign(site: Site, person: str, line: str) -> str:
    """Sign a line as that person, whose key is listed; return the signature's file."""
    key = site.folder / f"key-{person}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with closing((site.folder / "allowed_signers").open("a")) as listed:
        listed.write(f"{person} {Path(f'{key}.pub').read_text()}")
    signed = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", key, "-n", "scepfix-plan"],
        input=f"{line}\n".encode(),
        capture_output=True,
        check=True,
    )
    file = site.folder / f"{person}.sig"
    file.write_bytes(signed.stdout)
    return str(file)


def told(document: dict[str, Any]) -> tuple[str, str]:
    """Return the line that is to be signed, and until when it holds."""
    line = document["message"].partition("'")[2].rpartition("'")[0]
    return line, line.partition(" until ")[2].partition(" ")[0]


@needs_ssh_keygen
def test_the_setting_is_written_on_another_persons_signature(site: Site) -> None:
    site.world.okta.set_pin(False)
    code, asked = site.run("okta", "set", "recovery-pin", "on")
    assert (code, asked["code"]) == (4, "not-approved")
    assert changes(site.service) == []
    line, until = told(asked)
    assert line == f"okta set recovery-pin on at {site.service.url} until {until} for {login_name()}"

    command = ["okta", "set", "recovery-pin", "on", "--approval", sign(site, "bob", line), "--until", until]
    code, found = site.run(*command)

    assert (code, found["before"], found["after"], found["approved_by"]) == (0, "off", "on", "bob")
    [written] = changes(site.service)
    assert (written.method, written.document()) == ("PUT", {"desktopMFARecoveryPinEnabled": True})
    assert written.headers["authorization"] == f"SSWS {WRITING}"
    assert "is on, as it was already" in site.text(*command)
    assert len(changes(site.service)) == 1


@needs_ssh_keygen
def test_ones_own_signature_or_one_over_something_else_writes_nothing(site: Site) -> None:
    line, until = told(site.run("okta", "set", "recovery-pin", "off")[1])
    for person, signed, expected in (
        (f"{login_name()}@example.com", line, "self-approval"),
        ("bob", line.replace("recovery-pin off", "recovery-pin on"), "signature-refused"),
    ):
        signature = sign(site, person, signed)
        code, found = site.run("okta", "set", "recovery-pin", "off", "--approval", signature, "--until", until)
        assert (code, found["code"]) == (4, expected)

    assert changes(site.service) == []


@needs_ssh_keygen
def test_a_credential_that_may_not_write_is_told_which_scope_it_lacks(site: Site) -> None:
    site.face.api_tokens[WRITING] = READ
    line, until = told(site.run("okta", "set", "recovery-pin", "off")[1])

    code, found = site.run(
        "okta", "set", "recovery-pin", "off", "--approval", sign(site, "bob", line), "--until", until
    )

    assert (code, found["code"]) == (1, "okta-privilege")
    assert "okta.orgs.manage" in found["message"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["recovery-pin", "on", "--approval", "x"], "usage"),
        (["recovery-pin", "maybe"], "usage"),
        (["number-matching", "on"], "usage"),
    ],
)
def test_any_other_use_is_refused(site: Site, arguments: list[str], code: str) -> None:
    assert site.run("okta", "set", *arguments)[1]["code"] == code
    assert site.service.asked == []


def test_without_a_credential_of_its_own_nothing_is_written(site: Site) -> None:
    config = site.folder / "config.yml"
    config.write_text(config.read_text().partition("okta_write")[0])

    code, found = site.run("okta", "set", "recovery-pin", "on")

    assert (code, found["code"]) == (2, "no-okta-write")
    assert site.service.asked == []
