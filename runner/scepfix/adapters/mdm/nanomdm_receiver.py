"""Listens for NanoMDM's webhook: 200 once an event is on the disk, a plain refusal for anything else.

NanoMDM posts an event once and takes nothing but 200 for an answer (its service/webhook); so nothing slow is done here.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from scepfix.domain.errors import InputError, ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.parsers.nanomdm_webhook import WebhookEvent, read_webhook_event
from scepfix.parsers.service_settings import ServiceSettings

PATH = "/webhook"
DEFAULT_LISTEN = "127.0.0.1:9002"
#: A list of a few hundred certificates, twice in base64, has about 1 MiB.
_LARGEST_BYTES = 8 * 1024 * 1024
_SOCKET_SECONDS = 30.0
_MOST_AT_ONCE = 32
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", re.ASCII)


def listen_address(settings: ServiceSettings) -> tuple[str, int]:
    """Given the settings, return where to listen: an IP address and a port (0: any free one).

    Raise UsageError: events that anybody could post would be believed, so beyond this computer a key is needed.
    """
    text = settings.text("listen", DEFAULT_LISTEN)
    found = _ADDRESS.fullmatch(text)
    try:
        address = ipaddress.ip_address((found[1] or found[2]) if found else "")
        port = int(found[3]) if found else -1
    except ValueError:
        address, port = ipaddress.ip_address("0.0.0.0"), -1  # noqa: S104 - never listened on
    if not 0 <= port <= 65535:
        raise UsageError(
            "settings", f"{visible(text)} is no IP:PORT", where="mdm.listen", hint=f"such as {DEFAULT_LISTEN}"
        )
    if not address.is_loopback and "webhook_key" not in settings.secrets:
        raise UsageError(
            "settings",
            "without webhook_key anybody who reaches that address could say what devices answered",
            where="mdm.listen",
            hint="listen on 127.0.0.1, or set mdm.webhook_key and start nanomdm with -webhook-hmac-key",
        )
    return str(address), port


@contextmanager
def serve_webhook(
    address: tuple[str, int], key: Callable[[], str], take: Callable[[WebhookEvent], None]
) -> Iterator[str]:
    """Listen until the block ends; yield the address as a URL.

    ``key`` gives the HMAC key, "" for none; ``take`` is given each event, and raises ScepfixError where it cannot be
    kept. Raise UsageError where the address is taken.
    """
    slots = threading.BoundedSemaphore(_MOST_AT_ONCE)

    class Handler(_Handler):
        timeout = _SOCKET_SECONDS

        def answer(self) -> tuple[HTTPStatus, str]:
            return _answer(self, key, take)

    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in address[0] else AF_INET
        daemon_threads = True
        allow_reuse_address = True

        def process_request(self, request: Any, client_address: Any) -> None:
            if not slots.acquire(timeout=_SOCKET_SECONDS):
                self.shutdown_request(request)
                return
            super().process_request(request, client_address)

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                super().process_request_thread(request, client_address)
            finally:
                slots.release()

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away: nothing to do, and a traceback would show what it sent."""

    try:
        server = Server(address, Handler)
    except OSError as error:
        raise UsageError(
            "settings",
            f"cannot listen there: {visible(error.strerror or str(error))}",
            where="mdm.listen",
            hint="does another program, or another scepfix serve, listen there?",
        ) from error
    host, port = server.server_address[:2]
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        yield f"http://{shown}:{port}{PATH}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_SOCKET_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "scepfix", ""

    def answer(self) -> tuple[HTTPStatus, str]:
        raise NotImplementedError

    def _respond(self) -> None:
        try:
            status, said = self.answer()
        except TimeoutError:
            status, said = HTTPStatus.REQUEST_TIMEOUT, "the body did not come"
        body = f"{said}\n".encode()
        if status is not HTTPStatus.OK:
            # What is left of a body that was not read must not be taken for the next request.
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _respond  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what came is in the journal, and what was refused may hold anything."""


def _answer(
    request: BaseHTTPRequestHandler, key: Callable[[], str], take: Callable[[WebhookEvent], None]
) -> tuple[HTTPStatus, str]:
    """Return status and a word about it."""
    if request.path.partition("?")[0] != PATH:
        return HTTPStatus.NOT_FOUND, f"the webhook is at {PATH}"
    if request.command != "POST":
        return HTTPStatus.METHOD_NOT_ALLOWED, "events are posted"
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an event is application/json"
    length = request.headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,12}", length, re.ASCII) or request.headers.get("Transfer-Encoding"):
        return HTTPStatus.LENGTH_REQUIRED, "the length of the body is needed"
    if int(length) > _LARGEST_BYTES:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {_LARGEST_BYTES} bytes"
    body = request.rfile.read(int(length))
    if len(body) < int(length):
        return HTTPStatus.BAD_REQUEST, "the body is cut"
    try:
        if not _is_signed(body, request.headers.get("X-Hmac-Signature", ""), key()):
            return HTTPStatus.UNAUTHORIZED, "X-Hmac-Signature does not fit"
        take(read_webhook_event(body))
    except InputError as error:
        return HTTPStatus.BAD_REQUEST, error.message
    except ScepfixError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, error.code
    except Exception:
        # A fault of ours: the event is not kept, and no traceback goes to whoever posted it.
        return HTTPStatus.INTERNAL_SERVER_ERROR, "internal"
    return HTTPStatus.OK, "kept"


def _is_signed(body: bytes, signature: str, key: str) -> bool:
    """Base64 of the HMAC-SHA256 of the body (NanoMDM: -webhook-hmac-key); without a key nothing is asked for."""
    if not key:
        return True
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(given, hmac.digest(key.encode(), body, "sha256"))
