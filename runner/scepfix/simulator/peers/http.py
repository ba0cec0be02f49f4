"""An HTTP server on loopback that answers JSON and knows two kinds of bearer tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_LARGEST_BODY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked. ``body`` is JSON-shaped, None where there was none; ``may_write`` says what its token allows."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    may_write: bool


#: Given a request, return HTTP status and JSON document.
Answer = Callable[[Request], tuple[int, Any]]


class JsonServer(ThreadingHTTPServer):
    """Serves ``answer`` on a free port of 127.0.0.1, in threads. ``tokens`` say whether one may write."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answer, tokens: Mapping[str, bool]) -> None:
        self.answer, self.tokens = answer, tokens
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: JsonServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a preview leaves no trace, and a request line may hold what belongs to nobody."""

    def _serve(self) -> None:
        status, document = self._answer()
        raw = json.dumps(document).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _answer(self) -> tuple[int, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LARGEST_BODY:
            self.close_connection = True
            return 413, {"error": "the body is too large"}
        raw = self.rfile.read(length)
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if scheme not in ("Bearer", "SSWS") or token not in self.server.tokens:
            return 401, {"error": "no token, or an unknown one"}
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            return 400, {"error": "the body is no JSON"}
        parts = urlsplit(self.path)
        may_write = self.server.tokens[token]
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), body, may_write)
        return self.server.answer(request)
