"""An Okta org for contract tests: the simulated world's org behind Okta's real ways in, pages, limits and refusals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import jwt
from tests.contract.server import Asked, Said

from scepfix.simulator.okta import OktaOrg

TOKEN_PATH = "/oauth2/v1/token"
SETTING_PATH = "/device-access/api/v1/desktop-mfa/recovery-pin-settings"
#: Beginning of a path -> the scope that reads it; the first that fits.
SCOPES = {
    "/api/v1/devices": "okta.devices.read",
    "/api/v1/iam": "okta.roles.read",
    "/api/v1/users": "okta.users.read",
    "/api/v1/logs": "okta.logs.read",
    "/api/v1/features": "okta.features.read",
    SETTING_PATH: "okta.orgs.read",
}
READ = frozenset(SCOPES.values())


def error(status: int, code: str, summary: str) -> Said:
    return Said(status, {"errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": "oae1"})


DENIED = error(403, "E0000006", "You do not have permission to perform the requested action")
NOT_FOUND = error(404, "E0000007", "Not found: Resource not found")
NO_DEVICE = error(410, "E0000153", "Invalid device id, it no longer exists.")
EXPIRED = error(401, "E0000011", "Invalid token provided")
TOO_MANY = error(429, "E0000047", "API call exceeded rate limit due to too many requests.")


def limits(limit: int, remaining: int, reset: datetime, now: datetime) -> tuple[tuple[str, str], ...]:
    return (
        ("X-Rate-Limit-Limit", str(limit)),
        ("X-Rate-Limit-Remaining", str(remaining)),
        ("X-Rate-Limit-Reset", str(int(reset.timestamp()))),
        ("Date", format_datetime(now.astimezone(UTC), usegmt=True)),
    )


@dataclass
class OktaFace:
    """Answers for an org. ``api_tokens`` -> scopes stand for the roles of their owners; ``app_key`` is the public key
    of the service app, ``granted`` its scopes. ``page`` entries come at a time."""

    org: OktaOrg
    api_tokens: dict[str, frozenset[str]] = field(default_factory=lambda: {"ssws-token": READ})
    client_id: str = "0oaclient"
    app_key: Any = None
    granted: frozenset[str] = READ
    token_seconds: int = 3600
    demands_dpop: bool = False
    url: str = "http://127.0.0.1"
    page: int = 200
    closed_setting: bool = False
    no_os_accounts: bool = False
    features: dict[str, str] = field(default_factory=dict)
    #: Roles beside the simulated ones: login -> assignments; role id -> label and permissions.
    assignments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    custom_roles: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    #: Ids that a search still shows although their records are gone.
    lagging: list[dict[str, Any]] = field(default_factory=list)
    issued: dict[str, frozenset[str]] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self, asked: Asked) -> Said:
        if asked.path == TOKEN_PATH:
            return self._token(asked)
        allowed = self._allowed(asked)
        if allowed is None:
            return EXPIRED
        path = unquote(asked.path)
        scope = next((scope for beginning, scope in SCOPES.items() if path.startswith(beginning)), "")
        if path.endswith("/roles") and path.startswith("/api/v1/users/"):
            scope = "okta.roles.read"
        if asked.method == "PUT":
            scope = scope.replace(".read", ".manage")
        if scope not in allowed:
            return DENIED
        return self._answer(asked, path)

    # --- who asks -------------------------------------------------------------------------------------------------

    def _allowed(self, asked: Asked) -> frozenset[str] | None:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        return self.api_tokens.get(token) if scheme == "SSWS" else self.issued.get(token)

    def expire(self) -> None:
        self.issued.clear()

    def _token(self, asked: Asked) -> Said:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if self.demands_dpop:
            return Said(
                400, {"error": "invalid_dpop_proof", "error_description": "The DPoP proof JWT header is missing."}
            )
        try:
            claims = jwt.decode(
                form["client_assertion"],
                self.app_key,
                algorithms=["RS256", "ES256"],
                audience=f"{self.url}{TOKEN_PATH}",
                issuer=self.client_id,
                # By the clock of the world, not by that of this machine.
                options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
            )
            now = self.now().timestamp()
            right = claims["iat"] - 300 <= now < claims["exp"] <= claims["iat"] + 3600
            right = (
                right
                and form["grant_type"] == "client_credentials"
                and form["client_assertion_type"].endswith("jwt-bearer")
            )
        except (jwt.PyJWTError, KeyError):
            right = False
        if not right:
            return Said(401, {"error": "invalid_client", "error_description": f"bad: {form.get('client_assertion')}"})
        scopes = frozenset(form["scope"].split()) & self.granted
        if not scopes:
            return Said(
                400, {"error": "consent_required", "error_description": "You are not allowed any of the scopes."}
            )
        token = f"access-{len(self.issued)}-{hashlib.sha256(form['client_assertion'].encode()).hexdigest()[:8]}"
        self.issued[token] = scopes
        said = {"token_type": "Bearer", "expires_in": self.token_seconds, "access_token": token}
        return Said(200, {**said, "scope": " ".join(sorted(scopes))})

    # --- what is asked --------------------------------------------------------------------------------------------

    def _answer(self, asked: Asked, path: str) -> Said:
        query = dict(asked.query)
        if path == SETTING_PATH:
            return self._setting(asked)
        if path == "/api/v1/users":
            return Said(200, [], headers=self.headers)
        if path == "/api/v1/features":
            found = [
                {"id": f"ftr{number}", "name": name, "status": status}
                for number, (name, status) in enumerate(self.features.items())
            ]
            return Said(200, found, headers=self.headers)
        if path.startswith("/api/v1/iam/roles"):
            return self._roles(path, query)
        if path.endswith("/os-accounts") and self.no_os_accounts:
            return error(403, "E0000015", "You do not have permission to access the feature you are requesting")
        status, document = self.org.answer(path, query)
        if status != 200:
            return NOT_FOUND
        if path.startswith("/api/v1/users/") and path.endswith("/roles"):
            login = self.org.answer(path.removesuffix("/roles"), {})[1]["profile"]["login"]
            document = [*document, *self.assignments.get(login, [])]
        if path == "/api/v1/devices" and "search" in query:
            document = [*self.lagging, *document]
        return (
            self._page(asked, query, document)
            if isinstance(document, list)
            else Said(200, document, headers=self.headers)
        )

    def _page(self, asked: Asked, query: dict[str, str], items: list[Any]) -> Said:
        if asked.path not in ("/api/v1/devices", "/api/v1/logs"):
            return Said(200, items, headers=self.headers)
        begin = int(query.get("after", "p0").removeprefix("p"))
        end = begin + min(self.page, int(query.get("limit", 200)))
        here = f"{self.url}{asked.path}?" + "&".join(
            f"{name}={quote(value)}" for name, value in query.items() if name != "after"
        )
        links = [("Link", f'<{here}>; rel="self"')]
        # A query of the log without an end always has a next page.
        if end < len(items) or (asked.path == "/api/v1/logs" and "until" not in query):
            links.append(("Link", f'<{here}&after=p{end}>; rel="next"'))
        return Said(200, items[begin:end], headers=(*links, *self.headers))

    def _setting(self, asked: Asked) -> Said:
        if self.closed_setting:
            return DENIED
        if asked.method == "PUT":
            self.org.set_pin(json.loads(asked.body)["desktopMFARecoveryPinEnabled"])
        return Said(200, self.org.answer(SETTING_PATH, {})[1], headers=self.headers)

    def _roles(self, path: str, query: dict[str, str]) -> Said:
        if path == "/api/v1/iam/roles":
            known = sorted(self.custom_roles)
            begin = int(query.get("after", "0"))
            found = [
                {"id": one, "label": self.custom_roles[one][0], "description": ""} for one in known[begin : begin + 1]
            ]
            following = {"next": {"href": f"{self.url}{path}?after={begin + 1}"}} if begin + 1 < len(known) else {}
            return Said(200, {"roles": found, "_links": following})
        name = path.split("/")[5]
        for role_id, (label, permissions) in self.custom_roles.items():
            if name in (role_id, label):
                return Said(200, {"permissions": [{"label": one, "conditions": {}} for one in permissions]})
        return NOT_FOUND


def custom_role(role_id: str, label: str, resource_set: str = "iam1") -> dict[str, Any]:
    """Return an assignment of a custom role, through a group."""
    return {
        "id": f"irb-{role_id}",
        "role": role_id,
        "label": label,
        "type": "CUSTOM",
        "status": "ACTIVE",
        "assignmentType": "GROUP",
        "resource-set": resource_set,
    }


def help_desk_of(*groups: str) -> dict[str, Any]:
    """Return an assignment of the help desk role that holds for some groups only."""
    return {
        "id": "ra-help",
        "label": "Help Desk Administrator",
        "type": "HELP_DESK_ADMIN",
        "status": "ACTIVE",
        "assignmentType": "USER",
        "_embedded": {"targets": {"groups": [{"id": name, "profile": {"name": name}} for name in groups]}},
    }
