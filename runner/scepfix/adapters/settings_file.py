"""Finds and reads the settings file and the fault catalogues it names."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from scepfix.adapters.small_files import unreadable
from scepfix.domain.errors import UsageError
from scepfix.domain.fault import Catalogue
from scepfix.domain.policy import RepairPolicy
from scepfix.parsers import located_yaml
from scepfix.parsers.fault_catalogue import read_catalogue
from scepfix.parsers.schema import Checker
from scepfix.parsers.service_settings import SERVICES, ServiceSettings, variable
from scepfix.parsers.settings import SettingsFile, read_settings

_LARGEST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Implements service.ports.Settings: paths are absolute, the catalogue is read."""

    ways_in: tuple[str, ...]
    catalogue: Catalogue
    issuer_files: tuple[str, ...]
    unpacked_bytes: int
    mdm: ServiceSettings | None
    okta: ServiceSettings | None
    okta_write: ServiceSettings | None
    repair: RepairPolicy
    allowed_signers: str | None
    #: The settings file itself, absolute; None where there is none.
    file: str | None


def load_settings(path: str | None) -> SiteSettings:
    """Given the file that --config names (None: the one of SCEPFIX_CONFIG, else the default place, which may be empty),
    return the settings, with what the environment sets instead.

    Raise UsageError with file, line and key for everything that is wrong in it or in the catalogue it names.
    """
    path = path or os.environ.get("SCEPFIX_CONFIG") or None
    file = Path(path) if path else _default_place()
    if path is None and not file.is_file():
        found = SettingsFile()
    else:
        located = located_yaml.parse(_text(file), str(file))
        found = read_settings(located, os.environ)
        _check_names(file, found, located)
    shipped = files("scepfix.rules").joinpath("faults.yml").read_text("utf-8")
    site = None
    if found.catalogue is not None:
        catalogue = _beside(file, found.catalogue)
        site = located_yaml.parse(_text(catalogue), str(catalogue))
    return SiteSettings(
        ways_in=found.ways_in,
        catalogue=read_catalogue(located_yaml.parse(shipped, "faults.yml"), site),
        issuer_files=tuple(str(_beside(file, issuer)) for issuer in found.issuer_certificates),
        unpacked_bytes=found.unpacked_mib * 1024 * 1024,
        mdm=_reached(file, found.mdm),
        okta=_reached(file, found.okta),
        okta_write=_reached(file, found.okta_write),
        repair=found.repair,
        allowed_signers=str(_beside(file, found.allowed_signers)) if found.allowed_signers else None,
        file=str(file.absolute()) if path or file.is_file() else None,
    )


#: Options that name a file which must be there.
_FILE_OPTIONS = ("ca_file", "profile_file")


def _check_names(file: Path, found: SettingsFile, located: located_yaml.Located) -> None:
    """Raise UsageError at the settings that name a file which is not there."""
    named: list[tuple[located_yaml.Path, str]] = [(("catalogue",), found.catalogue)] if found.catalogue else []
    named += [(("allowed_signers",), found.allowed_signers)] if found.allowed_signers else []
    for section, service in (("mdm", found.mdm), ("okta", found.okta), ("okta_write", found.okta_write)):
        named += _named_by_service(section, service) if service else []
    named += [(("issuer_certificates", index), name) for index, name in enumerate(found.issuer_certificates)]
    check = Checker(located)
    for path, name in named:
        if not _beside(file, name).is_file():
            check.problem(path, f"{_told(path)} names {name!r}, and there is no such file")
    check.finish("settings", f"a relative name starts at {file.parent}")


def _named_by_service(section: str, service: ServiceSettings) -> list[tuple[located_yaml.Path, str]]:
    # Not the secrets: who only reads a log needs none, and who needs one is told when it is read.
    return [((section, key), service.text(key)) for key in _FILE_OPTIONS if key in service.options]


def _told(path: located_yaml.Path) -> str:
    """Return the name of a setting, or of the environment variable that counts before it."""
    name = variable(str(path[0]), str(path[1])) if len(path) == 2 and path[0] in SERVICES else ""
    return name if os.environ.get(name, "").strip() else ".".join(str(part) for part in path)


def _reached(file: Path, service: ServiceSettings | None) -> ServiceSettings | None:
    return service and replace(service, folder=str(file.absolute().parent))


def _default_place() -> Path:
    """XDG Base Directory Specification: $XDG_CONFIG_HOME, else ~/.config; a relative value is ignored."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.config").expanduser()) / "scepfix" / "config.yml"


def _beside(file: Path, name: str) -> Path:
    return file.parent / Path(name).expanduser()


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST_BYTES + 1)
        if len(data) > _LARGEST_BYTES:
            raise UsageError(
                "settings", "far larger than any settings file", where=str(file), hint="is it the right file?"
            )
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("settings", "this is no UTF-8 text", where=str(file), hint="save it as UTF-8") from error
    except (OSError, ValueError) as error:
        wrong = unreadable(str(file), error)
        raise UsageError(
            "settings", wrong.message, where=wrong.where, hint="check --config, and the names in it"
        ) from error
