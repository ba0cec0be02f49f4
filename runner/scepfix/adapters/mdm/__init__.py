"""MDMs: one file for each, behind service.ports.Mdm."""

from __future__ import annotations

from scepfix.domain.errors import ScepfixError


class MdmError(ScepfixError):
    """The MDM did not do what it was asked: ``mdm-unreachable``, ``mdm-credentials``, ``mdm-privilege``,
    ``mdm-tenant``, ``mdm-refused`` or ``mdm-answer`` (docs/command-line.md)."""
