"""Asks a service over HTTP: bounded in time and size, few connections, no redirect; waits where it is told to."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import (
    HTTPError,
    LocationParseError,
    NameResolutionError,
    ProxyError,
    SSLError,
    TimeoutError,
)
from urllib3.util import Url, parse_url

from scepfix.adapters.secret_values import option_path
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.parsers.service_settings import ServiceSettings

#: No byte for so long: the connection is dead.
_SOCKET_SECONDS = 30.0
#: Of one answer, from its first to its last byte.
_ANSWER_SECONDS = 60.0
#: All that one question may take, with its repetitions and the waits that the service asks for.
_WHOLE_SECONDS = 180.0
_LARGEST_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
#: Methods that may be repeated although the first attempt may have arrived.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_TROUBLE = frozenset({408, 500, 502, 503, 504})
_ATTEMPTS_IN_TROUBLE = 4
_FIRST_PAUSE_SECONDS = 1.0
#: Longer waits than that are all the same: too long.
_LONGEST_TOLD_SECONDS = 365 * 24 * 3600.0
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,16384}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class Authorization(Protocol):
    """What makes a request ours."""

    def headers(self, service: WebService, *, fresh: bool) -> Mapping[str, str]:
        """Return the headers; ``fresh``: what was given before was refused (401), so make a new one.

        May ask the service itself, with ``authorized=False``. Raise the service's error.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, headers by lower-case name, each with its values in the order in which they came, and body."""

    status: int
    headers: Mapping[str, tuple[str, ...]] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """Return the first value of that header, "" where there is none."""
        return (self.headers.get(name.lower()) or ("",))[0]


