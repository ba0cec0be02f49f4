"""What is asked of a whole Okta org at once, read only: all its devices, what was deleted, a custom role."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from scepfix.adapters.okta.api import OktaApi
from scepfix.adapters.okta.permission import permissions_of, role_names
from scepfix.domain.moment import rfc3339
from scepfix.parsers.okta_deletions import DELETED, Deletion, read_deletions
from scepfix.parsers.okta_snapshot import KnownDevice, read_device
from scepfix.parsers.service_settings import ServiceSettings


class OktaDirectory:
    """Implements service.ports.Directory. ``sleep`` and ``now`` stand in for the clock in tests."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._api = OktaApi(settings, sleep=sleep, now=now)

    @property
    def org(self) -> str:
        """The org's address."""
        return self._api.org

    def devices(self) -> Iterator[KnownDevice]:
        """Yield every device record, with its people; as lists are, a little behind. Raise OktaError."""
        pages = self._api.pages("/api/v1/devices", {"limit": 200, "expand": "userSummary"}, needs="okta.devices.read")
        with self._api.expected():
            for found in pages:
                yield read_device(found, self._now())

    def lives(self, device_id: str) -> bool:
        """Can the record of that id be read? Raise OktaError."""
        return self._api.get(f"/api/v1/devices/{quote(device_id, safe='')}", needs="okta.devices.read")[0] == 200

    def deletions(self, since: datetime, until: datetime) -> tuple[Deletion, ...]:
        """Return the deletions that the System Log has of that time. Raise OktaError."""
        query: dict[str, str | int] = {
            "filter": f'eventType eq "{DELETED}"',
            "since": rfc3339(since) or "",
            "until": rfc3339(until) or "",
            "limit": 1000,
        }
        with self._api.expected():
            return tuple(read_deletions(self._api.pages("/api/v1/logs", query, needs="okta.logs.read")))

    def permissions(self, role: str) -> tuple[str, ...] | None:
        """Given a custom role's id or label, return its permissions, None where there is none. Raise OktaError."""
        with self._api.expected():
            return permissions_of(self._api, role)

    def roles(self) -> tuple[str, ...]:
        """Return the labels of the org's custom roles. Raise OktaError."""
        with self._api.expected():
            return role_names(self._api)
