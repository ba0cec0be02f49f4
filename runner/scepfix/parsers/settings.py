"""The settings file, YAML: a site's ways in, its own faults, its issuer certificates, its limits (docs/settings.md)."""

from __future__ import annotations

from dataclasses import dataclass

from scepfix.parsers.located_yaml import Located
from scepfix.parsers.schema import Checker

DEFAULT_UNPACKED_MIB = 2048


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file says. Paths are as written: relative ones start at the folder of the file."""

    ways_in: tuple[str, ...] = ()
    catalogue: str | None = None
    issuer_certificates: tuple[str, ...] = ()
    unpacked_mib: int = DEFAULT_UNPACKED_MIB


def read_settings(located: Located) -> SettingsFile:
    """Given located YAML, return the settings; an empty file sets nothing. Raise UsageError listing every problem."""
    check = Checker(located)
    top = check.mapping(
        {} if located.data is None else located.data, (), (), ("ways_in", "catalogue", "issuer_certificates", "limits")
    )
    limits = check.mapping({} if top.get("limits") is None else top["limits"], ("limits",), (), ("unpacked_mib",))
    settings = SettingsFile(
        ways_in=check.items(top.get("ways_in"), ("ways_in",), check.text),
        catalogue=check.text(top["catalogue"], ("catalogue",)) if "catalogue" in top else None,
        issuer_certificates=check.items(top.get("issuer_certificates"), ("issuer_certificates",), check.text),
        unpacked_mib=check.whole(
            limits.get("unpacked_mib", DEFAULT_UNPACKED_MIB), ("limits", "unpacked_mib"), 1, 1_048_576
        ),
    )
    check.finish("settings", "the settings are in docs/settings.md")
    return settings
