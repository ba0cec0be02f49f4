"""The profile that scepfix has an MDM install itself: what must be known of it, and its one secret put in.

For MDMs that only hand on what they are given (NanoMDM). The file holds ``PLACEHOLDER`` where the SCEP challenge
belongs, so that it can be kept anywhere.
"""

from __future__ import annotations

import plistlib
from dataclasses import dataclass
from typing import Any

from scepfix.domain.errors import InputError
from scepfix.parsers.mobileconfig import parse_mobileconfig
from scepfix.parsers.plist_bytes import read_plist
from scepfix.parsers.signed_message import looks_signed, open_signed_message

#: Stands in the profile, as a whole value, where the challenge is put in when it is sent.
PLACEHOLDER = "%SCEPFIX_CHALLENGE%"


@dataclass(frozen=True, slots=True)
class DeliveredProfile:
    """A configuration profile as a file holds it; ``scope`` is ``system`` or ``user``; text as it came.

    ``wants_challenge``: the placeholder is in it.
    """

    identifier: str
    name: str
    payload_types: tuple[str, ...]
    scope: str
    wants_challenge: bool
    signed: bool


def read_delivered_profile(data: bytes, where: str) -> DeliveredProfile:
    """Given the bytes of a ``.mobileconfig``, plain or signed, return what it is. Raise InputError where it is none."""
    (profile,) = parse_mobileconfig(data, where).profiles
    signed = looks_signed(data)
    root = read_plist(open_signed_message(data, where).content if signed else data, where)
    payloads = root.get("PayloadContent") if isinstance(root, dict) else None
    kinds = [one.get("PayloadType") for one in payloads or () if isinstance(one, dict)]
    return DeliveredProfile(
        identifier=profile.identifier,
        name=profile.display_name,
        payload_types=tuple(sorted({str(kind) for kind in kinds if isinstance(kind, str)})),
        # Sent on the device channel, it is the computer's unless it says otherwise.
        scope=profile.scope.value if profile.scope is not None else "system",
        wants_challenge=_with(root, PLACEHOLDER, "")[1],
        signed=signed,
    )


def with_challenge(data: bytes, challenge: str, where: str) -> bytes:
    """Given the bytes of a plain profile, return it with the challenge in the place of the placeholder.

    Raise InputError for a signed one: no signature would survive that. The result holds a secret.
    """
    if looks_signed(data):
        raise InputError(
            "profile-signed",
            f"the profile is signed, so {PLACEHOLDER} in it cannot be replaced",
            where=where,
            hint="give the profile unsigned, or with the challenge in it",
        )
    return plistlib.dumps(_with(read_plist(data, where), PLACEHOLDER, challenge)[0])


def _with(value: Any, old: str, new: str) -> tuple[Any, bool]:
    """Return a tree with each text that is ``old`` replaced, and whether there was one."""
    if isinstance(value, dict):
        pairs = {key: _with(one, old, new) for key, one in value.items()}
        return {key: one for key, (one, _) in pairs.items()}, any(found for _, found in pairs.values())
    if isinstance(value, list):
        items = [_with(one, old, new) for one in value]
        return [one for one, _ in items], any(found for _, found in items)
    return (new, True) if value == old else (value, False)
