"""What ``scepfix doctor`` sees of an Okta org: credential, scopes, setting, clock, log. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TypeVar

from scepfix.adapters.doctor_lines import line_of_error, not_looked_at
from scepfix.adapters.okta.api import OktaApi
from scepfix.adapters.service_clock import clock_check
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.errors import ScepfixError
from scepfix.domain.moment import rfc3339

#: What proves a scope: reads of one entry.
_READS: Mapping[str, tuple[str, Mapping[str, str | int]]] = {
    "okta.devices.read": ("/api/v1/devices", {"limit": 1}),
    "okta.users.read": ("/api/v1/users", {"limit": 1}),
    "okta.roles.read": ("/api/v1/iam/roles", {}),
    "okta.features.read": ("/api/v1/features", {}),
}
_GRANT = (
    "service app: Applications > the app > Okta API Scopes, and a role that may see it (Admin roles); "
    "API token: the role of its owner"
)
_BY_HAND = "check by hand whether it is granted: Applications > the app > Okta API Scopes; API token: its owner's role"

CREDENTIALS = "okta.credentials"

Answer = TypeVar("Answer")


def checks_of(api: OktaApi, setting_path: str) -> Iterator[Check]:
    """Given an org and where its setting is read, yield one line for each check; never raises."""
    first, failed = _asked(lambda: api.ask("GET", "/api/v1/devices", query={"limit": 1}, accept=(403,)))
    # The further checks take time, which is no difference of clocks.
    answered_at = api.now()
    if first is not None:
        # What is no Okta org may answer 200, too.
        failed = _asked(lambda: api.document(first))[1]
    if first is None or failed is not None:
        yield _failed(CREDENTIALS, failed)
        for each in ("okta.scopes", "okta.setting", "okta.clock", "okta.log"):
            yield not_looked_at(each, CREDENTIALS)
        return
    yield Check(CREDENTIALS, CheckResult.PASS, f"{api.org} takes our credentials")
    yield _scopes(api)
    yield _setting(api, setting_path)
    yield clock_check("okta.clock", "Okta", first, answered_at)
    yield _log(api)


def _scopes(api: OktaApi) -> Check:
    missing: list[str] = []
    unseen: list[str] = []
    for scope, (path, query) in _READS.items():
        reply, failed = _asked(partial(api.ask, "GET", path, query=query, accept=(403, 404)))
        if reply is None:
            return _failed("okta.scopes", failed)
        if reply.status == 403:
            missing.append(scope)
        elif reply.status == 404:
            unseen.append(scope)
    not_shown = f"this org lacks what would show it (404): {', '.join(unseen)}"
    if missing:
        said = [f"refused (403): {', '.join(missing)}", *([not_shown] if unseen else [])]
        return Check("okta.scopes", CheckResult.FAIL, "; ".join(said), _GRANT)
    if unseen:
        return Check("okta.scopes", CheckResult.UNKNOWN, not_shown, _BY_HAND)
    return Check("okta.scopes", CheckResult.PASS, f"each can be read with: {', '.join(_READS)}")


def _setting(api: OktaApi, path: str) -> Check:
    found, failed = _asked(lambda: api.get(path, accept=(403, 404)))
    if found is None:
        return _failed("okta.setting", failed)
    status, said = found
    enabled = said.get("desktopMFARecoveryPinEnabled") if status == 200 and isinstance(said, dict) else None
    if isinstance(enabled, bool):
        state = "on" if enabled else "off"
        return Check(
            "okta.setting", CheckResult.PASS, f"readable: Enable Device Recovery PIN for Desktop MFA is {state}"
        )
    return Check(
        "okta.setting",
        CheckResult.UNKNOWN,
        "Okta's API does not tell whether recovery PINs are on (the scope is okta.orgs.read; Okta may have closed it)",
        "check by hand: Security > General > Okta Device Access",
    )


def _log(api: OktaApi) -> Check:
    now = api.now()
    query: dict[str, str | int] = {
        "since": rfc3339(now - timedelta(hours=1)) or "",
        "until": rfc3339(now) or "",
        "limit": 1,
    }
    reply, failed = _asked(lambda: api.ask("GET", "/api/v1/logs", query=query, accept=(403,)))
    if reply is None:
        return _failed("okta.log", failed)
    if reply.status == 403:
        return Check("okta.log", CheckResult.FAIL, "refused (403): okta.logs.read", _GRANT)
    return Check("okta.log", CheckResult.PASS, "the System Log can be read")


def _asked(ask: Callable[[], Answer]) -> tuple[Answer | None, ScepfixError | None]:
    try:
        return ask(), None
    except ScepfixError as error:
        return None, error


def _failed(name: str, error: ScepfixError | None) -> Check:
    return Check(name, CheckResult.UNKNOWN, "no answer") if error is None else line_of_error(name, error)
