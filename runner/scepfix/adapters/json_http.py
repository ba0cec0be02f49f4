"""Asks a service for JSON over HTTP with a bearer token: bounded in time and size, no redirect, no proxy."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from scepfix.adapters.small_files import unreadable
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.parsers.settings import ServiceSettings

_SOCKET_SECONDS = 30.0
_WHOLE_SECONDS = 60.0
_LARGEST_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
#: What may stand in a header; the message about another one would show it.
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another place."""

    def redirect_request(self, *_: Any) -> None:
        return None


class JsonService:
    """A service reached by HTTP. ``name`` begins the error codes: NAME-unreachable, NAME-refused, NAME-answer."""

    def __init__(self, settings: ServiceSettings, name: str, error: type[ScepfixError]) -> None:
        self._settings, self._name, self._error = settings, name, error
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[int, Any]:
        """Given method, path, query and JSON body, return status (200 or 404) and document. Raise the service's error.

        The token is read anew each time, so that a rotated one counts; it is in no message.
        """
        address = self._address(path, query or {})
        headers = {"Accept": "application/json", **self._authorization()}
        data = None if body is None else json.dumps(body).encode("utf-8")
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310 - http or https, checked
        try:
            with self._opener.open(request, timeout=_SOCKET_SECONDS) as answer:
                return 200, self._document(self._bounded(answer))
        except urllib.error.HTTPError as error:
            with error:
                return self._other_status(error)
        except (OSError, http.client.HTTPException) as error:
            reason = visible(str(getattr(error, "reason", None) or error))[:200]
            raise self.wrong(
                "unreachable", f"no answer: {reason}", "is it up, and can this machine reach it?"
            ) from error

    def wrong(self, code: str, message: str, hint: str) -> ScepfixError:
        """Return the error of that code, with the service's address."""
        return self._error(f"{self._name}-{code}", message, where=visible(self._settings.url), hint=hint)

    def _address(self, path: str, query: Mapping[str, str]) -> str:
        parts = urlsplit(self._settings.url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.username or parts.password:
            raise UsageError(
                "settings",
                f"{self._name}.url is no plain http or https address",
                where=self._name,
                hint="a token belongs into token_file",
            )
        return self._settings.url.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")

    def _authorization(self) -> Mapping[str, str]:
        if not self._settings.token_file:
            return {}
        try:
            token = Path(self._settings.token_file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise unreadable(self._settings.token_file, error) from None
        if not _TOKEN.fullmatch(token):
            raise UsageError(
                "settings",
                "this is no token: one word of printable ASCII was expected",
                where=visible(self._settings.token_file),
                hint="the file holds the token and nothing else",
            )
        return {"Authorization": f"Bearer {token}"}

    def _bounded(self, answer: http.client.HTTPResponse) -> bytes:
        ends, found = time.monotonic() + _WHOLE_SECONDS, bytearray()
        while chunk := answer.read1(_CHUNK_BYTES):
            found += chunk
            if len(found) > _LARGEST_BYTES or time.monotonic() > ends:
                raise self.wrong("answer", "the answer does not end", "is the address right?")
        return bytes(found)

    def _document(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise self.wrong("answer", "the answer is no JSON", "is the address right?") from error

    def _other_status(self, error: urllib.error.HTTPError) -> tuple[int, Any]:
        if error.code == http.HTTPStatus.NOT_FOUND:
            return 404, None
        if error.code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            raise self.wrong("refused", f"it refused ({error.code})", "may this token do that?") from None
        if error.code in (http.HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)):
            raise self.wrong("unreachable", f"it cannot answer now ({error.code})", "try again later") from None
        raise self.wrong("answer", f"an answer that was not expected ({error.code})", "is the address right?") from None
