"""Secrets are read where the settings say that they lie, and are shown nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from scepfix.adapters.secret_values import option_path, passed_on, secret, told_place
from scepfix.domain.errors import UsageError
from scepfix.parsers.service_settings import SecretRef, ServiceSettings

SECRET, PASSWORD = "pl4nted-s3cret", "v4ult-p4ssword"


def settings(ref: SecretRef, folder: Path | str = "") -> ServiceSettings:
    return ServiceSettings("simulated", {}, {"token": ref}, str(folder))


def refused(ref: SecretRef, folder: Path | str = "") -> UsageError:
    """Return the error of a secret that cannot be had: one line, and neither secret nor password is in it."""
    with pytest.raises(UsageError) as caught:
        secret(settings(ref, folder), "token")
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + str(error.as_document())
    assert SECRET not in shown
    assert PASSWORD not in shown
    assert "\n" not in str(error)
    assert (error.code, bool(error.where), bool(error.hint)) == ("secret", True, True)
    return error


def test_what_the_settings_do_not_name_is_no_secret() -> None:
    assert secret(ServiceSettings("simulated"), "token") == ""


# --- environment ------------------------------------------------------------------------------------------------


def test_a_secret_of_the_environment_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (SECRET, f"  {SECRET}2\n"):
        monkeypatch.setenv("MY_TOKEN", value)
        assert secret(settings(SecretRef("env", "MY_TOKEN")), "token") == value.strip()


def test_a_variable_that_is_not_set_or_empty_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    absent = refused(SecretRef("env", "MY_TOKEN"))
    assert (absent.message, absent.where) == ("the variable is not set", "env MY_TOKEN")

    monkeypatch.setenv("MY_TOKEN", " \n")
    assert refused(SecretRef("env", "MY_TOKEN")).message == "it is empty"


def test_a_playbook_run_is_given_names_and_places_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "SCEPFIX_MDM_URL": "https://there",
        "SCEPFIX_OKTA_WRITE_CLIENT_ID": "0oa1",
        "ANSIBLE_VAULT_PASSWORD_FILE": "/etc/scepfix/vault-password",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1/bus",
    }
    monkeypatch.setattr(
        "os.environ", {**given, "SCEPFIX_MDM_CLIENT_SECRET": SECRET, "SCEPFIX_MDM_TOKEN": SECRET, "HOME": "/"}
    )

    assert passed_on() == given


# --- file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [f"{SECRET}\n", f"\n {SECRET}", f"\ufeff{SECRET}\r\n"])
def test_a_secret_of_a_file_is_what_stands_in_it(data: str, tmp_path: Path) -> None:
    file(tmp_path / "token", data)

    assert secret(settings(SecretRef("file", "token"), tmp_path), "token") == SECRET
    assert secret(settings(SecretRef("file", str(tmp_path / "token")), "/elsewhere"), "token") == SECRET


def test_a_path_of_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")

    assert option_path(settings(SecretRef("env", "X"), "/etc"), "~/ca.pem") == Path("/home/alice/ca.pem")
    assert option_path(settings(SecretRef("env", "X"), "/etc"), "ca.pem") == Path("/etc/ca.pem")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xff\xfe", "this is no text"),
        (SECRET.encode() * 10_000, "far larger than any secret"),
    ],
)
def test_a_file_that_holds_no_secret_is_told(data: bytes, message: str, tmp_path: Path) -> None:
    file(tmp_path / "token", data)

    error = refused(SecretRef("file", "token"), tmp_path)

    assert (error.message, error.where) == (message, "file token")


def test_a_file_that_is_not_there_or_is_a_folder_is_told(tmp_path: Path) -> None:
    assert refused(SecretRef("file", "token"), tmp_path).message == "no such file"
    (tmp_path / "token").mkdir()
    assert "irectory" in refused(SecretRef("file", "token"), tmp_path).message
    assert refused(SecretRef("file", "bad\0name"), tmp_path).where == "file bad␀name"


@pytest.mark.parametrize(
    ("mode", "allowed"), [(0o600, True), (0o644, True), (0o440, True), (0o620, False), (0o602, False)]
)
@pytest.mark.parametrize("kind", ["file", "vault"])
def test_a_file_that_others_may_write_is_not_trusted(kind: str, mode: int, allowed: bool, tmp_path: Path) -> None:
    file(tmp_path / "token", SECRET, mode)

    if kind == "file" and allowed:
        assert secret(settings(SecretRef("file", "token"), tmp_path), "token") == SECRET
    else:
        found = refused(SecretRef(kind, "token", "jamf"), tmp_path).message
        assert (found == "others may write this file") is not allowed


def test_hostile_names_are_inert() -> None:
    error = refused(SecretRef("file", "\x1b]0;x\x07\nname"))

    assert "\x1b" not in str(error)
    assert told_place(settings(SecretRef("keyring", "\x1b[31m", "me")), "token") == "keyring ␛[31m, me"


# --- keyring ----------------------------------------------------------------------------------------------------

#: Small, and with the three things that are used of it; what it holds is a file beside it.
KEYRING = """
import json, pathlib
from keyring import errors

