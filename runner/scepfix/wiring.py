"""The composition root: the only file that knows both service and adapters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from scepfix.adapters.evidence_sources import EvidenceSourcesOnDisk
from scepfix.adapters.settings_file import SiteSettings, load_settings
from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.parsers import located_yaml
from scepfix.parsers.demo_cases import DemoCase, read_demo_cases
from scepfix.service.check_profile import CheckedProfile, check_profile
from scepfix.service.diagnose import DiagnoseReport, DiagnoseRequest, diagnose_inputs
from scepfix.service.inspect_certificates import Inspection, InspectOptions, inspect_certificates
from scepfix.service.ports import SmallFiles


def small_files() -> SmallFiles:
    """Return the reader of small files."""
    return SmallFilesOnDisk()


def profile_check(path: str) -> CheckedProfile:
    """Given a path or ``-``, check the profile in that file."""
    return check_profile(small_files(), path)


def certificate_inspection(paths: Sequence[str], at: datetime, options: InspectOptions) -> Inspection:
    """Given paths, an aware moment and options, inspect the certificates in those files."""
    return inspect_certificates(small_files(), paths, at, options)


def settings(path: str | None) -> SiteSettings:
    """Given the file that --config names, or None, return the site's settings."""
    return load_settings(path)


def demo_cases() -> tuple[Path, tuple[DemoCase, ...]]:
    """Return the folder of the shipped cases and the cases."""
    folder = Path(str(files("scepfix").joinpath("demo_cases")))
    listed = folder / "cases.yml"
    return folder, read_demo_cases(located_yaml.parse(small_files().read(str(listed)).decode("utf-8"), listed.name))


def diagnosis(request: DiagnoseRequest, config: str | None) -> DiagnoseReport:
    """Given a request and the settings file, diagnose as of now."""
    site = settings(config)
    return diagnose_inputs(request, EvidenceSourcesOnDisk(site.unpacked_bytes), small_files(), site, datetime.now(UTC))
