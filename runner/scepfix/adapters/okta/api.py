"""Asks one Okta org: pages, rate limits, and what is no Okta org at all."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from scepfix.adapters.okta import OktaError
from scepfix.adapters.okta.credentials import READ_SCOPES, admin_console, authorization_of, no_org
from scepfix.adapters.okta.rate_limits import RateLimits, wait_of_refusal
from scepfix.adapters.web_service import Reply, WebService
from scepfix.domain.errors import ScepfixError
from scepfix.parsers.service_settings import ServiceSettings

#: Of every limit, in percent: what Okta gives one token by default, too.
_DEFAULT_SHARE = 50
#: A thousand pages of a thousand events: further on the service is going in circles.
_MOST_PAGES = 1000
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"next"|next)(?![\w-])')


class OktaApi:
    """One org, as one client sees it. ``sleep`` and ``now`` stand in for the clock in tests."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        scopes: Collection[str] = READ_SCOPES,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.now = now
        self._authorization = authorization_of(settings, scopes, now)
        self._limits = RateLimits(settings.number("rate_share", _DEFAULT_SHARE) / 100, sleep)
        self._web = WebService(settings, "okta", OktaError, self._authorization, pace=wait_of_refusal, sleep=sleep)
        self._address = urlsplit(settings.url)

    @property
    def org(self) -> str:
        """Its address, without a path."""
        return self._web.origin

    def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        needs: str = "",
        accept: Collection[int] = (404, 410),
    ) -> tuple[int, Any]:
        """Given a path and a query, return status (200 or one in ``accept``) and JSON document. Raise OktaError."""
        reply = self.ask("GET", path, query=query, needs=needs, accept=accept)
        return reply.status, self.document(reply)

    def pages(
        self, path: str, query: Mapping[str, str | int], *, needs: str = "", accept: Collection[int] = ()
    ) -> Iterator[Any]:
        """Yield the items of a list, page after page (``Link``: ``rel="next"``, as opaque as it is). Raise OktaError.

        Nothing is yielded where the first page is a status in ``accept``.
        """
        address, asked = path, dict(query)
        seen: set[str] = set()
        while True:
            reply = self.ask("GET", address, query=asked, needs=needs, accept=(404, *accept))
            items = self.document(reply)
            if reply.status in accept and not seen:
                return
            if reply.status != 200:
                raise self.wrong("refused", f"it refused a list ({reply.status})", "is the address right?")
            if not isinstance(items, list):
                raise self.wrong("answer", "a list was expected", "is it Okta?")
            yield from items
            following = _next_of(reply.headers.get("link", ()))
            if not following:
                return
            if following in seen or len(seen) >= _MOST_PAGES:
                raise self.wrong("answer", "the pages of a list do not end", "try again later")
            seen.add(following)
            address, asked = following, {}

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        document: object = None,
        needs: str = "",
        accept: Collection[int] = (404, 410),
        authorized: bool = True,
    ) -> Reply:
        """Ask once, when its bucket allows it; return the reply. Raise OktaError."""
        self._refuse_other_addresses()
        bucket = urlsplit(path).path
        self._limits.before(bucket)
        reply = self._web.ask(
            method, path, query=query, document=document, needs=needs, accept=accept, authorized=authorized
        )
        self._limits.after(bucket, reply)
        return reply

    def document(self, reply: Reply) -> Any:
        """Given a reply, return its JSON document. Raise OktaError: ``okta-tenant`` where it is not Okta's."""
        kind = reply.header("content-type").partition(";")[0].strip().lower()
        if reply.body and kind and not (kind == "application/json" or kind.endswith("+json")):
            raise no_org(self._web, f"it answers with {kind[:40] if kind.isascii() else 'something'}, not with JSON")
        found = self._web.json(reply)
        if reply.status in (404, 410) and not (isinstance(found, dict) and "errorCode" in found):
            raise no_org(self._web, "it does not know the API")
        return found

    def wrong(self, code: str, message: str, hint: str) -> ScepfixError:
        """Return the error of that code, with the org's address."""
        return self._web.wrong(code, message, hint)

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Turn what a document of another form leads to into an OktaError (``okta-answer``)."""
        try:
            yield
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise self.wrong("answer", "an answer of another form than expected", "is it Okta?") from error

    def _refuse_other_addresses(self) -> None:
        if admin_console(self._address.hostname or ""):
            raise self.wrong(
                "tenant", "this is the address of the Admin Console", "write it without -admin into okta.url"
            )
        if self._address.path.strip("/"):
            raise self.wrong("tenant", "the org's address has no path", "okta.url is https://ORG.okta.com, no more")


def _next_of(links: Sequence[str]) -> str:
    """Given the values of the Link headers, return the next page's address, "" where there is none."""
    for value in links:
        for address, parameters in _LINK.findall(value):
            if _NEXT.search(parameters):
                return str(address)
    return ""
