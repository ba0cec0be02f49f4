"""What makes a request ours: a secret that is sent as it is, or an access token that is asked for and ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from scepfix.adapters.secret_values import secret, told_place
from scepfix.adapters.web_service import WebService
from scepfix.domain.errors import UsageError
from scepfix.parsers.service_settings import ServiceSettings

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
#: Of a token that lasts shorter, not more than this part is left unused.
_SPARE_PART = 4


class BearerToken:
    """A secret that is sent as it is. It is read again where the service refused it, so that a rotated one counts."""

    def __init__(self, settings: ServiceSettings, key: str, scheme: str = "Bearer") -> None:
        """``key`` names the secret in the settings; where they have none, nothing is sent. ``scheme`` stands before it
        in the header."""
        self._settings, self._key, self._scheme, self._token = settings, key, scheme, ""

    def headers(self, service: WebService, *, fresh: bool) -> Mapping[str, str]:
        """Return the header, or none. Raise UsageError where the secret cannot be had or is no token."""
        if fresh or not self._token:
            token = secret(self._settings, self._key)
            if token and not _TOKEN.fullmatch(token):
                raise UsageError(
                    "secret",
                    "this is no token: one word of printable ASCII was expected",
                    where=told_place(self._settings, self._key),
                    hint="the token and nothing else belongs there",
                )
            self._token = token
        return {"Authorization": f"{self._scheme} {self._token}"} if self._token else {}


class ExpiringToken:
    """An access token of a client: asked for when it is first needed, before it ends, and once it was refused."""

    def __init__(
        self, ask: Callable[[WebService], tuple[str, float]], seconds: Callable[[], float], spare_seconds: float
    ) -> None:
        """``ask``, given the service, returns a token and for how many seconds it is good, or raises. ``seconds`` is a
        clock; ``spare_seconds`` before its end a token counts no more."""
        self._ask, self._seconds, self._spare = ask, seconds, spare_seconds
        self._token, self._until = "", 0.0

    @property
    def good(self) -> bool:
        """Does the token still count, so that a refusal is not about it?"""
        return bool(self._token) and self._seconds() < self._until

    def get(self, service: WebService, *, fresh: bool = False) -> str:
        """Return the token, a new one where there is none that counts. Raise what ``ask`` raises."""
        if fresh or not self.good:
            self._token, asked_at = "", self._seconds()
            token, lasts = self._ask(service)
            self._token, self._until = token, asked_at + lasts - min(self._spare, lasts / _SPARE_PART)
        return self._token

    def headers(self, service: WebService, *, fresh: bool) -> Mapping[str, str]:
        """Return the header. Raise what ``ask`` raises."""
        return {"Authorization": f"Bearer {self.get(service, fresh=fresh)}"}
