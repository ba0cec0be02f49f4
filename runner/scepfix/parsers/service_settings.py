"""The settings of a system that is asked: one MDM, one Okta org; its secrets by reference only (docs/settings.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scepfix.parsers.located_yaml import Path
from scepfix.parsers.schema import Checker, near


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret lies, never the secret. ``kind`` is ``env`` (``name`` is a variable), ``file`` (a path),
    ``keyring`` (a service; ``key`` the user name) or ``vault`` (a YAML file of Ansible Vault; ``key`` its key)."""

    kind: str
    name: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How a system is reached: ``kind`` says which it is, ``options`` and ``secrets`` are those of docs/settings.md.

    ``folder`` is where relative paths in them start, "" for the working folder.
    """

    kind: str
    options: Mapping[str, str | int] = field(default_factory=dict)
    secrets: Mapping[str, SecretRef] = field(default_factory=dict)
    folder: str = ""

    def text(self, key: str, otherwise: str = "") -> str:
        """Return a text option, ``otherwise`` where it is not set."""
        return str(self.options.get(key, otherwise))

    def number(self, key: str, otherwise: int) -> int:
        """Return a number option, ``otherwise`` where it is not set."""
        return int(self.options.get(key, otherwise))

    @property
    def url(self) -> str:
        return self.text("url")

    @property
    def profile(self) -> str:
        """The one profile that scepfix moves, as this MDM names it."""
        return self.text("profile")

    @property
    def exclusion_group(self) -> str:
        return self.text("exclusion_group")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of system takes: texts, whole numbers with their bounds, secrets. ``one_of``: sets of secrets, of
    which exactly one must be given whole."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    numbers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    optional_secrets: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()


_LOOPBACK = re.compile(r"127(?:\.[0-9]{1,3}){3}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_MOVES = ("profile", "exclusion_group")
#: Of every system behind https.
_REACH = ("ca_file", "proxy")

MDM_KINDS: Mapping[str, Kind] = {
    "simulated": Kind(("url", *_MOVES), optional_secrets=("token",)),
    "jamf": Kind(("url", "client_id", *_MOVES), ("collector_attribute", *_REACH), secrets=("client_secret",)),
    "intune": Kind(
        ("tenant", "client_id", *_MOVES),
        ("url", "login_url", "collector_script", *_REACH),
        secrets=("client_secret",),
    ),
    "nanomdm": Kind(
        ("url", "profile", "profile_file"),
        ("journal", "listen", *_REACH),
        secrets=("api_key",),
        optional_secrets=("webhook_key", "challenge"),
    ),
    "fleet": Kind(("url", *_MOVES), ("collector_script", *_REACH), secrets=("token",)),
}
OKTA_KINDS: Mapping[str, Kind] = {
    "simulated": Kind(("url",), optional_secrets=("token",)),
    "okta": Kind(
        ("url",),
        ("client_id", "key_id", "generate_permission", "snapshot", *_REACH),
        {"rate_share": (5, 100)},
        one_of=(("token",), ("private_key",)),
    ),
}


#: The sections of the settings that describe a system, and what each may be.
SERVICES: Mapping[str, Mapping[str, Kind]] = {"mdm": MDM_KINDS, "okta": OKTA_KINDS, "okta_write": OKTA_KINDS}


def variable(section: str, option: str) -> str:
    """Given a section and an option, return the environment variable that counts before the file."""
    return f"SCEPFIX_{section}_{option}".upper()


#: Every variable that may set an option; none of them holds a secret.
OPTION_VARIABLES = frozenset(
    variable(section, option)
    for section, kinds in SERVICES.items()
    for kind in kinds.values()
    for option in (*kind.required, *kind.optional, *kind.numbers)
)


def read_service(check: Checker, value: object, section: str, environment: Mapping[str, str]) -> ServiceSettings | None:
    """Given a section's value, its name and the environment, return its settings, None where it is not there; what is
    wrong is noted in ``check``."""
    path: Path = (section,)
    if value is None:
        return None
    if not isinstance(value, dict) or "kind" not in value:
        check.mapping(value, path, ("kind",), tuple(value) if isinstance(value, dict) else ())
        return None
    name = check.one_of(value["kind"], (*path, "kind"), SERVICES[section])
    if name != value["kind"]:
        return None
    kind = SERVICES[section][name]
    one_of = tuple(key for keys in kind.one_of for key in keys)
    secret_keys = (*kind.secrets, *kind.optional_secrets, *one_of)
    options = (*kind.required, *kind.optional, *kind.numbers)
    value = {**value, **_of_environment(check, section, kind, options, secret_keys, environment)}
    found = check.mapping(value, path, ("kind", *kind.required, *kind.secrets), (*options, *secret_keys))
    texts = {key: check.text(found[key], (*path, key)) for key in (*kind.required, *kind.optional) if key in found}
    numbers = {
        key: check.whole(found[key], (*path, key), *bounds) for key, bounds in kind.numbers.items() if key in found
    }
    secrets = {key: _secret(check, found[key], (*path, key)) for key in secret_keys if key in found}
    given = [keys for keys in kind.one_of if any(key in found for key in keys)]
    if kind.one_of and len(given) != 1:
        choices = " or ".join(" and ".join(keys) for keys in kind.one_of)
        check.problem(path, f"{section} needs either {choices}")
    if "private_key" in found and "client_id" not in found:
        check.problem(
            (*path, "private_key"), f"{section}.private_key goes with {section}.client_id, and that is not set"
        )
    for key in ("url", "login_url"):
        if _is_overheard(texts.get(key, "")):
            wrong = "must begin with https://, or everybody on the way could read the credentials"
            check.problem((*path, key), f"{section}.{key} {wrong}")
    return ServiceSettings(name, {**texts, **numbers}, secrets)


def _is_overheard(address: str) -> bool:
    """Is that an address that is asked in clear, on another computer than this?"""
    parts = urlsplit(address)
    host = parts.hostname or ""
    return parts.scheme == "http" and host not in ("localhost", "::1") and not _LOOPBACK.fullmatch(host)


def _of_environment(
    check: Checker,
    section: str,
    kind: Kind,
    options: Sequence[str],
    secret_keys: Sequence[str],
    environment: Mapping[str, str],
) -> dict[str, str | int]:
    """Return the options that the environment sets; an empty variable sets nothing.

    A variable of another name is a slip that would go unseen. The name of a secret is left to whoever keeps one there.
    """
    found: dict[str, str | int] = {}
    known = {variable(section, option): option for option in options}
    passed = {variable(section, key) for key in secret_keys}
    others = tuple(variable(other, "") for other in SERVICES if other.startswith(f"{section}_"))
    for name, text in environment.items():
        if not name.startswith(variable(section, "")) or name.startswith(others) or name in passed or not text.strip():
            continue
        option = known.get(name)
        if option is None:
            check.problem((section,), f"the environment variable {name!r} sets no option{near(name, known)}")
        elif option not in kind.numbers:
            found[option] = text
        elif _NUMBER.fullmatch(text) and kind.numbers[option][0] <= int(text) <= kind.numbers[option][1]:
            found[option] = int(text)
        else:
            bounds = "from {} to {}".format(*kind.numbers[option])
            check.problem((section,), f"the environment variable {name} must be a whole number {bounds}")
    return found


def _secret(check: Checker, value: object, path: Path) -> SecretRef:
    """Return where a secret lies. One that is written out is refused, and is in no message."""
    place = ".".join(map(str, path))
    form = "{env: NAME}, {file: PATH}, {keyring: SERVICE, user: NAME} or {vault: FILE, key: NAME}"
    if not isinstance(value, dict):
        check.problem(path, f"{place} must say where the secret lies: {form}; no secret belongs into this file")
        return SecretRef("env", "")
    for kind, second in (("env", ""), ("file", ""), ("keyring", "user"), ("vault", "key")):
        if kind in value:
            keys = (kind, second) if second else (kind,)
            found = check.mapping(value, path, keys)
            texts = [check.text(found[key], (*path, key)) for key in keys if key in found]
            return SecretRef(kind, *texts) if len(texts) == len(keys) else SecretRef("env", "")
    check.problem(path, f"{place} must be one of {form}")
    return SecretRef("env", "")
