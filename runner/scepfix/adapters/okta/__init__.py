"""Okta orgs, read only: the ways to ask one, behind service.ports.Okta."""

from __future__ import annotations

from scepfix.domain.errors import ScepfixError


class OktaError(ScepfixError):
    """Okta gave no answer that can be used: ``okta-unreachable``, ``okta-refused`` or ``okta-answer``."""
