"""The two systems that Desktop MFA runs on."""

from __future__ import annotations

from enum import StrEnum


class Platform(StrEnum):
    """Whose logs, stores, rules and defaults count."""

    MACOS = "macos"
    WINDOWS = "windows"
