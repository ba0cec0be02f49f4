"""JSON with certificates in it: PowerShell's ConvertTo-Json, Ansible's win_certificate_info, lists of base64 or PEM.

``Get-ChildItem Cert:\\LocalMachine\\My | Select-Object RawData, HasPrivateKey, PSParentPath | ConvertTo-Json`` prints
RawData as an array of numbers, Windows PowerShell 5.1 sometimes wrapped in ``{"value": […], "Count": n}``, and
a single certificate as one object without the list. Ansible prints ``certificates[].cert_data`` in base64 and
names the store once, in ``invocation``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from scepfix.domain.certificate import FoundCertificate, Problem
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.parsers.pem import base64_bytes, pem_blocks
from scepfix.parsers.x509 import read_certificate

#: Lower-cased names of members that hold one certificate.
_DER_MEMBERS = ("rawdata", "cert_data", "der", "pem", "certificate")
_KEY_MEMBERS = ("hasprivatekey", "has_private_key")
#: Before its JSON an ad-hoc run of ansible prints ``host | SUCCESS => ``.
_ANSIBLE_PREFIX = re.compile(r"\s*\S+ \| [A-Z]+!? => (?=\{)")


def looks_like_json(text: str) -> bool:
    """Given text, tell whether it begins as a JSON object, list or string, or as ansible's ad-hoc output."""
    return text.lstrip()[:1] in ("{", "[", '"') or _ANSIBLE_PREFIX.match(text) is not None


def parse_json(text: str) -> tuple[list[FoundCertificate], list[Problem]]:
    """Given JSON text, return the certificates in it with their place (``certificates[3]``) and what is wrong.

    Raise InputError when it is no JSON, or is cut. JSON without certificates gives two empty lists.
    """
    prefix = _ANSIBLE_PREFIX.match(text)
    try:
        document = json.loads(text[prefix.end() :] if prefix else text)
    except RecursionError:
        raise InputError("json-too-deep", "JSON nested too deeply to be a list of certificates") from None
    except ValueError as error:
        raise InputError("json-unreadable", f"not whole JSON: {visible(str(error))}", hint="was it cut?") from None
    found: list[FoundCertificate] = []
    problems: list[Problem] = []
    store = _ansible_store(document)
    for place, value, holder in _candidates(document):
        try:
            certificate = read_certificate(_der(value))
        except InputError as error:
            problems.append(Problem(error.code, error.message, place))
        except ValueError:
            problems.append(Problem("block-unreadable", "neither base64, PEM nor a list of bytes", place))
        else:
            has_key = _member(holder, _KEY_MEMBERS)
            private_key = has_key if isinstance(has_key, bool) else None
            found.append(FoundCertificate(certificate, place, None, None, private_key, _store(holder) or store))
    return found, problems


def _candidates(document: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield place, value and enclosing object of everything that should be a certificate, in reading order.

    An object that has one is not searched further: PowerShell nests RawData of names and keys in it. A stack, not
    recursion: the depth is the sender's choice.
    """
    pending: list[tuple[str, Any]] = [("", document)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, str) and _may_be_certificate(value):
            yield place or "the string", value, {}
        elif isinstance(value, list):
            # Numbers are passed over: a file may hold millions.
            inner = [(index, one) for index, one in enumerate(value) if isinstance(one, str | list | dict)]
            pending += [(f"{place}[{index}]", one) for index, one in reversed(inner)]
        elif isinstance(value, dict):
            data = _member(value, _DER_MEMBERS)
            if data is not None:
                yield place or "the object", data, value
            else:
                pending += reversed([(f"{place}.{visible(str(name))}".lstrip("."), one) for name, one in value.items()])


def _may_be_certificate(text: str) -> bool:
    """Base64 of a DER SEQUENCE longer than 127 bytes begins so."""
    return text.lstrip()[:2] in ("MI", "MH") or "-----BEGIN CERTIFICATE-----" in text


def _der(value: Any) -> bytes:
    """Given base64, PEM, a list of byte numbers or PowerShell's wrapper of one, return bytes, else raise ValueError."""
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, list) and all(isinstance(number, int) for number in value):
        return bytes(value)
    if not isinstance(value, str):
        raise ValueError
    block = next(pem_blocks(value), None)
    if block is None:
        return base64_bytes(value)
    if block.body is None:
        raise ValueError
    return block.body


def _member(holder: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value for name, value in holder.items() if name.lower() in names and value is not None), None)


def _store(holder: dict[str, Any]) -> str:
    """``Microsoft.PowerShell.Security\\Certificate::LocalMachine\\My`` names provider, location and store."""
    path = holder.get("PSParentPath")
    return visible(path.partition("::")[2]) if isinstance(path, str) else ""


def _ansible_store(document: Any) -> str:
    invocation = document.get("invocation") if isinstance(document, dict) else None
    arguments = invocation.get("module_args") if isinstance(invocation, dict) else None
    if not isinstance(arguments, dict):
        return ""
    location, name = arguments.get("store_location"), arguments.get("store_name")
    return visible(f"{location}\\{name}") if isinstance(location, str) and isinstance(name, str) else ""
