"""How Jamf Pro is asked: tokens of an API client, pages of the Jamf Pro API, XML of the Classic API."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from scepfix.adapters.authorization import ExpiringToken
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.secret_values import secret
from scepfix.adapters.web_service import Reply, WebService
from scepfix.domain.errors import InputError, ScepfixError
from scepfix.parsers import jamf_pro
from scepfix.parsers.service_settings import ServiceSettings

#: Jamf: "no more than 5 concurrent connections" (developer.jamf.com, scalability).
_CONNECTIONS = 5
_TOKEN_PATHS = ("/api/v1/oauth/token", "/api/oauth/token")
#: How long before its end a token is renewed; one may live for 60 seconds only.
_TOKEN_SPARE_SECONDS = 30.0
_LONGEST_TOKEN_SECONDS = 86_400
INVENTORY = "/api/v4/computers-inventory"
COMMANDS = "/api/v2/mdm/commands"
#: Computers of one question, so that its address stays far below the 8 KiB that a servlet container reads.
_COMPUTERS_AT_ONCE, _CLIENTS_AT_ONCE = 100, 50
PAGE = 100
_MOST_PAGES = 200
READ_COMPUTERS, READ_PROFILES = "Read Computers", "Read macOS Configuration Profiles"
READ_GROUPS, UPDATE_GROUPS = "Read Static Computer Groups", "Update Static Computer Groups"
READ_COMMANDS = "View MDM command information in Jamf Pro API"

Query = Mapping[str, str | Sequence[str]]
Read = TypeVar("Read")


class JamfService:
    """A Jamf Pro. Every method raises MdmError: ``mdm-unreachable``, ``-credentials``, ``-privilege``, ``-tenant``,
    ``-refused`` or ``-answer``."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = ExpiringToken(partial(_ask_token, settings), monotonic, _TOKEN_SPARE_SECONDS)
        self._web = WebService(settings, "mdm", MdmError, self._tokens, connections=_CONNECTIONS, sleep=sleep)
        #: False once MDM commands were closed to us: missing privilege, or a Jamf Pro that has no such path.
        self.commands_open = True

    def version(self) -> Reply:
        """Ask for the version, which every client may."""
        return self._web.ask("GET", "/api/v1/jamf-pro-version", accept=())

    def computers(self, key: str, values: Sequence[str], sections: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the inventory's results in which the field ``key`` has one of those values, which are plain words."""
        for start in range(0, len(values), _COMPUTERS_AT_ONCE):
            quoted = ",".join(f'"{one}"' for one in values[start : start + _COMPUTERS_AT_ONCE])
            query = {"section": sections, "filter": f"{key}=in=({quoted})", "sort": "id:asc"}
            yield from self._pages(INVENTORY, query, READ_COMPUTERS)

    def commands(self, about: str, management_ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the MDM commands of those clients that fit a filter; none, and ``commands_open`` is false from then on,
        where they may not be read."""
        for start in range(0, len(management_ids), _CLIENTS_AT_ONCE):
            asked = ",".join(management_ids[start : start + _CLIENTS_AT_ONCE])
            query = {"filter": f"{about};clientManagementId=in=({asked})", "sort": "dateSent:asc"}
            yield from self._pages(COMMANDS, query, READ_COMMANDS)

    def newest(self, path: str, query: Query, needs: str, size: int = PAGE) -> list[Mapping[str, Any]]:
        """Return the first page of an answer, in the order that the query asks for."""
        return self._page(path, query, 0, size, needs)[1]

    def classic(
        self, path: str, needs: str, *, method: str = "GET", body: bytes | None = None, accept: Collection[int] = (404,)
    ) -> Reply:
        """Ask the Classic API; the reply is XML. ``needs`` is the privilege."""
        headers = {"Accept": "application/xml", **({"Content-Type": "application/xml"} if body else {})}
        try:
            return self._web.ask(method, f"/JSSResource{path}", body=body, headers=headers, needs=needs, accept=accept)
        except MdmError as error:
            if error.code != "mdm-credentials" or not self._tokens.good:
                raise
            # The token is new and every other path takes it: what is missing is the privilege.
            raise self.wrong(
                "privilege",
                f"it refused (401) although it had just given a token: that needs {needs}",
                "give the API client of mdm that privilege",
            ) from None

    def blank_push(self, management_ids: Sequence[str]) -> None:
        """Ask those clients to check in now. Which of them Jamf could not reach holds nothing up."""
        self._web.ask(
            "POST",
            "/api/v2/mdm/blank-push",
            document={"clientManagementIds": list(management_ids)},
            needs=READ_COMMANDS,
            accept=(),
            repeatable=True,
        )

    def json(self, reply: Reply) -> Any:
        return self._web.json(reply)

    def read(self, read: Callable[..., Read], *said: Any) -> Read:
        """Read an answer; one of another form is ``mdm-answer``."""
        try:
            return read(*said)
        except (InputError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            why = f" ({error.message})" if isinstance(error, InputError) else ""
            raise self.wrong(
                "answer", f"an answer of another form than expected{why}", "is mdm.url a Jamf Pro?"
            ) from None

    def wrong(self, code: str, message: str, hint: str) -> ScepfixError:
        """Return the error of that code, with the service's address."""
        return self._web.wrong(code, message, hint)

    def not_there(self, what: str, setting: str) -> ScepfixError:
        return self.wrong("answer", f"it has no {what}", f"check mdm.{setting}, and that mdm.url is the right Jamf Pro")

    def _pages(self, path: str, query: Query, needs: str) -> Iterator[Mapping[str, Any]]:
        seen = 0
        for page in range(_MOST_PAGES):
            total, results = self._page(path, query, page, PAGE, needs)
            yield from results
            seen += len(results)
            if not results or seen >= total:
                return
        raise self.wrong("answer", "its pages do not end", "is the address right?")

    def _page(self, path: str, query: Query, page: int, size: int, needs: str) -> tuple[int, list[Mapping[str, Any]]]:
        asked = urlencode({**query, "page": page, "page-size": size}, doseq=True)
        closed = (403, 404) if path == COMMANDS else ()
        reply = self._web.ask("GET", f"{path}?{asked}", needs=needs, accept={404, *closed})
        if reply.status in closed:
            self.commands_open = False
            return 0, []
        if reply.status == 404:
            raise self.wrong("answer", f"it has no {path}", "this needs a Jamf Pro that has it: update Jamf Pro")
        return self.read(jamf_pro.read_page, self._web.json(reply))


def _ask_token(settings: ServiceSettings, service: WebService) -> tuple[str, float]:
    """Return a token for the API client, and for how many seconds it is good. Raise MdmError."""
    form = {
        "grant_type": "client_credentials",
        "client_id": settings.text("client_id"),
        "client_secret": secret(settings, "client_secret"),
    }
    refused = (400, 401, 403, 404, 405)
    for path in _TOKEN_PATHS:
        reply = service.ask("POST", path, form=form, authorized=False, accept=refused, repeatable=True)
        if reply.status not in (404, 405):
            break
    if reply.status in (404, 405):
        raise service.wrong(
            "tenant", "this is no Jamf Pro: nobody gives a token there", "check mdm.url, without /api or a path"
        )
    if reply.status >= 400:
        raise service.wrong(
            "credentials",
            f"it gives no token ({reply.status}): API client unknown there or disabled, or its secret is wrong",
            "check mdm.client_id and mdm.client_secret, and that mdm.url is the Jamf Pro of that API client",
        )
    return _read_token(service, reply)


def _read_token(service: WebService, reply: Reply) -> tuple[str, float]:
    """Return the token and for how many seconds it is good. Raise MdmError where the answer is something else."""
    try:
        said = service.json(reply)
    except MdmError:
        # A page to sign in on, say.
        said = None
    token = said.get("access_token") if isinstance(said, dict) else None
    if not isinstance(token, str) or not token:
        raise service.wrong("tenant", "this is no Jamf Pro: what it gives is no token", "check mdm.url")
    seconds = said.get("expires_in")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return token, float(min(seconds, _LONGEST_TOKEN_SECONDS)) if known else 60.0
