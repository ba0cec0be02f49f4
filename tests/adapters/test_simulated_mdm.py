"""The client of the simulated MDM: what it reads, what it refuses, and every way in which an answer can be wrong."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.read_only import ReadOnlyMdm
from scepfix.adapters.mdm.simulated import SimulatedMdm
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import CollectedText, ListedCertificate
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.service.ports import Mdm
from scepfix.simulator.peers.http import Answer, JsonServer
from scepfix.simulator.peers.mdm_face import MdmFace
from scepfix.simulator.world import MacSpec, World

SECRET = "s3cret-token-of-this-test"
GROUP, PROFILE = "scepfix-exclude", "com.example.okta-device-access"
SERIAL = "C02TEST00001"


def settings_for(url: str, folder: Path, token: str = SECRET) -> ServiceSettings:
    (folder / "token").write_text(f"{token}\n")
    return ServiceSettings(
        "simulated",
        {"url": url, "profile": PROFILE, "exclusion_group": GROUP},
        {"token": SecretRef("file", "token")},
        str(folder),
    )


@contextmanager
def served(answer: Answer, folder: Path, *, write: bool = True, token: str = SECRET) -> Iterator[ServiceSettings]:
    server = JsonServer(answer, {SECRET: write})
    try:
        yield settings_for(server.url, folder, token)
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(tmp_path / "world", [MacSpec("mac-1"), MacSpec("mac-2", scenario="deleted")])


def open_mdm(settings: ServiceSettings, read_only: bool = False) -> Mdm:
    found = SimulatedMdm(settings, sleep=lambda seconds: None)
    return ReadOnlyMdm(found) if read_only else found


def code_of(call: Callable[[], object]) -> str:
    """Return the code of the error that a call ends with; nothing that it shows may hold the token."""
    try:
        call()
    except ScepfixError as error:
        shown = "".join(traceback.format_exception(error)) + str(error) + str(error.as_document())
        assert SECRET not in shown
        return error.code
    raise AssertionError("no error")


def test_a_repair_over_http(world: World, tmp_path: Path) -> None:
    serial = world.macs["mac-1"].facts.serial_number
    with served(MdmFace(world).answer, tmp_path) as settings:
        mdm = open_mdm(settings)
        before = mdm.devices([serial, "unknown"])
        assert set(before) == {serial}
        mdm_id = before[serial].identity.mdm_id
        assert before[serial].identity == world.macs["mac-1"].facts.identity

        mdm.exclude([mdm_id])
        assert [one.name for one in mdm.members()] == ["mac-1"]
        mdm.nudge([mdm_id])
        assert mdm.devices([serial])[serial].profile_installed is False
        mdm.put_back([mdm_id])
        mdm.nudge([mdm_id])
        after = mdm.devices([serial])[serial]

        assert mdm.members() == ()
        assert (after.profile_installed, after.install_status, after.excluded) == (True, "Acknowledged", False)
        assert after.removed_at is not None
        assert after.installed_at is not None
        assert after.installed_at >= after.removed_at
        assert mdm.profile() == world.mdm.profile()
        listed = mdm.certificates([mdm_id, "no/such?device"])
        assert set(listed) == {mdm_id}
        in_keychain = world.macs["mac-1"].system_keychain.items()
        assert listed[mdm_id].certificates == tuple(ListedCertificate(der=item.der) for item in in_keychain)


def test_what_the_collector_printed_comes_where_the_mdm_has_it(world: World, tmp_path: Path) -> None:
    first, second = (world.macs[name].facts.mdm_id for name in ("mac-1", "mac-2"))
    line = {"line": "scepfix/1 \x1b[31m", "collected_at": "2026-11-24T09:00:00Z"}
    world.mdm.set_devices({first: {"collected": line}})

    with served(MdmFace(world).answer, tmp_path) as settings:
        found = open_mdm(settings).collected([first, second])

    assert found == {first: CollectedText("scepfix/1 \x1b[31m", datetime(2026, 11, 24, 9, tzinfo=UTC))}


@pytest.mark.parametrize("verb", ["exclude", "put_back", "nudge"])
def test_opened_to_read_it_makes_no_changing_call(verb: str, tmp_path: Path) -> None:
    def fail(_: Any) -> tuple[int, Any]:
        raise AssertionError("it was called")

    with served(fail, tmp_path) as settings:
        assert code_of(lambda: getattr(open_mdm(settings, read_only=True), verb)(["1"])) == "mdm-refused"


@pytest.mark.parametrize("verb", ["exclude", "put_back", "nudge"])
def test_a_token_that_may_only_read_is_refused_by_the_server(verb: str, world: World, tmp_path: Path) -> None:
    with served(MdmFace(world).answer, tmp_path, write=False) as settings:
        mdm = open_mdm(settings)
        assert mdm.members() == ()
        assert code_of(lambda: getattr(mdm, verb)(["1"])) == "mdm-privilege"
    assert world.effects() == []


def test_an_unknown_token_is_refused(world: World, tmp_path: Path) -> None:
    with served(MdmFace(world).answer, tmp_path, token="other") as settings:
        assert code_of(open_mdm(settings).profile) == "mdm-credentials"


def test_a_wrong_name_in_the_settings_is_told(world: World, tmp_path: Path) -> None:
    with served(MdmFace(world).answer, tmp_path) as settings:
        wrong = open_mdm(
            replace(settings, options={**settings.options, "profile": "com.other", "exclusion_group": "../members"})
        )
        with pytest.raises(MdmError, match=r"mdm\.profile"):
            wrong.profile()
        with pytest.raises(MdmError, match=r"mdm\.exclusion_group"):
            wrong.members()
        with pytest.raises(MdmError, match=r"mdm\.exclusion_group"):
            wrong.exclude(["1"])


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = settings_for(f"http://127.0.0.1:{port}", tmp_path)

    assert code_of(open_mdm(settings).profile) == "mdm-unreachable"


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (200, [], "mdm-answer"),
        (200, {"identifier": 1}, "mdm-answer"),
        (200, None, "mdm-answer"),
        (302, {}, "mdm-answer"),
        (400, {}, "mdm-refused"),
        (429, {}, "mdm-unreachable"),
        (503, {}, "mdm-unreachable"),
    ],
)
def test_an_answer_that_is_none(status: int, document: Any, code: str, tmp_path: Path) -> None:
    with served(lambda _: (status, document), tmp_path) as settings:
        assert code_of(open_mdm(settings).profile) == code


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot json!",
        b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"half":',
        b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"[" * 20000,
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_answer_of_an_mdm(raw: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(raw)

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        code = code_of(open_mdm(settings_for(url, tmp_path)).profile)

    assert code in ("mdm-answer", "mdm-unreachable")


@pytest.mark.parametrize("content", ["two words", "line\nbreak", "", "\x00", "\u2603"])
def test_a_file_that_holds_no_token_is_told_without_showing_it(content: str, tmp_path: Path) -> None:
    with served(lambda _: (200, {}), tmp_path, token=f"{SECRET} {content} {SECRET}") as settings:
        assert code_of(open_mdm(settings).profile) == "secret"


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "file:///etc/passwd", "127.0.0.1", f"http://user:{SECRET}@127.0.0.1"]
)
def test_an_address_that_is_none(url: str, tmp_path: Path) -> None:
    assert code_of(lambda: open_mdm(settings_for(url, tmp_path))) == "settings"


def test_a_token_file_that_is_gone_is_told(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:1", tmp_path)
    (tmp_path / "token").unlink()

    assert code_of(open_mdm(settings).profile) == "secret"


def test_text_of_the_mdm_is_inert(tmp_path: Path) -> None:
    document = {
        SERIAL: {
            "identity": {"serial_number": SERIAL},
            "name": "\x1b]0;pwned\x07\u202e{{ 7*7 }}",
            "managed": True,
            "last_seen_at": None,
            "in_scope": True,
            "excluded": False,
            "profile_installed": None,
            "removal_pending": False,
            "removed_at": None,
            "installed_at": None,
            "install_status": "\x1b[31m",
            "set_apart": "",
        },
        "C02ANOTHER": {},
    }
    del document["C02ANOTHER"]
    with served(lambda _: (200, document), tmp_path) as settings:
        found = open_mdm(settings).devices([SERIAL])[SERIAL]
        assert open_mdm(settings).devices(["C02ASKED"]) == {}

    assert found.name.isprintable()
    assert found.install_status.isprintable()


@pytest.mark.slow
@pytest.mark.parametrize(("when", "applied"), [("before", []), ("after", ["exclude"])])
def test_a_call_can_be_held(world: World, tmp_path: Path, when: str, applied: list[str]) -> None:
    folder = world.folder / "mdm"
    (folder / "hold").write_text(f'{{"verb": "exclude", "when": "{when}"}}')
    with served(MdmFace(world).answer, tmp_path) as settings:
        calling = threading.Thread(target=open_mdm(settings).exclude, args=(["1"],))
        calling.start()
        ends = time.monotonic() + 10
        while not (folder / "holding").exists() and time.monotonic() < ends:
            time.sleep(0.01)
        assert [entry["verb"] for entry in world.effects()] == applied
        open_mdm(settings).nudge([])

        (folder / "hold").unlink()
        calling.join(10)

        assert not calling.is_alive()
        assert [entry["verb"] for entry in world.effects()] == ["exclude"]
        assert not (folder / "holding").exists()


# --- checks -----------------------------------------------------------------------------------------------------


def results(checks: Iterator[Check]) -> dict[str, CheckResult]:
    found = list(checks)
    assert all(SECRET not in str(check) and check.message for check in found)
    return {check.id: check.result for check in found}


PASS, FAIL, UNKNOWN = CheckResult.PASS, CheckResult.FAIL, CheckResult.UNKNOWN


def three(credentials: CheckResult, profile: CheckResult, group: CheckResult) -> dict[str, CheckResult]:
    return {"mdm.credentials": credentials, "mdm.profile": profile, "mdm.exclusion-group": group}


def test_an_mdm_that_is_ready_passes(world: World, tmp_path: Path) -> None:
    with served(MdmFace(world).answer, tmp_path) as settings:
        assert results(open_mdm(settings, read_only=True).checks()) == three(PASS, PASS, PASS)


def test_a_group_that_something_else_uses_fails(world: World, tmp_path: Path) -> None:
    world.mdm.set_profile(group_uses=["VPN \x1b[31m"])

    with served(MdmFace(world).answer, tmp_path) as settings:
        found = {check.id: check for check in open_mdm(settings).checks()}

    assert results(iter(found.values())) == three(PASS, PASS, FAIL)
    assert "VPN ␛[31m" in found["mdm.exclusion-group"].message
    assert found["mdm.exclusion-group"].hint


@pytest.mark.parametrize(
    ("option", "expected"),
    [("profile", three(PASS, FAIL, FAIL)), ("exclusion_group", three(PASS, PASS, FAIL))],
)
def test_a_name_that_the_mdm_does_not_know_fails(
    option: str, expected: dict[str, CheckResult], world: World, tmp_path: Path
) -> None:
    with served(MdmFace(world).answer, tmp_path) as settings:
        wrong = replace(settings, options={**settings.options, option: "other"})

        assert results(open_mdm(wrong).checks()) == expected


def test_without_credentials_nobody_could_look(world: World, tmp_path: Path) -> None:
    with served(MdmFace(world).answer, tmp_path, token="other") as settings:
        assert results(open_mdm(settings).checks()) == three(FAIL, UNKNOWN, UNKNOWN)
    with served(MdmFace(world).answer, tmp_path) as settings:
        (tmp_path / "token").unlink()
        assert results(open_mdm(settings).checks()) == three(FAIL, UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("status", [500, 429])
def test_an_mdm_that_is_down_is_not_known(status: int, tmp_path: Path) -> None:
    with served(lambda _: (status, {}), tmp_path) as settings:
        assert results(open_mdm(settings).checks()) == three(UNKNOWN, UNKNOWN, UNKNOWN)


def test_an_mdm_that_talks_nonsense_fails(tmp_path: Path) -> None:
    with served(lambda _: (200, [{}]), tmp_path) as settings:
        assert results(open_mdm(settings).checks()) == three(PASS, FAIL, FAIL)


def test_a_thousand_devices_are_one_question(tmp_path: Path) -> None:
    asked: list[int] = []

    def answer(request: Any) -> tuple[int, Any]:
        asked.append(len(request.body["ids"]))
        return 200, {}

    with served(answer, tmp_path) as settings:
        assert open_mdm(settings).certificates([str(number) for number in range(1500)]) == {}

    assert asked == [1000, 500]
