"""The JSON form of Evidence, as `diagnose --json` prints it and `--evidence FILE` reads it (docs/evidence.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from math import isfinite

from scepfix.domain.errors import InputError
from scepfix.domain.evidence import (
    COMMON_FACTS,
    MOMENT_FACTS,
    NUMBER_FACTS,
    PREREQUISITES,
    SAYS,
    TRUTH_FACTS,
    WORD_FACTS,
    Evidence,
    Fact,
    Witness,
)
from scepfix.domain.fault import Symptom
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339
from scepfix.parsers.schema import near

_KEYS = ("witness", "source", "line", "byte_offset", "sha256", "observed_at", "quote", "says", "facts")
_SITE_SIGN = re.compile(r"site\.[a-z][a-z0-9-]*")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def parse_evidence(data: bytes, name: str) -> list[Evidence]:
    """Given the bytes of a JSON array of Evidence and its name, return the Evidence.

    ``witness`` and ``says`` are required; what else is missing is null. Raise InputError that lists each wrong
    object and key.
    """
    if len(data) > _LARGEST_BYTES:
        raise InputError("evidence", f"more than {_LARGEST_BYTES // 1024**2} MiB", where=name, hint=_HINT)
    try:
        text = data.decode("utf-8-sig")
        document = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_doubles)
    except UnicodeDecodeError as error:
        raise InputError("evidence", "this is no UTF-8 text", where=name, hint=_HINT) from error
    except json.JSONDecodeError as error:
        raise InputError(
            "evidence", f"this is no JSON: {error.msg}", where=f"{name}:{error.lineno}", hint=_HINT
        ) from error
    except (ValueError, RecursionError) as error:
        reason = f": {visible(str(error))}" if isinstance(error, _DoubleKeyError) else ""
        raise InputError("evidence", f"this is no JSON that can be read{reason}", where=name, hint=_HINT) from error
    if isinstance(document, dict) and isinstance(document.get("evidence"), list):
        document = document["evidence"]
    if not isinstance(document, list):
        raise InputError("evidence", "expected an array of evidence objects", where=name, hint=_HINT)
    evidence: list[Evidence] = []
    problems: list[str] = []
    first_wrong: object = None
    for index, item in enumerate(document):
        found = _one(item, f"[{index}]", problems)
        if found is not None:
            evidence.append(found)
        elif first_wrong is None:
            first_wrong = item
    if problems:
        where = f"{name}:{_line_of_item(text, first_wrong)}"
        raise InputError("evidence", "; ".join(problems[:20]), where=where, hint=_HINT)
    return evidence


def _line_of_item(text: str, wanted: object) -> int:
    """Given JSON text and an object in it, return the line (from 1) on which it begins; 1 where it is too far in."""
    decoder = json.JSONDecoder()
    text = text[:_LOOKED_THROUGH]
    for brace in re.finditer(r"\{", text):
        try:
            found, _ = decoder.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            continue
        if found == wanted:
            return text.count("\n", 0, brace.start()) + 1
    return 1


#: A thousand devices with all that is known of each are smaller.
_LARGEST_BYTES = 2 * 1024 * 1024
#: How far a wrong object is looked for; further in, its index has to do.
_LOOKED_THROUGH = 1_000_000
_HINT = "the form is in docs/evidence.md; `scepfix faults list --evidence` lists the ids"


_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,7}")
#: The reasons of these are somebody's own words.
_FREE_REASON = ("scep.refused", "okta.admin-may-generate")


class _DoubleKeyError(ValueError):
    """A key stands twice in one object; JSON readers differ in which one they take."""


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _DoubleKeyError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _one(item: object, place: str, problems: list[str]) -> Evidence | None:
    if not isinstance(item, dict):
        problems.append(f"{place}: expected an object, found {type(item).__name__}")
        return None
    before = len(problems)
    for key in item:
        if key not in _KEYS:
            problems.append(f"{place}.{visible(key)}: unknown key{near(key, _KEYS)}")
    witness = item.get("witness")
    if witness not in list(Witness):
        problems.append(f"{place}.witness: {_shown(witness)} is no witness{near(str(witness), Witness)}")
    says = item.get("says")
    if not isinstance(says, str) or (says not in SAYS and not _SITE_SIGN.fullmatch(says)):
        problems.append(f"{place}.says: {_shown(says)} is no id{near(str(says), SAYS)}")
    line = _number(item.get("line"), f"{place}.line", 1, problems)
    byte_offset = _number(item.get("byte_offset"), f"{place}.byte_offset", 0, problems)
    sha256 = item.get("sha256")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        problems.append(f"{place}.sha256: {_shown(sha256)} is no SHA-256 in hex")
    observed_at = _moment(item.get("observed_at"), f"{place}.observed_at", problems)
    texts = {key: "" if item.get(key) is None else item[key] for key in ("source", "quote")}
    for key, text in texts.items():
        if not isinstance(text, str):
            problems.append(f"{place}.{key}: {_shown(text)} is no text")
    facts = _facts(item.get("facts"), str(says), f"{place}.facts", problems)
    if says == "prerequisite.unmet" and facts.get("id") not in PREREQUISITES:
        problems.append(
            f"{place}.facts.id: {_shown(facts.get('id'))} is no prerequisite{near(str(facts.get('id')), PREREQUISITES)}"
        )
    if says == "ticket.symptom" and facts.get("symptom") not in list(Symptom):
        problems.append(f"{place}.facts.symptom: {_shown(facts.get('symptom'))} is none of {', '.join(Symptom)}")
    if len(problems) > before:
        return None
    return Evidence(
        witness=Witness(str(witness)),
        source=visible(str(texts["source"])),
        says=str(says),
        line=line,
        byte_offset=byte_offset,
        sha256=sha256.lower() if isinstance(sha256, str) else None,
        observed_at=observed_at,
        quote=visible(str(texts["quote"])),
        facts=facts,
    )


def _number(value: object, place: str, least: int, problems: list[str]) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        return value
    problems.append(f"{place}: {_shown(value)} is no whole number from {least}")
    return None


def _moment(value: object, place: str, problems: list[str]) -> datetime | None:
    if value is None:
        return None
    found = parse_rfc3339(value)
    if found is not None:
        return found
    problems.append(f"{place}: {_shown(value)} is no RFC 3339 time with a zone, such as 2026-11-24T09:30:00Z")
    return None


def _facts(value: object, says: str, place: str, problems: list[str]) -> Mapping[str, Fact]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(f"{place}: expected an object, found {type(value).__name__}")
        return {}
    facts: dict[str, Fact] = {}
    known = (*(SAYS[says].facts if says in SAYS else ()), *COMMON_FACTS)
    for key, fact in value.items():
        if not _is_fact(fact):
            problems.append(
                f"{place}.{visible(key)}: expected a text, number, truth value, null, or a flat list of these"
            )
        elif key not in known and (alike := [name for name in known if name.casefold() == key.casefold()]):
            problems.append(f"{place}.{visible(key)}: is this {alike[0]!r}?")
        elif key in known and key in WORD_FACTS and says not in _FREE_REASON and fact not in (None, *WORD_FACTS[key]):
            problems.append(f"{place}.{key}: {_shown(fact)} is no {key}{near(str(fact), WORD_FACTS[key])}")
        elif wanted := _wrong_type(key, fact):
            problems.append(f"{place}.{visible(key)}: {_shown(fact)} is no {wanted}")
        else:
            facts[visible(key)] = _inert(fact)
    return facts


def _wrong_type(name: str, fact: object) -> str:
    """Given a fact, return what it had to be, or "" where it is right: a wrong type would be passed over in silence."""
    if fact is None:
        return ""
    if name in TRUTH_FACTS:
        return "" if isinstance(fact, bool) else "true or false"
    if name in NUMBER_FACTS:
        return "" if isinstance(fact, int | float) and not isinstance(fact, bool) else "number"
    if name == "version":
        return "" if isinstance(fact, str) and _VERSION.fullmatch(fact) else "version in dotted numbers, as text"
    if name in MOMENT_FACTS:
        return "" if parse_rfc3339(fact) else "RFC 3339 time with a zone, such as 2026-11-24T09:30:00Z"
    return ""


def _is_fact(value: object) -> bool:
    parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
    return all(_is_scalar(part) for part in parts)


def _is_scalar(value: object) -> bool:
    # JSON has no infinity, yet 1e999 is read as one.
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))


def _inert(value: object) -> Fact:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [visible(part) if isinstance(part, str) else part for part in value]
    if isinstance(value, dict):
        return {visible(key): visible(part) if isinstance(part, str) else part for key, part in value.items()}
    return value  # type: ignore[return-value]  # _is_fact has seen it


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return f"a {type(value).__name__}"
    return visible(repr(value)[:80])
