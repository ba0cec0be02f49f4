"""The settings file, YAML: a site's ways in, its own faults, its issuer certificates, its limits (docs/settings.md)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from scepfix.domain.plan import ProofGrade
from scepfix.domain.policy import RepairPolicy
from scepfix.parsers.located_yaml import Located, Path
from scepfix.parsers.schema import Checker

DEFAULT_UNPACKED_MIB = 2048

MDM_KINDS = ("simulated",)
OKTA_KINDS = ("simulated",)
#: Largest value of each number under ``repair``, all from 1: a slip of the keyboard is told, not waited for.
_MOST = {"plan_valid_hours": 24 * 30, "put_back_after_hours": 24 * 7, "registration_days": 365, "poll_seconds": 3600}


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How a system is reached. ``token_file`` holds its secret; ``profile`` and ``exclusion_group`` are the MDM's."""

    kind: str
    url: str
    token_file: str = ""
    profile: str = ""
    exclusion_group: str = ""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file says. Paths are as written: relative ones start at the folder of the file."""

    ways_in: tuple[str, ...] = ()
    catalogue: str | None = None
    issuer_certificates: tuple[str, ...] = ()
    unpacked_mib: int = DEFAULT_UNPACKED_MIB
    mdm: ServiceSettings | None = None
    okta: ServiceSettings | None = None
    repair: RepairPolicy = field(default_factory=RepairPolicy)
    allowed_signers: str | None = None


def read_settings(located: Located) -> SettingsFile:
    """Given located YAML, return the settings; an empty file sets nothing. Raise UsageError listing every problem."""
    check = Checker(located)
    top = check.mapping(
        {} if located.data is None else located.data,
        (),
        (),
        ("ways_in", "catalogue", "issuer_certificates", "limits", "mdm", "okta", "repair", "allowed_signers"),
    )
    limits = check.mapping({} if top.get("limits") is None else top["limits"], ("limits",), (), ("unpacked_mib",))
    settings = SettingsFile(
        ways_in=check.items(top.get("ways_in"), ("ways_in",), check.text),
        catalogue=check.text(top["catalogue"], ("catalogue",)) if "catalogue" in top else None,
        issuer_certificates=check.items(top.get("issuer_certificates"), ("issuer_certificates",), check.text),
        unpacked_mib=check.whole(
            limits.get("unpacked_mib", DEFAULT_UNPACKED_MIB), ("limits", "unpacked_mib"), 1, 1_048_576
        ),
        mdm=_service(check, top.get("mdm"), ("mdm",), MDM_KINDS, ("profile", "exclusion_group")),
        okta=_service(check, top.get("okta"), ("okta",), OKTA_KINDS, ()),
        repair=_repair(check, top.get("repair")),
        allowed_signers=check.text(top["allowed_signers"], ("allowed_signers",)) if "allowed_signers" in top else None,
    )
    check.finish("settings", "the settings are in docs/settings.md")
    return settings


def _service(
    check: Checker, value: object, path: Path, kinds: tuple[str, ...], more: tuple[str, ...]
) -> ServiceSettings | None:
    if value is None:
        return None
    found = check.mapping(value, path, ("kind", "url", *more), ("token_file",))
    texts = {key: check.text(found[key], (*path, key)) for key in ("url", "token_file", *more) if key in found}
    kind = check.one_of(found.get("kind", ""), (*path, "kind"), kinds)
    return ServiceSettings(kind, **{"url": "", **texts})


def _repair(check: Checker, value: object) -> RepairPolicy:
    if value is None:
        return RepairPolicy()
    path: Path = ("repair",)
    names = tuple(each.name for each in fields(RepairPolicy))
    found = check.mapping(value, path, (), names)
    numbers = {
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
