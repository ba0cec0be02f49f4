"""The client of the simulated MDM: what it reads, what it refuses, and every way in which an answer can be wrong."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.simulated import SimulatedMdm
from scepfix.adapters.okta import OktaError
from scepfix.adapters.okta.simulated import SimulatedOkta
from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError
from scepfix.parsers.settings import ServiceSettings
from scepfix.service.ports import Mdm, Okta
from scepfix.simulator.peers import okta_face
from scepfix.simulator.peers.http import Answer, JsonServer
from scepfix.simulator.peers.mdm_face import MdmFace
from scepfix.simulator.world import MacSpec, World

SECRET = "s3cret-token-of-this-test"
GROUP, PROFILE = "scepfix-exclude", "com.example.okta-device-access"
SERIAL = "C02TEST00001"


@contextmanager
def served(answer: Answer, folder: Path, *, write: bool = True, token: str = SECRET) -> Iterator[ServiceSettings]:
    server = JsonServer(answer, {SECRET: write})
    file = folder / "token"
    file.write_text(f"{token}\n")
    try:
        yield ServiceSettings("simulated", server.url, str(file), PROFILE, GROUP)
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(tmp_path / "world", [MacSpec("mac-1"), MacSpec("mac-2", scenario="deleted")])


def open_mdm(settings: ServiceSettings, read_only: bool = False) -> Mdm:
    return SimulatedMdm(settings, read_only)


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
        listed = mdm.certificates(mdm_id)
        assert listed is not None
        assert listed[1] == tuple(item.der for item in world.macs["mac-1"].system_keychain.items())
        assert mdm.certificates("no/such?device") is None


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
        assert code_of(lambda: getattr(mdm, verb)(["1"])) == "mdm-refused"
    assert world.effects() == []


def test_an_unknown_token_is_refused(world: World, tmp_path: Path) -> None:
    with served(MdmFace(world).answer, tmp_path, token="other") as settings:
        assert code_of(open_mdm(settings).profile) == "mdm-refused"


def test_a_wrong_name_in_the_settings_is_told(world: World, tmp_path: Path) -> None:
    with served(MdmFace(world).answer, tmp_path) as settings:
        wrong = open_mdm(ServiceSettings("simulated", settings.url, settings.token_file, "com.other", "../members"))
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
    settings = ServiceSettings("simulated", f"http://127.0.0.1:{port}", "", PROFILE, GROUP)

    assert code_of(open_mdm(settings).profile) == "mdm-unreachable"


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (200, [], "mdm-answer"),
        (200, {"identifier": 1}, "mdm-answer"),
        (200, None, "mdm-answer"),
        (302, {}, "mdm-answer"),
        (400, {}, "mdm-answer"),
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
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(raw)

        threading.Thread(target=answer, daemon=True).start()
        token = tmp_path / "token"
        token.write_text(SECRET)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        code = code_of(open_mdm(ServiceSettings("simulated", url, str(token), PROFILE, GROUP)).profile)

    assert code in ("mdm-answer", "mdm-unreachable")


@pytest.mark.parametrize("content", ["two words", "line\nbreak", "", "\x00", "\u2603"])
def test_a_file_that_holds_no_token_is_told_without_showing_it(content: str, tmp_path: Path) -> None:
    with served(lambda _: (200, {}), tmp_path, token=f"{SECRET} {content} {SECRET}") as settings:
        assert code_of(open_mdm(settings).profile) == "settings"


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "file:///etc/passwd", "127.0.0.1", f"http://user:{SECRET}@127.0.0.1"]
)
def test_an_address_that_is_none(url: str) -> None:
    assert code_of(open_mdm(ServiceSettings("simulated", url, "", PROFILE, GROUP)).profile) == "settings"


def test_a_token_file_that_is_gone_is_told(tmp_path: Path) -> None:
    settings = ServiceSettings("simulated", "http://127.0.0.1:1", str(tmp_path / "none"), PROFILE, GROUP)
    assert code_of(open_mdm(settings).profile) == "input-missing"


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


def test_okta_over_http(world: World, tmp_path: Path) -> None:
    alive, gone = world.macs["mac-1"].facts, world.macs["mac-2"].facts
    with served(okta_face.face(world.okta), tmp_path) as settings:
        okta: Okta = SimulatedOkta(settings)

        of_alive = {one.says: one for one in okta.device_evidence(alive.identity, alive.person, "helpdesk@example.com")}
        of_gone = {one.says: one for one in okta.device_evidence(gone.identity, gone.person, "reader@example.com")}
        of_none = {one.says for one in okta.device_evidence(Identity(SERIAL), "", "")}

        assert of_alive.keys() == {
            *("okta.device-active", "okta.registered", "okta.enrolled", "okta.pin-setting", "okta.admin-may-generate")
        }
        assert of_alive["okta.admin-may-generate"].facts["allowed"] is True
        assert of_gone.keys() == {"okta.device-gone", "okta.pin-setting", "okta.admin-may-generate"}
        assert of_gone["okta.admin-may-generate"].facts["allowed"] is False
        assert of_none == {"okta.no-record", "okta.pin-setting"}
        five_days_ago = datetime.now(UTC) - timedelta(days=5, minutes=1)
        assert okta.registered(alive.identity, alive.person, five_days_ago) is True
        assert okta.registered(alive.identity, alive.person, datetime.now(UTC)) is False
        assert okta.registered(alive.identity, "mallory@example.com", five_days_ago) is False
        assert okta.registered(gone.identity, gone.person, five_days_ago) is None


@pytest.mark.parametrize("document", [{"status": "ACTIVE"}, "text", 7, [[]], [{"id": None}]])
def test_an_answer_of_okta_that_is_none(document: Any, tmp_path: Path) -> None:
    with served(lambda _: (200, document), tmp_path) as settings:
        okta = SimulatedOkta(settings)
        with pytest.raises(OktaError):
            okta.device_evidence(Identity(SERIAL), "alice@example.com", "admin@example.com")


def test_a_serial_number_cannot_leave_the_search(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: Any) -> tuple[int, Any]:
        asked.append(str(request.query))
        return (404, None) if "recovery-pin" in request.path else (200, [])

    with served(answer, tmp_path) as settings:
        found = SimulatedOkta(settings).device_evidence(Identity('X" or id pr or id eq "'), "", "")

    assert found == ()
    assert not any("id pr" in query for query in asked)
