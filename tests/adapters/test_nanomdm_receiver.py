"""The listener for NanoMDM's webhook: 200 for what is on the disk, a plain refusal for everything else."""

from __future__ import annotations

import base64
import hmac
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import urllib3

from scepfix.adapters.mdm.nanomdm_journal import JournalError
from scepfix.adapters.mdm.nanomdm_receiver import DEFAULT_LISTEN, listen_address, serve_webhook
from scepfix.domain.errors import UsageError
from scepfix.parsers.nanomdm_webhook import WebhookEvent
from scepfix.parsers.service_settings import SecretRef, ServiceSettings

KEY = "planted-key"
IDLE = json.dumps(
    {
        "topic": "mdm.Connect",
        "created_at": "2026-11-24T09:00:00Z",
        "acknowledge_event": {"ids": {"id": "A-1", "type": "Device"}, "status": "Idle", "raw_payload": ""},
    }
).encode()


@dataclass
class Listening:
    url: str
    taken: list[WebhookEvent] = field(default_factory=list)

    def post(self, body: bytes = IDLE, method: str = "POST", path: str = "", **headers: str) -> int:
        signed = base64.b64encode(hmac.digest(KEY.encode(), body, "sha256")).decode("ascii")
        sent = {"Content-Type": "application/json; charset=utf-8", "X-Hmac-Signature": signed}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(10)) as pool:
            reply = pool.request(method, path or self.url, body=body, headers=sent)
            assert KEY.encode() not in reply.data
            assert b"Traceback" not in reply.data
            return reply.status

    def say(self, text: bytes) -> bytes:
        """Send those bytes and nothing more; return the first line that comes back."""
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port), 10) as connection:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").readline()


@contextmanager
def listening(wrong: Exception | None = None, key: str = KEY) -> Iterator[Listening]:
    found = Listening("")

    def take(event: WebhookEvent) -> None:
        if wrong is not None:
            raise wrong
        found.taken.append(event)

    with serve_webhook(("127.0.0.1", 0), lambda: key, take) as url:
        found.url = url
        yield found


def test_an_event_is_taken() -> None:
    with listening() as there:
        assert there.post() == 200

    assert there.taken == [WebhookEvent("mdm.Connect", "A-1", status="Idle")]
    assert there.taken[0].created_at == datetime(2026, 11, 24, 9, tzinfo=UTC)


def test_what_is_no_event_is_refused() -> None:
    with listening() as there:
        assert [
            there.post(b"{}"),
            there.post(b"\xff"),
            there.post(IDLE.replace(b"created_at", b"created")),
            there.post(IDLE.replace(b"2026", b"MMXXVI")),
            there.post(IDLE.replace(b'"topic"', b'"event_id": "\\u001b", "topic"')),
            there.post(X_Hmac_Signature="bm8="),
            there.post(X_Hmac_Signature=""),
            there.post(X_Hmac_Signature="Ä".encode().decode("latin-1")),
            there.post(method="PUT"),
            there.post(method="DELETE"),
            there.post(path=there.url.replace("/webhook", "/elsewhere")),
            there.post(Content_Type="text/plain"),
            there.post(b"x" * (8 * 1024 * 1024 + 1)),
        ] == [400, 400, 400, 400, 400, 401, 401, 401, 405, 405, 404, 415, 413]
        assert there.post() == 200
    assert len(there.taken) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n", b"411"),
        (b"POST /webhook HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: -5\r\n\r\n", b"411"),
        (
            b"POST /webhook HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"411",
        ),
        (b"POST /webhook HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{", b"400"),
        (b"GARBAGE\r\n\r\n", b""),
    ],
)
def test_a_request_that_is_none_ends(said: bytes, status: bytes) -> None:
    with listening() as there:
        assert status in there.say(said)
        assert there.post() == 200


def test_what_cannot_be_kept_is_no_200() -> None:
    with listening(JournalError("mdm-journal", "the disk is full")) as there:
        assert there.post() == 503
    with listening(RuntimeError("a fault of ours, with a secret in it")) as there:
        assert there.post() == 500


def test_without_a_key_nothing_is_signed() -> None:
    with listening(key="") as there:
        assert there.post(X_Hmac_Signature="") == 200


def test_an_address_that_is_taken_is_told() -> None:
    with listening() as there:
        port = urlsplit(there.url).port or 0
        with (
            pytest.raises(UsageError, match="cannot listen"),
            serve_webhook(("127.0.0.1", port), lambda: "", lambda event: None),
        ):
            pass


def settings(listen: str | None, *secrets: str) -> ServiceSettings:
    options: dict[str, str | int] = {} if listen is None else {"listen": listen}
    return ServiceSettings("nanomdm", options, {one: SecretRef("env", "X") for one in secrets})


def test_where_to_listen() -> None:
    assert listen_address(settings(None)) == ("127.0.0.1", 9002) == ("127.0.0.1", int(DEFAULT_LISTEN[-4:]))
    assert listen_address(settings("[::1]:80")) == ("::1", 80)
    assert listen_address(settings("0.0.0.0:9002", "webhook_key")) == ("0.0.0.0", 9002)


@pytest.mark.parametrize("listen", ["", "9002", "localhost:9002", "127.0.0.1", "127.0.0.1:70000", "1.2.3:4", "[1]:2"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match="IP:PORT"):
        listen_address(settings(listen))


def test_beyond_this_computer_a_key_is_needed() -> None:
    with pytest.raises(UsageError, match="webhook_key"):
        listen_address(settings("192.0.2.1:9002"))
