"""A plan file, JSON: read strictly, and refused where its digest is not that of what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scepfix.domain.device import host_of
from scepfix.domain.errors import InputError, RefusedError
from scepfix.domain.inert import visible
from scepfix.domain.plan import Plan
from scepfix.parsers.connection_values import read_connection

SCHEMA = "scepfix/plan/1"
#: What ``domain.device.host_of`` makes; anything else is no host that scepfix would ever hand to Ansible.
_AGAIN = "make it again with scepfix plan, and have it approved again"


def write_plan(plan: Plan) -> str:
    """Given a plan, return its JSON document, schema first, with a line end."""
    return json.dumps({"schema": SCHEMA, **plan.as_document()}, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def read_plan(data: bytes, name: str) -> Plan:
    """Given the bytes of a plan file and its name, return the plan.

    Raise InputError where it is no plan file, RefusedError (``plan-changed``) where what it says is not what its
    digest was taken of.
    """
    where = visible(name)
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(
            "plan-unreadable", f"this is no plan file: {_why(error)}", where=where, hint=f"{_AGAIN} if it was cut"
        ) from error
    if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
        raise InputError(
            "plan-unreadable", f"this is no document of {SCHEMA}", where=where, hint="scepfix plan -o FILE writes one"
        )
    try:
        plan = Plan.from_document(found)
        digest = plan.digest()
        _check(plan)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RefusedError("plan-changed", f"the plan is damaged: {_why(error)}", where=where, hint=_AGAIN) from error
    if digest != found.get("digest"):
        raise RefusedError(
            "plan-changed",
            f"what the plan says is not what its digest was taken of: now {digest}",
            where=where,
            hint=f"it was changed after it was made; {_AGAIN}",
        )
    return plan


def _check(plan: Plan) -> None:
    """Raise ValueError for what the digest does not cover and scepfix never writes."""
    if plan.expires_at <= plan.made_at:
        raise ValueError("it expires before it was made")
    for device in plan.devices:
        if device.host != host_of(device.name):
            raise ValueError("a host is not one that scepfix made")
        wrong = read_connection(device.name, device.connection).wrong
        if wrong:
            raise ValueError(f"the connection of {visible(device.name)}: {wrong[0].key}: {wrong[0].message}")
    if len({device.host for device in plan.devices}) < len(plan.devices):
        raise ValueError("a host is there twice")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{visible(str(error.args[0]))} is missing"
    if isinstance(error, UnicodeError):
        return "it is no UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return visible(str(error))[:200]
