"""Reads a secret where its reference says that it lies: environment, file, keyring, Ansible Vault."""

from __future__ import annotations

import os
import stat
from importlib import import_module
from pathlib import Path

import yaml

from scepfix.adapters.secret_handover import received
from scepfix.adapters.small_files import unreadable
from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible
from scepfix.parsers.service_settings import OPTION_VARIABLES, SecretRef, ServiceSettings

_LARGEST_BYTES = 64 * 1024
_VAULT = b"$ANSIBLE_VAULT;"

#: Where the keyring and the vault's password are found.
_VARIABLES_OF_STORES = (
    "ANSIBLE_VAULT_PASSWORD_FILE",
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "PYTHON_KEYRING_BACKEND",
)


def secret(settings: ServiceSettings, key: str) -> str:
    """Given a system's settings and the name of a secret, return it, without white space around it; "" where the
    settings do not name one.

    It is read anew each time, so that a rotated one counts. Raise UsageError (``secret``) where it cannot be had; no
    message quotes it.
    """
    ref = settings.secrets.get(key)
    if ref is None:
        return ""
    value = _READ[ref.kind](ref, settings).strip()
    if not value:
        raise _wrong(ref, "it is empty", "put the secret there")
    return value


def told_place(settings: ServiceSettings, key: str) -> str:
    """Given a system's settings and the name of a secret in them, return in words where it lies, for a message."""
    return _place(settings.secrets[key])


def option_path(settings: ServiceSettings, name: str) -> Path:
    """Given a path as the settings write it, return it; a relative one starts at the settings' folder."""
    return Path(settings.folder) / Path(name).expanduser()


def passed_on() -> dict[str, str]:
    """Return the variables by which a playbook run finds the same systems and their secrets; none is a secret."""
    names = (*OPTION_VARIABLES, *_VARIABLES_OF_STORES)
    return {name: os.environ[name] for name in names if name in os.environ}


def _from_environment(ref: SecretRef, settings: ServiceSettings) -> str:
    value = os.environ.get(ref.name)
    if value is None:
        value = received().get(ref.name)
    if value is None:
        raise _wrong(ref, "the variable is not set", "set it where scepfix runs")
    return value


def _from_file(ref: SecretRef, settings: ServiceSettings) -> str:
    try:
        return _private_bytes(ref, option_path(settings, ref.name)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _wrong(ref, "this is no text", "is it the right file?") from None


def _from_keyring(ref: SecretRef, settings: ServiceSettings) -> str:
    try:
        keyring = import_module("keyring")
    except ImportError:
        raise _wrong(ref, "the package keyring is not installed", "pip install 'scepfix[keyring]'") from None
    try:
        value = keyring.get_password(ref.name, ref.key)
    except keyring.errors.KeyringError:
        raise _wrong(ref, "the keyring does not answer", "is it there, and unlocked for this user?") from None
    if value is None:
        raise _wrong(ref, "it is not in the keyring", "store it: keyring set SERVICE USER")
    return str(value)


def _from_vault(ref: SecretRef, settings: ServiceSettings) -> str:
    """The file is encrypted as a whole (``ansible-vault encrypt``), or its one value is (``encrypt_string``)."""
    data = _private_bytes(ref, option_path(settings, ref.name))
    try:
        node = yaml.compose(_decrypted(ref, data) if data.startswith(_VAULT) else data, Loader=yaml.SafeLoader)
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        values = [value for key, value in pairs if key.value == ref.key and isinstance(value, yaml.ScalarNode)]
        if not values:
            raise _wrong(ref, "the file has no such key, or no text under it", "ansible-vault view FILE shows its keys")
        encrypted = values[0].value.encode("utf-8").strip()
        if encrypted.startswith(_VAULT):
            return _decrypted(ref, encrypted).decode("utf-8")
        if data.startswith(_VAULT):
            return str(values[0].value)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        # What the parser says may quote a line of it.
        raise _wrong(ref, "what is in it is no YAML text", "is it the right file?") from None
    raise _wrong(ref, "it is not encrypted", "ansible-vault encrypt FILE")


def _decrypted(ref: SecretRef, data: bytes) -> bytes:
    """Ansible is imported only here: that takes time, and it reads settings of its own."""
    from ansible.errors import AnsibleError
    from ansible.parsing.dataloader import DataLoader
    from ansible.parsing.vault import VaultLib, get_file_vault_secret

    file = os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE", "")
    if not file:
        raise _wrong(ref, "ANSIBLE_VAULT_PASSWORD_FILE is not set", "it names the file with the vault's password")
    try:
        # As everywhere in Ansible: a program that prints the password is run, another file is read.
        password = get_file_vault_secret(filename=file, vault_id="default", loader=DataLoader())
        password.load()
    except (AnsibleError, OSError):
        hint = f"is the path right, and is it yours to read? {visible(file)}"
        raise _wrong(ref, "the file of ANSIBLE_VAULT_PASSWORD_FILE gives no password", hint) from None
    try:
        return bytes(VaultLib([("default", password)]).decrypt(data))
    except AnsibleError:
        hint = "does ANSIBLE_VAULT_PASSWORD_FILE name the file with the right one?"
        raise _wrong(ref, "the vault's password does not open it", hint) from None


def _private_bytes(ref: SecretRef, path: Path) -> bytes:
    """Return the bytes of a file that nobody else may write: who can would choose whose token is sent, and where."""
    try:
        with path.open("rb") as stream:
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
                raise _wrong(ref, "others may write this file", "chmod go-w FILE, and look whether it is still yours")
            data = stream.read(_LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        wrong = unreadable(str(path), error)
        raise UsageError("secret", wrong.message, where=_place(ref), hint=wrong.hint) from None
    if len(data) > _LARGEST_BYTES:
        raise _wrong(ref, "far larger than any secret", "is it the right file?")
    return data


_READ = {"env": _from_environment, "file": _from_file, "keyring": _from_keyring, "vault": _from_vault}


def _place(ref: SecretRef) -> str:
    return visible(f"{ref.kind} {ref.name}" + (f", {ref.key}" if ref.key else ""))


def _wrong(ref: SecretRef, message: str, hint: str) -> UsageError:
    return UsageError("secret", message, where=_place(ref), hint=hint)
