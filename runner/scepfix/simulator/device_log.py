"""Lines of the macOS Device Access log, as Okta's support articles print them (M1, M2, M3, with M4's prefix)."""

from __future__ import annotations

from datetime import UTC, datetime

_REFUSED = (
    'Registration error: Response decoding failed with: keyNotFound(CodingKeys(stringValue: "id", intValue: nil), '
    'Swift.DecodingError.Context(codingPath: [], debugDescription: "No value associated with key '
    'CodingKeys(stringValue: \\"id\\", intValue: nil) (\\"id\\").", underlyingError: nil))'
)
_NONE = (
    'Cert error: JWT generation failed with: genericError("Error generating management hint: noMatchingCertificate.")'
)
_FAILED = 'Registration failed: Error Domain=OktaDAServiceDaemon Code=19 "{0}" UserInfo={{NSLocalizedDescription={0}}}'


def attempt(at: datetime) -> str:
    """M1: a registration begins."""
    return _line(at, "✅", "Creating a new recovery enrollment", "RecoveryManager.swift:registerRecoverySecret():96")


def no_certificate(at: datetime) -> str:
    """M2: no Device Access certificate was found."""
    return _line(at, "🛑", _FAILED.format(_NONE), "CommunicationsManager.swift:registerRecoverySecret():319")


def rejected(at: datetime) -> str:
    """M3: a certificate was found, and the server answered with an error."""
    return _line(at, "🛑", _FAILED.format(_REFUSED), "CommunicationsManager.swift:registerRecoverySecret():281")


def grace_period(at: datetime) -> str:
    """M4: an ordinary line, of which a real log is full."""
    text = f"Offline factor grace period in effect? false; expiry date: {at:%Y-%m-%d} 08:10:13 +0000"
    where = "FactorRequirementsManager.swift:offlineFactorInEffect(zeroFactorOver:):249"
    return _line(at, "✅", text, where, "Factor-Management")


def _line(at: datetime, sign: str, message: str, location: str, category: str = "Recovery-Management") -> str:
    at = at.astimezone(UTC)
    stamp = f"{at:%Y/%m/%d %H:%M:%S}:{at.microsecond // 1000:03} +0000"
    inside = f'{{"message": "{message}", "defaultProperties": "", "location": "{location}"}}'
    return f'{stamp} {{{sign} "{category}": {inside}}}\n'