class WebService:
    """A service reached by HTTP, for one thread. ``name`` begins the error codes (docs/command-line.md):

    NAME-unreachable (no answer, or none now), NAME-credentials (401), NAME-privilege (403), NAME-refused (another 4xx
    that says no), NAME-answer (not what was expected).
    """

    def __init__(
        self,
        settings: ServiceSettings,
        name: str,
        error: type[ScepfixError],
        authorization: Authorization | None = None,
        *,
        url: str = "",
        connections: int = 5,
        pace: Callable[[Reply], float] = lambda reply: 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``url``: where it is, if not at the setting ``url``. ``pace``: given a reply, seconds to wait before the
        next question (a rate limit that would bite). ``sleep`` stands in for the clock in tests.

        Raise UsageError where an address in the settings is none.
        """
        self._name, self._error, self._authorization = name, error, authorization
        self._pace, self._sleep = pace, sleep
        self._not_before = 0.0
        self._cookies: dict[str, str] = {}
        self._url = (url or settings.url).rstrip("/")
        self._origin = _origin_of(self._url, f"{name}.url")
        self._pool = _pool(settings, name, connections)

    @property
    def origin(self) -> str:
        """Scheme, host and port: the only place that is ever asked."""
        return self._origin

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        document: object = None,
        form: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        needs: str = "",
        accept: Collection[int] = (404,),
        authorized: bool = True,
        repeatable: bool | None = None,
    ) -> Reply:
        """Ask once, and again where that is safe; return the reply: 2xx, or a status in ``accept``.

        ``path`` starts with ``/``, or is an address on the same origin (the next page). ``document`` is sent as JSON,
        ``form`` as a form, ``body`` as it is. ``needs`` names the privilege or scope for the message of a 403.
        ``repeatable``: doing it twice is doing it once (default: by the method). A 429 was not done: it is repeated
        after the time that the service names. Raise the service's error, with one line on what to do.
        """
        address = self._address(path, query or {})
        sent = {"Accept": "application/json", **(headers or {})}
        data = body
        if document is not None:
            data, sent["Content-Type"] = json.dumps(document).encode("utf-8"), "application/json"
        elif form is not None:
            data, sent["Content-Type"] = urlencode(form).encode("ascii"), "application/x-www-form-urlencoded"
        again = method in _REPEATABLE if repeatable is None else repeatable
        authorization = self._authorization if authorized else None
        left, troubles, busy, renewed, fresh = _WHOLE_SECONDS, 0, 0, False, False
        while True:
            left = self._keep_pace(left)
            given = authorization.headers(self, fresh=fresh) if authorization else {}
            begun, fresh = time.monotonic(), False
            reply = self._once(method, address, data, {**sent, **given})
            left -= time.monotonic() - begun
            if isinstance(reply, ScepfixError):
                error, repeat, told = reply, again, 0.0
            elif 200 <= reply.status < 300 or reply.status in accept:
                return reply
            elif reply.status == HTTPStatus.UNAUTHORIZED and given and not renewed:
                renewed = fresh = True
                continue
            elif reply.status == HTTPStatus.TOO_MANY_REQUESTS:
                busy += 1
                left = self._wait(_told_to_wait(reply) or _FIRST_PAUSE_SECONDS * 2 ** (busy - 1), left)
                continue
            else:
                error = self._of_status(reply, needs)
                repeat, told = again and reply.status in _TROUBLE, _told_to_wait(reply)
            troubles += 1
            if not repeat or troubles == _ATTEMPTS_IN_TROUBLE:
                raise error
            left = self._wait(max(told, _FIRST_PAUSE_SECONDS * 2 ** (troubles - 1)), left)

    def json(self, reply: Reply) -> Any:
        """Given a reply, return its JSON document; None for an empty body. Raise the service's error."""
        if not reply.body.strip():
            return None
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            raise self.wrong("answer", "the answer is no JSON", "is the address right?") from None

    def wrong(self, code: str, message: str, hint: str) -> ScepfixError:
        """Return the error of that code, with the service's address."""
        return self._error(f"{self._name}-{code}", message, where=visible(self._url), hint=hint)

    # --- one attempt ----------------------------------------------------------------------------------------------

    def _address(self, path: str, query: Mapping[str, str | int]) -> str:
        segments = re.split("[?#]", path, maxsplit=1)[0].lower().replace("%2e", ".").split("/")
        if "." in segments or ".." in segments:
            # It would be folded, here or there, and another thing be asked than was meant.
            raise self.wrong("answer", "an address with a . or .. between its slashes", "is the address right?")
        if path.startswith("/"):
            return self._url + path + (f"?{urlencode(query)}" if query else "")
        try:
            # Taken apart by whom it will be opened: two readers may see two hosts in one address.
            there = parse_url(path)
        except LocationParseError:
            there = parse_url("")
        if _origin(there) != self._origin:
            # A page that lies elsewhere would be sent our token.
            raise self.wrong("answer", "the next page lies on another host", "is the address right?")
        return self._origin + there.request_uri

    def _once(self, method: str, address: str, data: bytes | None, headers: Mapping[str, str]) -> Reply | ScepfixError:
        """Ask; return the reply, or the error where none came."""
        if not all(_HEADER_VALUE.fullmatch(value) for value in headers.values()):
            # The message about it would show the secret.
            raise UsageError(
                "secret",
                f"a secret of {self._name} is no token: printable ASCII was expected",
                where=self._name,
                hint="the secret and nothing else belongs where the settings say that it lies",
            )
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        try:
            answer = self._pool.request(
                method,
                address,
                body=data,
                headers={**headers, **({"Cookie": cookies} if cookies else {})},
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=_SOCKET_SECONDS, read=_SOCKET_SECONDS),
            )
            try:
                body = self._bounded(answer)
            except BaseException:
                answer.close()
                raise
            finally:
                answer.release_conn()
        except SSLError as error:
            if isinstance(error.args[0], ssl.SSLCertVerificationError):
                raise self._untrusted(error.args[0]) from None
            return self.wrong("unreachable", "no answer: TLS failed", "does it speak https there, TLS 1.2 or newer?")
        except (HTTPError, OSError) as error:
            hint = "is it up, and can this machine reach it?"
            return self.wrong("unreachable", f"no answer: {_reason(error)}", hint)
        found = {name.lower(): tuple(answer.headers.getlist(name)) for name in answer.headers}
        self._keep_cookies(found.get("set-cookie", ()))
        reply = Reply(answer.status, found, body)
        self._not_before = time.monotonic() + self._pace(reply)
        return reply

    def _bounded(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        ends, found = time.monotonic() + _ANSWER_SECONDS, bytearray()
        while chunk := answer.read1(_CHUNK_BYTES):
            found += chunk
            if len(found) > _LARGEST_BYTES or time.monotonic() > ends:
                raise self.wrong("answer", "the answer does not end", "is the address right?")
        return bytes(found)

    def _keep_cookies(self, values: tuple[str, ...]) -> None:
        """A cluster answers reads from the node that took the write only to whom has its cookie (Jamf Cloud)."""
        for value in values:
            try:
                read = SimpleCookie(value)
            except CookieError:
                continue
            cookies = {name: one.coded_value for name, one in read.items() if _TOKEN.fullmatch(one.coded_value)}
            self._cookies.update(cookies)

    def _keep_pace(self, left: float) -> float:
        left = self._wait(self._not_before - time.monotonic(), left)
        self._not_before = 0.0
        return left

    def _wait(self, seconds: float, left: float) -> float:
        """Wait, and return what is left of the time that one question may take."""
        if seconds <= 0:
            return left
        if seconds > left:
            message = f"it is busy: the next attempt would be {seconds:.0f} seconds from now"
            raise self.wrong("unreachable", message, "try again then")
        self._sleep(seconds)
        return left - seconds

    def _of_status(self, reply: Reply, needs: str) -> ScepfixError:
        status = reply.status
        if status == HTTPStatus.UNAUTHORIZED:
            return self.wrong(
                "credentials",
                "it does not take our credentials (401): wrong, expired or revoked",
                f"renew the secret that {self._name} in the settings names",
            )
        if status == HTTPStatus.FORBIDDEN:
            hint = (
                f"give that to the API client of {self._name}"
                if needs
                else f"may the API client of {self._name} do that?"
            )
            return self.wrong("privilege", "it refused (403)" + (f": that needs {needs}" if needs else ""), hint)
        if status in _TROUBLE:
            return self.wrong("unreachable", f"it cannot answer now ({status})", "try again later")
        if 300 <= status < 400:
            hint = f"write the final address into {self._name}.url"
            return self.wrong("answer", f"it points elsewhere ({status})", hint)
        return self.wrong("refused", f"it refused ({status})", "is the address right?")

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> ScepfixError:
        return self.wrong(
            "unreachable",
            f"its certificate is not trusted: {visible(error.verify_message)}",
            f"is it the right host? If so, name the CA that signed its certificate in {self._name}.ca_file",
        )


def _origin(address: Url) -> str:
    """Return ``https://HOST:PORT``, "" for what is no plain http or https address. A user name in it is none."""
    if address.scheme not in ("http", "https") or not address.host or address.auth:
        return ""
    port = address.port or (443 if address.scheme == "https" else 80)
    return f"{address.scheme}://{address.host}:{port}"


def _origin_of(setting: str, key: str) -> str:
    try:
        found = _origin(parse_url(setting))
    except LocationParseError:
        found = ""
    if not found:
        raise UsageError(
            "settings",
            f"{key} is no plain http or https address",
            where=key.partition(".")[0],
            hint="https://HOST, without a user name or a secret in it",
        )
    return found


def _pool(settings: ServiceSettings, name: str, connections: int) -> urllib3.PoolManager:
    more: dict[str, Any] = {"num_pools": 2, "maxsize": connections, "block": True}
    if settings.text("ca_file"):
        more["ssl_context"] = _trusting(settings, name)
    if settings.text("proxy"):
        return urllib3.ProxyManager(_origin_of(settings.text("proxy"), f"{name}.proxy"), **more)
    return urllib3.PoolManager(**more)


def _trusting(settings: ServiceSettings, name: str) -> ssl.SSLContext:
    """Only the CAs of that file are trusted, not those of this machine."""
    file = settings.text("ca_file")
    try:
        return ssl.create_default_context(cafile=option_path(settings, file))
    except OSError:
        raise UsageError(
            "settings",
            f"{name}.ca_file names {file!r}, which holds no certificate that can be read",
            where=name,
            hint="PEM: the certificate of the CA that signed the service's",
        ) from None


def _told_to_wait(reply: Reply) -> float:
    """Return the seconds of Retry-After (RFC 9110, 10.2.3: seconds, or a date by the service's own clock), 0 where it
    says nothing."""
    value = reply.header("retry-after").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_TOLD_SECONDS)
    at = _moment(value)
    if at is None:
        return 0.0
    return min(
        max(0.0, (at - (_moment(reply.header("date")) or datetime.now(UTC))).total_seconds()), _LONGEST_TOLD_SECONDS
    )


def _moment(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else None


def _reason(error: Exception) -> str:
    """Return in a few words why no answer came. The library's own texts quote objects of its own."""
    if isinstance(error, NameResolutionError):
        return "the name of the host is not known here"
    if isinstance(error, ProxyError):
        return "the proxy is not there, or does not let us through"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return visible(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError):
        return "it took too long"
    return "the connection ended too early, or what came is no HTTP"