def get_password(service, user):
    held = json.loads((pathlib.Path(__file__).parent / "held.json").read_text())
    if service == "locked":
        raise errors.NoKeyringError("the backend says SECRET-TEXT")
    return held.get(f"{service}/{user}")
"""
ERRORS = """
class KeyringError(Exception): pass
class NoKeyringError(KeyringError, RuntimeError): pass
"""
ASK = """
import json, sys
from scepfix.adapters.secret_values import secret
from scepfix.domain.errors import UsageError
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
try:
    print(json.dumps(secret(ServiceSettings("simulated", {}, {"t": SecretRef("keyring", *sys.argv[1:])}), "t")))
except UsageError as error:
    print(json.dumps(error.as_document()))
"""


def asked_of_keyring(folder: Path, service: str, user: str) -> object:
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, service, user], capture_output=True, check=True, env=environment, timeout=30
    )
    return json.loads(done.stdout)


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    package = tmp_path / "keyring"
    package.mkdir()
    (package / "__init__.py").write_text(KEYRING)
    (package / "errors.py").write_text(ERRORS)
    (package / "held.json").write_text(json.dumps({"jamf/scepfix": f"{SECRET}\n", "jamf/nobody": ""}))
    return tmp_path


def test_a_secret_of_the_keyring(keyring: Path) -> None:
    assert asked_of_keyring(keyring, "jamf", "scepfix") == SECRET


@pytest.mark.parametrize(
    ("service", "user", "message"),
    [
        ("jamf", "other", "it is not in the keyring"),
        ("jamf", "nobody", "it is empty"),
        ("locked", "x", "the keyring does not answer"),
    ],
)
def test_what_the_keyring_does_not_give_is_told(service: str, user: str, message: str, keyring: Path) -> None:
    found = asked_of_keyring(keyring, service, user)

    assert isinstance(found, dict)
    assert (found["code"], found["message"], found["where"]) == ("secret", message, f"keyring {service}, {user}")
    assert "SECRET-TEXT" not in str(found)


def test_a_keyring_that_is_not_installed_is_told(tmp_path: Path) -> None:
    (tmp_path / "keyring.py").write_text("raise ImportError('no keyring here')\n")

    found = asked_of_keyring(tmp_path, "jamf", "scepfix")

    assert isinstance(found, dict)
    assert (found["message"], found["hint"]) == (
        "the package keyring is not installed",
        "pip install 'scepfix[keyring]'",
    )


# --- Ansible Vault ----------------------------------------------------------------------------------------------


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bytes]:
    """Return what encrypts a text as ``ansible-vault`` does; the environment names the password's file."""
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", file(tmp_path / "vault-password", f"{PASSWORD}\n"))
    from ansible.parsing.vault import VaultLib, VaultSecret

    def encrypt(text: str) -> bytes:
        return bytes(VaultLib([("default", VaultSecret(PASSWORD.encode()))]).encrypt(text))

    return encrypt


