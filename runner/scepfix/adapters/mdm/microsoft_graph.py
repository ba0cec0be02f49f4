"""Microsoft Graph: a token for an app, pages, and batches of up to twenty questions; each "no" in one line."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from scepfix.adapters.authorization import ExpiringToken
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.secret_values import secret
from scepfix.adapters.web_service import Reply, WebService
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.parsers.service_settings import ServiceSettings

#: https://learn.microsoft.com/graph/json-batching
BATCH = 20
_TENANT = re.compile(r"[A-Za-z0-9.-]{1,253}", re.ASCII)
#: A token is renewed so long before it ends.
_EARLY_SECONDS = 300
_MOST_PAGES = 1_000
_BATCH_ROUNDS = 6
_BATCH_WAIT_SECONDS = 300.0
_TROUBLE = frozenset({429, 500, 502, 503, 504})

#: AADSTS numbers: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_NO_TENANT = frozenset({90002, 900021, 900023, 90013, 50059})
_SECRET_WORDS = {
    7000215: ("the client secret is wrong", "mdm.client_secret takes the value of the secret, not its id"),
    7000222: (
        "the client secret has expired",
        "make a new one at App registrations > Certificates & secrets, and put it where mdm.client_secret says",
    ),
    700016: ("this tenant has no app with that client id", "check mdm.client_id and mdm.tenant"),
    7000112: ("the app is switched off in this tenant", "switch it on at Enterprise applications > Properties"),
}


def utc_now() -> datetime:
    """Return the moment on this computer's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Part:
    """One question of a batch; ``url`` without host and version."""

    method: str
    url: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class PartReply:
    """What was said to it."""

    status: int
    body: Any


