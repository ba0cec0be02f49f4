"""The one setting of an Okta org that scepfix may write: the command line only, with a credential of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from scepfix.adapters.okta.api import OktaApi
from scepfix.adapters.okta.management_api import SETTING_PATH
from scepfix.parsers.service_settings import ServiceSettings

_READ, _WRITE = "okta.orgs.read", "okta.orgs.manage"
_KEY = "desktopMFARecoveryPinEnabled"


class RecoveryPinSetting:
    """Implements service.ports.OrgSetting: Enable Device Recovery PIN for Desktop MFA.

    ``settings`` are those of ``okta_write``; ``sleep`` and ``now`` stand in for the clock in tests.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = OktaApi(settings, scopes=(_READ, _WRITE), sleep=sleep, now=now)

    @property
    def org(self) -> str:
        """The org's address."""
        return self._api.org

    def read(self) -> bool:
        """Return whether it is on. Raise OktaError; ``okta-closed`` where Okta's API does not tell."""
        with self._api.expected():
            status, said = self._api.get(SETTING_PATH, needs=_READ, accept=(404,))
            if status != 200:
                raise self._api.wrong(
                    "closed",
                    "Okta's API does not have this setting (any more)",
                    "a super admin sets it by hand: Security > General > Okta Device Access",
                )
            enabled = said[_KEY]
            if not isinstance(enabled, bool):
                raise ValueError("neither on nor off")
            return enabled

    def write(self, enabled: bool) -> None:
        """Set it. Raise OktaError; it may have been written nevertheless: read it."""
        self._api.ask("PUT", SETTING_PATH, document={_KEY: enabled}, needs=_WRITE, accept=())