def test_a_key_of_an_encrypted_file(vault: Callable[[str], bytes], tmp_path: Path) -> None:
    file(tmp_path / "secrets.yml", vault(f"other: x\njamf: {SECRET}\nnumber: 12345\nblock: |\n  {SECRET}\n"))

    for key, value in (("jamf", SECRET), ("number", "12345"), ("block", SECRET)):
        assert secret(settings(SecretRef("vault", "secrets.yml", key), tmp_path), "token") == value


def test_an_encrypted_key_of_a_file(vault: Callable[[str], bytes], tmp_path: Path) -> None:
    lines = vault(SECRET).decode().splitlines()
    file(tmp_path / "secrets.yml", "\n".join(["url: https://x", "jamf: !vault |", *(f"  {line}" for line in lines)]))

    assert secret(settings(SecretRef("vault", "secrets.yml", "jamf"), tmp_path), "token") == SECRET
    assert refused(SecretRef("vault", "secrets.yml", "url"), tmp_path).message == "it is not encrypted"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("other: x", "the file has no such key, or no text under it"),
        ("jamf: {a: b}", "the file has no such key, or no text under it"),
        ("[jamf]", "the file has no such key, or no text under it"),
        ("{[x]: y}", "the file has no such key, or no text under it"),
        ("", "the file has no such key, or no text under it"),
        (f"jamf: [{SECRET}", "what is in it is no YAML text"),
        ("jamf: ''", "it is empty"),
    ],
)
def test_what_a_vault_does_not_hold_is_told(
    text: str, message: str, vault: Callable[[str], bytes], tmp_path: Path
) -> None:
    file(tmp_path / "secrets.yml", vault(text))

    error = refused(SecretRef("vault", "secrets.yml", "jamf"), tmp_path)

    assert (error.message, error.where) == (message, "vault secrets.yml, jamf")


def test_a_wrong_password_is_one_line(
    vault: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path / "secrets.yml", vault(f"jamf: {SECRET}"))
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", file(tmp_path / "other", "another\n"))

    error = refused(SecretRef("vault", "secrets.yml", "jamf"), tmp_path)

    assert error.message == "the vault's password does not open it"
    assert "ANSIBLE_VAULT_PASSWORD_FILE" in error.hint


@pytest.mark.parametrize(
    "damage", [b"$ANSIBLE_VAULT;1.1;AES256\n", b"$ANSIBLE_VAULT;9.9;ROT13\n1234\n", b"$ANSIBLE_VAULT;\n"]
)
def test_a_damaged_vault_is_one_line(damage: bytes, vault: Callable[[str], bytes], tmp_path: Path) -> None:
    file(tmp_path / "secrets.yml", damage)

    assert (
        refused(SecretRef("vault", "secrets.yml", "jamf"), tmp_path).message == "the vault's password does not open it"
    )


@pytest.mark.parametrize(
    ("password_file", "message"),
    [
        ("", "ANSIBLE_VAULT_PASSWORD_FILE is not set"),
        ("gone", "the file of ANSIBLE_VAULT_PASSWORD_FILE gives no password"),
        (".", "the file of ANSIBLE_VAULT_PASSWORD_FILE gives no password"),
    ],
)
def test_a_password_that_is_nowhere_is_told(
    password_file: str, message: str, vault: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path / "secrets.yml", vault(f"jamf: {SECRET}"))
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", password_file and str(tmp_path / password_file))

    assert refused(SecretRef("vault", "secrets.yml", "jamf"), tmp_path).message == message


def test_a_program_may_print_the_password(
    vault: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path / "secrets.yml", vault(f"jamf: {SECRET}"))
    program = file(tmp_path / "print-password", f"#!/bin/sh\necho {PASSWORD}\n", 0o700)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", program)

    assert secret(settings(SecretRef("vault", "secrets.yml", "jamf"), tmp_path), "token") == SECRET


def test_a_file_that_is_no_vault_is_told(tmp_path: Path) -> None:
    file(tmp_path / "secrets.yml", f"jamf: {SECRET}\n")

    assert refused(SecretRef("vault", "secrets.yml", "jamf"), tmp_path).message == "it is not encrypted"


def file(path: Path, data: str | bytes, mode: int = 0o600) -> str:
    """Write a file with exactly that mode, whatever the umask is; return its path."""
    path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    path.chmod(mode)
    return str(path)
