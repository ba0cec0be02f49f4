"""A service on loopback: hands each request to a face, checks both against the published contract, injects faults."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came. ``headers`` by lower-case name."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes

    def document(self) -> Any:
        return json.loads(self.body)

    def get(self, name: str, otherwise: str = "") -> str:
        return dict(self.query).get(name, otherwise)


@dataclass(frozen=True, slots=True)
class Said:
    """One reply. ``document`` is sent as JSON unless ``body`` is there. ``cut``: the connection ends half-way."""

    status: int = 200
    document: Any = None
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    slow_seconds: float = 0.0
    cut: bool = False

    def as_bytes(self) -> bytes:
        if self.body is not None:
            return self.body
        return b"" if self.document is None else json.dumps(self.document).encode("utf-8")


class Contract(Protocol):
    """A published description of a service."""

    def of_request(self, asked: Asked) -> list[str]:
        """Return what in a request is not in the contract, a line each."""
        ...

    def of_reply(self, asked: Asked, said: Said) -> list[str]:
        """Return what in a reply is not in the contract, a line each."""
        ...


Face = Callable[[Asked], Said]


@dataclass
class Service:
    """A running service. ``faults`` are used up first, one for each request that ``matches``: see ``inject``."""

    face: Face
    contract: Contract | None = None
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    off_contract: list[str] = field(default_factory=list)
    _faults: list[tuple[Callable[[Asked], bool], Said]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    open_now: int = 0
    most_open: int = 0

    def inject(self, *replies: Said, matches: Callable[[Asked], bool] = lambda asked: True) -> None:
        """Answer the next matching requests with these replies, one each, instead of asking the face."""
        self._faults += [(matches, reply) for reply in replies]

    def answer(self, asked: Asked) -> Said:
        with self._lock:
            self.asked.append(asked)
            wrong = self.contract.of_request(asked) if self.contract else []
            self.off_contract += wrong
            if wrong:
                return Said(400, {"off-contract": wrong})
            for index, (matches, reply) in enumerate(self._faults):
                if matches(asked):
                    del self._faults[index]
                    return reply
            said = self.face(asked)
            self.off_contract += self.contract.of_reply(asked, said) if self.contract else []
            return said


@contextmanager
def serve(face: Face, contract: Contract | None = None) -> Iterator[Service]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    service = Service(face, contract)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two writes: the second must not wait for the first one's ACK, 40 ms each time.
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with service._lock:
                service.open_now += 1
                service.most_open = max(service.most_open, service.open_now)

        def finish(self) -> None:
            with service._lock:
                service.open_now -= 1
            super().finish()

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = tuple(parse_qsl(parts.query, keep_blank_values=True))
            said = service.answer(Asked(self.command, parts.path, query, headers, body))
            time.sleep(said.slow_seconds)
            raw = said.as_bytes()
            if any(name == "Date" for name, _ in said.headers):
                self.send_response_only(said.status)
            else:
                self.send_response(said.status)
            for name, value in (("Content-Type", said.content_type), *said.headers):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            if said.cut:
                self.wfile.write(raw[: len(raw) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test that fails shows what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def changes(service: Service, methods: Sequence[str] = ("POST", "PUT", "PATCH", "DELETE")) -> list[Asked]:
    """Return the requests that may have changed something."""
    return [asked for asked in service.asked if asked.method in methods]
