"""Connection values of an inventory: those a connection needs, each held against a strict pattern.

Ansible runs a template that stands in a value, and ``ssh`` runs a program that stands in an option (ProxyCommand,
LocalCommand), so what is not known to be plain is refused, never repaired. No password: keys and tickets only.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scepfix.domain.inert import visible
from scepfix.domain.platform import Platform
from scepfix.domain.run import COLLECTOR

Value = str | int

#: A host's name or address; never an option (no leading hyphen).
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_NAME}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@\\-]{0,62}[A-Za-z0-9_$-])?", re.ASCII)
#: From / or ~, without a quote, a variable, a template or a pattern.
_PATH = re.compile(r"~?/[\w./+@,:=~ -]*")
#: ssh puts its own values in for %h and the like; two files are told apart by a blank, so there is none.
_SSH_PATH = re.compile(r"~?/[\w./+@,:=~%-]*")
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_YES = re.compile(r"(?i:yes|no|true|false|ask|auto|autoask|accept-new|off)", re.ASCII)
_LASTS = re.compile(r"(?i:yes|no|[0-9]{1,6}[smhd]?)", re.ASCII)
_JUMP_HOST = rf"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,62}}@)?(?:{_NAME}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?"
_JUMP = re.compile(rf"(?i:none)|{_JUMP_HOST}(?:,{_JUMP_HOST})*", re.ASCII)
_WORDS = re.compile(r"[A-Za-z0-9@.,+^-]+", re.ASCII)
_FAMILY = re.compile(r"any|inet6?", re.ASCII)
_TRUE = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}

#: The options of ssh that an inventory may set, and what each may be. None of them starts a program.
_SSH_OPTIONS: Mapping[str, tuple[re.Pattern[str], ...]] = {
    "addressfamily": (_FAMILY,),
    "batchmode": (_YES,),
    "checkhostip": (_YES,),
    "ciphers": (_WORDS,),
    "compression": (_YES,),
    "connectionattempts": (_NUMBER,),
    "connecttimeout": (_NUMBER,),
    "controlmaster": (_YES,),
    "controlpath": (re.compile("none"), _SSH_PATH),
    "controlpersist": (_LASTS,),
    "globalknownhostsfile": (re.compile("none"), _SSH_PATH),
    "hashknownhosts": (_YES,),
    "hostkeyalgorithms": (_WORDS,),
    "hostkeyalias": (_HOST,),
    "identitiesonly": (_YES,),
    "identityagent": (re.compile("none|SSH_AUTH_SOCK"), _SSH_PATH),
    "identityfile": (re.compile("none"), _SSH_PATH),
    "kexalgorithms": (_WORDS,),
    "loglevel": (_WORDS,),
    "macs": (_WORDS,),
    "passwordauthentication": (_YES,),
    "port": (_NUMBER,),
    "preferredauthentications": (_WORDS,),
    "proxyjump": (_JUMP,),
    "pubkeyacceptedalgorithms": (_WORDS,),
    "pubkeyauthentication": (_YES,),
    "kbdinteractiveauthentication": (_YES,),
    "serveralivecountmax": (_NUMBER,),
    "serveraliveinterval": (_NUMBER,),
    "stricthostkeychecking": (_YES,),
    "tcpkeepalive": (_YES,),
    "updatehostkeys": (_YES,),
    "user": (_USER,),
    "userknownhostsfile": (re.compile("none"), _SSH_PATH),
    "verifyhostkeydns": (_YES,),
}
_SSH_FLAGS = frozenset({"-4", "-6", "-C", "-q"})
_SSH_SWITCHES: Mapping[str, tuple[re.Pattern[str], ...]] = {
    # A file of ssh's settings may name a program to run.
    "-F": (re.compile("none|/dev/null"),),
    "-J": (_JUMP,),
    "-i": (_SSH_PATH,),
    "-l": (_USER,),
    "-p": (_NUMBER,),
}

_CONNECTIONS = {name: name.rpartition(".")[2] for name in ("ssh", "psrp", "winrm", "local")}
_CONNECTIONS |= {f"ansible.builtin.{name}": name for name in ("ssh", "psrp", "winrm", "local")} | {"smart": "ssh"}
_PASSWORD = re.compile(r"(?i)pass(word|wd|phrase)?$|private_key$|secret|token")
#: Variables with these beginnings decide how a device is reached: one that is not known is told, not passed over.
_DECIDES = ("ansible_become", "ansible_connection", "ansible_psrp_", "ansible_ssh_", "ansible_winrm_")
#: These change nothing of what scepfix asks of a device.
_PASSED_OVER = frozenset({"ansible_ssh_pipelining", "ansible_ssh_transfer_method", "ansible_ssh_verbosity"})
_OURS = ("scepfix_channel", "scepfix_person", "scepfix_platform", "scepfix_serial_number")
_LONGEST_PERSON = 200
#: It goes into the inventory of a run.
_SERIAL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._/-]{1,58}[A-Za-z0-9])", re.ASCII)
#: Of a device that nobody connects to. The top-level name .invalid never leads anywhere (RFC 6761).
_NO_HOST = "collector.invalid"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A value that is refused: its variable, and why. Inert; the value of a secret is never in it."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Reached:
    """How a device is reached, whose it is, and its serial number where said; ``wrong`` is all that is refused."""

    connection: Mapping[str, Value]
    person: str = ""
    wrong: tuple[Wrong, ...] = ()
    serial_number: str = ""


class _RefusedValueError(Exception):
    """A value that does not fit, and why."""


def read_connection(name: str, variables: Mapping[str, object]) -> Reached:
    """Given a device's name and its variables, return the checked connection. Never raises.

    A device without ``ansible_host`` is reached by its name, as Ansible does, where that is a plain host name.
    """
    connection: dict[str, Value] = {}
    wrong: list[Wrong] = []
    for key, value in sorted(variables.items()):
        try:
            _take(key, value, connection)
        except _RefusedValueError as error:
            wrong.append(Wrong(visible(key), str(error)))
    collected = _by_collector(variables, wrong)
    kind = connection.setdefault("ansible_connection", "ssh")
    if collected:
        connection = _no_connection(variables, connection, wrong)
    elif kind == "local":
        if "ansible_host" in variables:
            wrong.append(Wrong("ansible_connection", "local goes to no other computer: leave ansible_host out"))
    elif "ansible_host" not in variables:
        if _HOST.fullmatch(name):
            connection["ansible_host"] = name
        else:
            wrong.append(Wrong("ansible_host", "is missing, and the device's name is no plain host name"))
    person = serial_number = ""
    for key, read in (
        ("scepfix_person", _person),
        ("scepfix_platform", _platform),
        ("scepfix_serial_number", _person),
    ):
        if variables.get(key) is None or any(one.key == key for one in wrong):
            continue
        try:
            said = read(variables[key])
            if key == "scepfix_person":
                person = said
            elif key == "scepfix_serial_number":
                serial_number = said
            else:
                _set_platform(Platform(said), connection)
        except _RefusedValueError as error:
            wrong.append(Wrong(key, str(error)))
    return Reached(connection, person, tuple(wrong), serial_number)


def channel_of(connection: Mapping[str, Value]) -> str:
    """Given checked connection values, return the channel: "" where the device is connected to, else COLLECTOR."""
    return COLLECTOR if connection.get("scepfix_channel") == COLLECTOR else ""


def _by_collector(variables: Mapping[str, object], wrong: list[Wrong]) -> bool:
    said = variables.get("scepfix_channel")
    if said in (None, COLLECTOR):
        return said is not None
    wrong.append(Wrong("scepfix_channel", f"{_shown(said)} is not {COLLECTOR}; leave it out to connect to the device"))
    return False


def _no_connection(
    variables: Mapping[str, object], connection: Mapping[str, Value], wrong: list[Wrong]
) -> dict[str, Value]:
    """Return the values of a device that nobody connects to: whatever a group says of connections is not for it."""
    try:
        serial = _fitting("serial number", _SERIAL)(variables.get("scepfix_serial_number"))
    except _RefusedValueError as error:
        why = f"a device with a collector is found in the MDM by it; {error}"
        wrong.append(Wrong("scepfix_serial_number", why))
        serial = ""
    shell = {"ansible_shell_type": "powershell"} if platform_of(connection) is Platform.WINDOWS else {}
    return {
        "ansible_connection": "ssh",
        "ansible_host": _NO_HOST,
        "scepfix_channel": COLLECTOR,
        "scepfix_serial_number": serial,
        **shell,
    }


def platform_of(connection: Mapping[str, Value]) -> Platform:
    """Given checked connection values, return the platform they lead to."""
    windows = connection.get("ansible_connection") in ("psrp", "winrm")
    return Platform.WINDOWS if windows or connection.get("ansible_shell_type") == "powershell" else Platform.MACOS


def _set_platform(said: Platform, connection: dict[str, Value]) -> None:
    if said is Platform.WINDOWS and connection["ansible_connection"] == "ssh":
        connection.setdefault("ansible_shell_type", "powershell")
    if platform_of(connection) is not said:
        raise _RefusedValueError(f"{said.value} does not fit the other connection values")


def _take(key: str, value: object, connection: dict[str, Value]) -> None:
    """Put a value that fits into the connection; pass over what has nothing to do with one."""
    if isinstance(value, Mapping) and list(value) == ["__ansible_unsafe"]:
        # A plugin said that this text is no template; it is held against the pattern all the same.
        value = value["__ansible_unsafe"]
    read = _READERS.get(key)
    if read is not None:
        connection[key] = read(value)
    elif key.startswith("ansible_") and _PASSWORD.search(key):
        raise _RefusedValueError("passwords are not read from an inventory: use an SSH key, an agent or a ticket")
    elif key.startswith(_DECIDES) and key not in _PASSED_OVER:
        raise _RefusedValueError(f"is no connection value that scepfix knows{_near(key, tuple(_READERS))}")
    elif key.startswith("scepfix_") and key not in _OURS and difflib.get_close_matches(key, _OURS, 1, 0.8):
        raise _RefusedValueError(f"is not known{_near(key, _OURS)}")


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(value: object) -> str:
    """Show a refused value on one line. A tagged value (vault, unsafe) is shown by its tag alone."""
    if isinstance(value, Mapping):
        return f"a value marked {visible(', '.join(map(str, value)))[:40]}"
    text = visible(str(value))
    return repr(text if len(text) <= 80 else text[:80] + " …")


def _fitting(what: str, *patterns: re.Pattern[str]) -> Callable[[object], Value]:
    def read(value: object) -> Value:
        # Letters outside ASCII may stand in a path; what hides or reorders may not.
        if isinstance(value, str) and visible(value) == value and any(one.fullmatch(value) for one in patterns):
            return value
        raise _RefusedValueError(f"{_shown(value)} is no {what}")

    return read


def _one_of(*words: str) -> Callable[[object], Value]:
    return _fitting("word that is known here: " + ", ".join(words), *(re.compile(re.escape(word)) for word in words))


def _number(most: int) -> Callable[[object], Value]:
    def read(value: object) -> Value:
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if _NUMBER.fullmatch(text) and 1 <= int(text) <= most:
            return int(text)
        raise _RefusedValueError(f"{_shown(value)} is no whole number from 1 to {most}")

    return read


def _truth(value: object) -> Value:
    known = (
        value if isinstance(value, bool) else _TRUE.get(str(value).lower()) if isinstance(value, str | int) else None
    )
    if known is None:
        raise _RefusedValueError(f"{_shown(value)} is neither true nor false")
    return known


def _connection(value: object) -> Value:
    kind = _CONNECTIONS.get(value) if isinstance(value, str) else None
    if kind is None:
        raise _RefusedValueError(f"{_shown(value)} is none of ssh, psrp, winrm")
    return kind


def _become_method(value: object) -> Value:
    if value not in ("sudo", "ansible.builtin.sudo"):
        raise _RefusedValueError(f"{_shown(value)} is not sudo")
    return "sudo"


def _ssh_arguments(value: object) -> Value:
    """Take options of ssh apart, check each, and put them together again, quoted."""
    try:
        words = shlex.split(value) if isinstance(value, str) and visible(value) == value else None
    except ValueError:
        words = None
    if words is None:
        raise _RefusedValueError(f"{_shown(value)} is no line of ssh options")
    checked: list[str] = []
    rest = iter(words)
    for word in rest:
        switch, joined = word[:2], word[2:]
        if word in _SSH_FLAGS:
            checked.append(word)
            continue
        if switch != "-o" and switch not in _SSH_SWITCHES:
            raise _RefusedValueError(f"{_shown(word)} is no option of ssh that an inventory may set")
        found = joined or next(rest, "")
        if switch == "-o":
            _check_option(found)
        elif not any(one.fullmatch(found) for one in _SSH_SWITCHES[switch]):
            raise _RefusedValueError(f"{_shown(found)} does not fit {switch}")
        checked += [switch, found]
    return shlex.join(checked)


def _check_option(text: str) -> None:
    option, equals, value = text.partition("=")
    patterns = _SSH_OPTIONS.get(option.strip().lower())
    if patterns is None or not equals:
        raise _RefusedValueError(f"{_shown(option)} is no option of ssh that an inventory may set (write OPTION=VALUE)")
    if not any(one.fullmatch(value) for one in patterns):
        raise _RefusedValueError(f"{_shown(value)} does not fit the ssh option {option.strip()}")


def _person(value: object) -> str:
    """A person is shown and compared, and nothing else; so any text is one, made inert."""
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_PERSON:
        raise _RefusedValueError("is no name of a person")
    return visible(value.strip())


def _platform(value: object) -> str:
    if value not in tuple(Platform):
        raise _RefusedValueError(f"{_shown(value)} is neither macos nor windows")
    return str(value)


_host = _fitting("host name or address", _HOST)
_user = _fitting("plain user name", _USER)
_path = _fitting("plain path from / or ~", _PATH)
_READERS: Mapping[str, Callable[[object], Value]] = {
    "ansible_become": _truth,
    "ansible_become_method": _become_method,
    "ansible_become_user": _one_of("root"),
    "ansible_connection": _connection,
    "ansible_host": _host,
    "ansible_host_key_checking": _truth,
    "ansible_port": _number(65535),
    "ansible_psrp_auth": _one_of("certificate", "kerberos", "negotiate"),
    "ansible_psrp_ca_cert": _path,
    "ansible_psrp_cert_validation": _one_of("validate", "ignore"),
    "ansible_psrp_certificate_key_pem": _path,
    "ansible_psrp_certificate_pem": _path,
    "ansible_psrp_protocol": _one_of("http", "https"),
    "ansible_shell_type": _one_of("sh", "powershell"),
    "ansible_ssh_args": _ssh_arguments,
    "ansible_ssh_common_args": _ssh_arguments,
    "ansible_ssh_extra_args": _ssh_arguments,
    "ansible_ssh_host_key_checking": _truth,
    "ansible_ssh_private_key_file": _path,
    "ansible_ssh_retries": _number(10),
    "ansible_ssh_timeout": _number(600),
    "ansible_user": _user,
    "ansible_winrm_ca_trust_path": _path,
    "ansible_winrm_cert_key_pem": _path,
    "ansible_winrm_cert_pem": _path,
    "ansible_winrm_scheme": _one_of("http", "https"),
    "ansible_winrm_server_cert_validation": _one_of("validate", "ignore"),
    "ansible_winrm_transport": _one_of("certificate", "kerberos"),
}
