"""How scepfix shows Okta who it is: an API token, or a service app that signs with its private key.

The service app: OAuth 2.0 client credentials with ``private_key_jwt`` at the org's own authorization server
(developer.okta.com, "Implement OAuth for Okta with a service app").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from scepfix.adapters.authorization import BearerToken, ExpiringToken
from scepfix.adapters.secret_values import secret
from scepfix.adapters.web_service import Authorization, WebService
from scepfix.domain.errors import ScepfixError
from scepfix.parsers.service_settings import ServiceSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105 (a path)
#: Enough for every read; a service app needs an admin role beside them.
READ_SCOPES = (
    "okta.devices.read",
    "okta.users.read",
    "okta.roles.read",
    "okta.logs.read",
    "okta.features.read",
    "okta.orgs.read",
)
#: Okta takes up to an hour; the shorter, the less a copy is worth.
_ASSERTION_LIFE = timedelta(minutes=5)
_SPARE_SECONDS = 60
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NO_CLIENT = frozenset({"invalid_client", "unauthorized_client"})
_NO_SCOPE = frozenset({"invalid_scope", "consent_required", "access_denied"})
_DPOP = frozenset({"invalid_dpop_proof", "use_dpop_nonce"})


class ServiceApp:
    """Implements adapters.web_service.Authorization with access tokens that are renewed before they expire."""

    def __init__(self, settings: ServiceSettings, scopes: Collection[str], now: Callable[[], datetime]) -> None:
        self._settings, self._scopes, self._now = settings, tuple(scopes), now
        self._token = ExpiringToken(self._ask, lambda: now().timestamp(), _SPARE_SECONDS)

    def headers(self, service: WebService, *, fresh: bool) -> Mapping[str, str]:
        """Return the header; a new token is asked for where there is none, it is about to end, or was refused."""
        return self._token.headers(service, fresh=fresh)

    def _ask(self, service: WebService) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(self._scopes),
            "client_assertion_type": _JWT_BEARER,
            "client_assertion": self._assertion(service),
        }
        # Without a jti an assertion may be sent twice, so an outage of a moment is got over.
        reply = service.ask(
            "POST", TOKEN_PATH, form=form, accept=(400, 401, 403, 404), authorized=False, repeatable=True
        )
        if reply.status == 404:
            raise no_org(service, "it has no token endpoint")
        said = service.json(reply)
        if not isinstance(said, dict):
            raise service.wrong("answer", "the answer of the token endpoint has another form", "is it Okta?")
        if reply.status != 200:
            raise self._refused(service, str(said.get("error", "")))
        token, life = said.get("access_token"), said.get("expires_in")
        if said.get("token_type") == "DPoP":
            raise self._refused(service, "use_dpop_nonce")
        if not isinstance(token, str) or not token or not isinstance(life, int):
            raise service.wrong("answer", "the token endpoint gave no token", "is it Okta?")
        return token, life

    def _assertion(self, service: WebService) -> str:
        import jwt

        client, now = self._settings.text("client_id"), self._now()
        if not client:
            raise service.wrong("credentials", "private_key is set, and no client_id", "client_id is the app's own id")
        key, algorithm, key_id = self._key(service)
        claims = {
            "iss": client,
            "sub": client,
            "aud": f"{service.origin}{TOKEN_PATH}",
            "iat": now,
            "exp": now + _ASSERTION_LIFE,
        }
        return jwt.encode(claims, key, algorithm, headers={"kid": key_id} if key_id else None)

    def _key(self, service: WebService) -> tuple[RSAPrivateKey | EllipticCurvePrivateKey, str, str]:
        """Return private key, algorithm and key id ("" where unknown). What is wrong with it quotes nothing of it."""
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from jwt import PyJWK
        from jwt.exceptions import PyJWTError

        text, key_id = secret(self._settings, "private_key"), self._settings.text("key_id")
        key: Any = None
        try:
            if text.startswith("{"):
                found = json.loads(text)
                key, key_id = PyJWK.from_dict(found).key, key_id or str(found.get("kid", ""))
            else:
                key = load_pem_private_key(text.encode("utf-8"), None)
        except (ValueError, TypeError, AttributeError, PyJWTError):
            key = None
        if isinstance(key, rsa.RSAPrivateKey):
            return key, "RS256", key_id
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size == 256:
            return key, "ES256", key_id
        raise service.wrong(
            "credentials",
            "the private key of the service app cannot be used",
            "private_key names an RSA key without a passphrase, as PEM or as one JWK",
        )

    def _refused(self, service: WebService, error: str) -> ScepfixError:
        """Only words that we know are told: what Okta says beside them is not ours to repeat."""
        if error in _DPOP:
            return service.wrong(
                "credentials",
                "the service app demands DPoP, which scepfix does not speak",
                "Applications > the app > General: switch off 'Require Demonstrating Proof of Possession (DPoP)'",
            )
        if error in _NO_SCOPE:
            return service.wrong(
                "privilege",
                f"Okta does not give the service app its scopes ({error})",
                f"Applications > the app > Okta API Scopes: grant {', '.join(self._scopes)}",
            )
        known = f" ({error})" if error in _NO_CLIENT else ""
        return service.wrong(
            "credentials",
            f"Okta does not take the service app's signature{known}",
            "client_id, key_id and private_key belong to one active app; is this machine's clock right?",
        )


def authorization_of(settings: ServiceSettings, scopes: Collection[str], now: Callable[[], datetime]) -> Authorization:
    """Given the settings, the scopes that are wanted and the clock, return how requests are authorized."""
    if "private_key" in settings.secrets:
        return ServiceApp(settings, scopes, now)
    # The simulated org takes what real ones take only from service apps.
    return BearerToken(settings, "token", scheme="Bearer" if settings.kind == "simulated" else "SSWS")


def no_org(service: WebService, why: str) -> ScepfixError:
    """Return the error of an address that is no Okta org; ``why`` says how that shows."""
    return service.wrong("tenant", f"this is no Okta org: {why}", "okta.url is https://ORG.okta.com, or its own domain")


def admin_console(host: str) -> bool:
    """Is that host the Admin Console of an org, which is no address for the API?"""
    return re.match(r"[^.]+-admin\.[a-z-]*okta[a-z-]*\.", host, re.IGNORECASE) is not None
