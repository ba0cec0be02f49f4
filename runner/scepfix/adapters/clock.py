"""The clock of this computer."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements service.ports.Clock."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait that long; not at all for a negative number."""
        time.sleep(max(0.0, seconds))