class EntraToken:
    """Implements adapters.web_service.Authorization: client credentials, renewed before they end and once refused."""

    def __init__(
        self, settings: ServiceSettings, scope: str, *, sleep: Callable[[float], None], now: Callable[[], datetime]
    ) -> None:
        """``scope``: what the token is for. Raise UsageError where ``tenant`` can be none."""
        self._settings, self._scope = settings, scope
        self._tenant = settings.text("tenant")
        if not _TENANT.fullmatch(self._tenant):
            raise UsageError(
                "settings", "mdm.tenant is no directory id or domain", where="mdm", hint="Entra shows it as Tenant ID"
            )
        url = settings.text("login_url", "https://login.microsoftonline.com")
        self._login = WebService(settings, "mdm", MdmError, url=url, sleep=sleep)
        self._token = ExpiringToken(self._ask, lambda: now().timestamp(), _EARLY_SECONDS)

    def headers(self, service: WebService, *, fresh: bool) -> Mapping[str, str]:
        """Return the bearer token, a new one where the old is about to end or was refused. Raise MdmError."""
        return self._token.headers(service, fresh=fresh)

    def roles(self, service: WebService) -> frozenset[str] | None:
        """Return the application permissions in the token, None where it is not to be read."""
        parts = self._token.get(service).split(".")
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            return frozenset(map(str, claims.get("roles") or ()))
        except (IndexError, ValueError, AttributeError, TypeError):
            return None

    def _ask(self, service: WebService) -> tuple[str, float]:
        """Ask Entra, which is another service than the one that wants the token."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.text("client_id"),
            "client_secret": secret(self._settings, "client_secret"),
            "scope": self._scope,
        }
        path = f"/{quote(self._tenant, safe='')}/oauth2/v2.0/token"
        reply = self._login.ask("POST", path, form=form, accept=(400, 401, 404), authorized=False, repeatable=True)
        try:
            found = self._login.json(reply)
        except MdmError:
            raise self._login.wrong(
                "tenant", "what answers there gives no tokens of Entra", "check mdm.login_url and mdm.tenant"
            ) from None
        if reply.status >= 400:
            raise self._refused(reply.status, found if isinstance(found, dict) else {})
        try:
            return str(found["access_token"]), int(found.get("expires_in", 0))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._login.wrong("answer", "it gave no token", "is mdm.login_url right?") from None

    def _refused(self, status: int, found: Mapping[str, Any]) -> ScepfixError:
        """Only numbers are told on: the text that comes with them repeats what was sent."""
        given = found.get("error_codes")
        codes = [code for code in given if isinstance(code, int)] if isinstance(given, list) else []
        if any(code in _NO_TENANT for code in codes):
            return self._login.wrong(
                "tenant",
                f"there is no such tenant (AADSTS{codes[0]})",
                "check mdm.tenant: Entra shows it as Tenant ID",
            )
        for code in codes:
            if code in _SECRET_WORDS:
                message, hint = _SECRET_WORDS[code]
                return self._login.wrong("credentials", f"{message} (AADSTS{code})", hint)
        number = f"AADSTS{codes[0]}" if codes else str(status)
        return self._login.wrong("credentials", f"Entra gave no token ({number})", "check mdm.client_id and its secret")


class Graph:
    """Microsoft Graph, for one app of one tenant."""

    def __init__(
        self, settings: ServiceSettings, *, sleep: Callable[[float], None] = time.sleep, now: Callable[[], datetime]
    ) -> None:
        self._sleep = sleep
        url = settings.text("url", "https://graph.microsoft.com").rstrip("/")
        self.token = EntraToken(settings, f"{url}/.default", sleep=sleep, now=now)
        self.service = WebService(settings, "mdm", MdmError, self.token, url=url, sleep=sleep)
        self.url = url

    def wrong(self, code: str, message: str, hint: str) -> ScepfixError:
        """Return the error of that code, with Graph's address."""
        return self.service.wrong(code, message, hint)

    def get(self, path: str, needs: str, *, query: Mapping[str, str | int] | None = None) -> Any:
        """Return the document at a path (with its version), None where there is none. Raise MdmError."""
        reply = self.service.ask("GET", path, query=query, needs=_permission(needs), accept=(404,))
        return None if reply.status == 404 else self.service.json(reply)

    def change(self, method: str, path: str, document: Any, needs: str, accept: Collection[int] = ()) -> Reply:
        """Send a change that does no harm when it is repeated. Raise MdmError."""
        return self.service.ask(
            method, path, document=document, needs=_permission(needs), accept=accept, repeatable=True
        )

    def pages(self, path: str, needs: str, *, query: Mapping[str, str | int] | None = None) -> list[Any] | None:
        """Return the whole collection at a path, None where there is none. Raise MdmError."""
        first = self.get(path, needs, query=query)
        return None if first is None else self.all_of(first, needs)

    def all_of(self, document: Any, needs: str) -> list[Any]:
        """Given the first page of a collection, return all its items. Raise MdmError."""
        found: list[Any] = []
        for _ in range(_MOST_PAGES):
            try:
                found += document["value"]
                link = document.get("@odata.nextLink")
            except (KeyError, TypeError, AttributeError):
                break
            if not link:
                return found
            document = self.get(str(link), needs)
        raise self.wrong("answer", "a list of another form than expected", "is mdm.url Microsoft Graph?")

    def batch(self, version: str, parts: Sequence[Part], needs: str) -> list[PartReply]:
        """Ask many questions, twenty at a time, and those that were throttled again; return the replies in order.

        Each must be harmless when it is repeated. 401, 403 and what stays throttled or broken raise MdmError.
        """
        found: list[PartReply] = []
        for start in range(0, len(parts), BATCH):
            for reply in self._batch(version, parts[start : start + BATCH], needs):
                error = self._no(reply, needs)
                if error:
                    raise error
                found.append(reply)
        return found

    def attempt(self, version: str, parts: Sequence[Part], needs: str) -> list[PartReply | ScepfixError]:
        """Ask as ``batch`` does, but all of them, whatever becomes of one; return for each its reply, or the error."""
        found: list[PartReply | ScepfixError] = []
        for start in range(0, len(parts), BATCH):
            some = parts[start : start + BATCH]
            try:
                found += [self._no(reply, needs) or reply for reply in self._batch(version, some, needs)]
            except MdmError as error:
                found += [error] * len(some)
        return found

    def _no(self, reply: PartReply, needs: str) -> ScepfixError | None:
        """Return the error of a part that was not answered, None where it was."""
        if reply.status in _TROUBLE:
            return self.wrong("unreachable", "it throttles, or cannot answer now", "try again later; nothing was lost")
        if reply.status == 401:
            return self.wrong("credentials", "it takes our token no longer (401)", "is the app still there?")
        if reply.status == 403:
            return self.wrong(
                "privilege",
                f"it refused (403): that needs {_permission(needs)}",
                "give it to the app and grant admin consent",
            )
        return None

    def _batch(self, version: str, parts: Sequence[Part], needs: str) -> list[PartReply]:
        """Ask up to twenty; a part that stays throttled or broken has that status in the end."""
        done: dict[int, PartReply] = {}
        troubled: dict[int, PartReply] = {}
        waited = 0.0
        for turn in range(_BATCH_ROUNDS):
            left = [number for number in range(len(parts)) if number not in done]
            if not left:
                break
            pause = 0.0
            for number, status, after, body in self._once(version, parts, left, needs):
                if status in _TROUBLE:
                    pause = max(pause, after, float(2**turn))
                    troubled[number] = PartReply(status, body)
                else:
                    done[number] = PartReply(status, body)
            if pause:
                waited += pause
                if turn + 1 == _BATCH_ROUNDS or waited > _BATCH_WAIT_SECONDS:
                    break
                self._sleep(pause)
        found = {**troubled, **done}
        if len(found) < len(parts):
            raise self.wrong("answer", "a batch with answers missing", "is mdm.url Microsoft Graph?")
        return [found[number] for number in range(len(parts))]

    def _once(
        self, version: str, parts: Sequence[Part], numbers: Sequence[int], needs: str
    ) -> Iterator[tuple[int, int, float, Any]]:
        """Yield number, status, seconds to wait and body of each answer."""
        requests = [
            {
                "id": str(number),
                "method": parts[number].method,
                "url": parts[number].url,
                **(
                    {}
                    if parts[number].body is None
                    else {"body": parts[number].body, "headers": {"Content-Type": "application/json"}}
                ),
            }
            for number in numbers
        ]
        reply = self.change("POST", f"/{version}/$batch", {"requests": requests}, needs)
        try:
            answers = [
                (
                    int(one["id"]),
                    int(one["status"]),
                    _seconds({str(key).lower(): value for key, value in (one.get("headers") or {}).items()}),
                    one.get("body"),
                )
                for one in self.service.json(reply)["responses"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self.wrong("answer", "no answer to a batch", "is mdm.url Microsoft Graph?") from None
        return (one for one in answers if one[0] in numbers)


def _permission(needs: str) -> str:
    return f"the application permission {needs}" if needs else ""


def _seconds(headers: Mapping[str, Any]) -> float:
    value = str(headers.get("retry-after", ""))
    return float(value) if re.fullmatch(r"[0-9]{1,6}", value, re.ASCII) else 0.0
