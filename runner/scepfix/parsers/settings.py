"""The settings file, YAML: a site's ways in, its own faults, its issuer certificates, its limits (docs/settings.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from scepfix.domain.plan import ProofGrade
from scepfix.domain.policy import RepairPolicy
from scepfix.parsers.located_yaml import Located, Path
from scepfix.parsers.schema import Checker
from scepfix.parsers.service_settings import SERVICES, ServiceSettings, read_service

DEFAULT_UNPACKED_MIB = 2048

#: Largest value of each number under ``repair``, all from 1: a slip of the keyboard is told, not waited for.
_MOST = {"plan_valid_hours": 24 * 30, "put_back_after_hours": 24 * 7, "registration_days": 365, "poll_seconds": 3600}

#: Defaults where the MDM does not push: a device that misses its notice comes up to eight hours later.
_SLOW = {"put_back_after_hours": 24, "uninstall_minutes": 540, "reinstall_minutes": 540}


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file says. Paths are as written: relative ones start at the folder of the file."""

    ways_in: tuple[str, ...] = ()
    catalogue: str | None = None
    issuer_certificates: tuple[str, ...] = ()
    unpacked_mib: int = DEFAULT_UNPACKED_MIB
    mdm: ServiceSettings | None = None
    okta: ServiceSettings | None = None
    #: The credential for the few opt-in changes of the org; nothing but the command line uses it.
    okta_write: ServiceSettings | None = None
    repair: RepairPolicy = field(default_factory=RepairPolicy)
    allowed_signers: str | None = None


def read_settings(located: Located, environment: Mapping[str, str] | None = None) -> SettingsFile:
    """Given located YAML and the environment, return the settings; an empty file sets nothing.

    A variable SCEPFIX_SECTION_OPTION counts before an option of a system in the file. Raise UsageError listing every
    problem.
    """
    environment = environment or {}
    check = Checker(located)
    top = check.mapping(
        {} if located.data is None else located.data,
        (),
        (),
        ("ways_in", "catalogue", "issuer_certificates", "limits", *SERVICES, "repair", "allowed_signers"),
    )
    limits = check.mapping({} if top.get("limits") is None else top["limits"], ("limits",), (), ("unpacked_mib",))
    settings = SettingsFile(
        ways_in=check.items(top.get("ways_in"), ("ways_in",), check.text),
        catalogue=check.text(top["catalogue"], ("catalogue",)) if "catalogue" in top else None,
        issuer_certificates=check.items(top.get("issuer_certificates"), ("issuer_certificates",), check.text),
        unpacked_mib=check.whole(
            limits.get("unpacked_mib", DEFAULT_UNPACKED_MIB), ("limits", "unpacked_mib"), 1, 1_048_576
        ),
        mdm=read_service(check, top.get("mdm"), "mdm", environment),
        okta=read_service(check, top.get("okta"), "okta", environment),
        okta_write=read_service(check, top.get("okta_write"), "okta_write", environment),
        repair=_repair(check, top.get("repair"), top.get("mdm")),
        allowed_signers=check.text(top["allowed_signers"], ("allowed_signers",)) if "allowed_signers" in top else None,
    )
    check.finish("settings", "the settings are in docs/settings.md")
    return settings


def _repair(check: Checker, value: object, mdm: object) -> RepairPolicy:
    path: Path = ("repair",)
    names = tuple(each.name for each in fields(RepairPolicy))
    found = check.mapping({} if value is None else value, path, (), names)
    kind = mdm.get("kind") if isinstance(mdm, dict) else None
    slow = _SLOW if kind == "intune" else {}
    numbers = slow | {
        key: check.whole(found[key], (*path, key), 1, _MOST.get(key, 100_000))
        for key in names
        if key in found and key not in ("proof_grade", "deny")
    }
    grade = check.one_of(found.get("proof_grade", "certificate"), (*path, "proof_grade"), tuple(ProofGrade))
    return RepairPolicy(
        **numbers,
        proof_grade=ProofGrade(grade) if grade in tuple(ProofGrade) else ProofGrade.CERTIFICATE,
        deny=check.items(found.get("deny"), (*path, "deny"), check.text),
    )
