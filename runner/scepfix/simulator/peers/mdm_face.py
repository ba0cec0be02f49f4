"""The MDM over HTTP; it can be told to hold a call, so that a client can be killed in the middle of it.

The file ``mdm/hold`` holds ``{"verb": "exclude" | "put-back", "when": "before" | "after"}``: such a call stops before
or after it is applied until the file is gone, and ``mdm/holding`` is there while it does.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from scepfix.domain.mdm import CertificateList
from scepfix.domain.moment import rfc3339
from scepfix.simulator.mdm import GROUP, SimulatedMdm
from scepfix.simulator.peers.http import Request
from scepfix.simulator.profile import IDENTIFIER
from scepfix.simulator.world import World

_HOLD_POLL_SECONDS = 0.02
_UNKNOWN = (404, {"error": "there is no such thing here"})


class MdmFace:
    """Answers for the MDM of that world."""

    def __init__(self, world: World) -> None:
        self._mdm: SimulatedMdm = world.mdm
        self._folder = world.folder / "mdm"

    def answer(self, request: Request) -> tuple[int, Any]:
        """Given a request, return HTTP status and JSON document."""
        now = datetime.now(UTC)
        if request.method == "GET":
            return self._read(request, now)
        ids = _texts(request.body, "serial_numbers" if request.path == "/devices/search" else "ids")
        if ids is None:
            return 400, {"error": "a list of texts was expected"}
        if request.path.endswith("/search"):
            return self._search(request.path, ids, now)
        changes: dict[str, tuple[str, Callable[[Sequence[str], datetime], None]]] = {
            f"/groups/{GROUP}/add": ("exclude", self._mdm.exclude),
            f"/groups/{GROUP}/remove": ("put-back", self._mdm.put_back),
            "/nudge": ("nudge", self._mdm.nudge),
        }
        if request.path not in changes:
            return _UNKNOWN
        if not request.may_write:
            return 403, {"error": "this token may only read"}
        verb, change = changes[request.path]
        self._hold(verb, "before")
        change(ids, datetime.now(UTC))
        self._hold(verb, "after")
        return 200, {}

    def _read(self, request: Request, now: datetime) -> tuple[int, Any]:
        if request.path == f"/profiles/{IDENTIFIER}":
            return 200, self._mdm.profile().as_document()
        if request.path == f"/groups/{GROUP}/members":
            return 200, [record.as_document() for record in self._mdm.members(now)]
        return _UNKNOWN

    def _search(self, path: str, ids: Sequence[str], now: datetime) -> tuple[int, Any]:
        if path == "/devices/search":
            found = self._mdm.devices(ids, now)
            return 200, {serial: record.as_document() for serial, record in found.items()}
        if path == "/certificates/search":
            return 200, {one: _listed(listed) for one, listed in self._mdm.certificates(ids, now).items()}
        if path == "/collected/search":
            collected = self._mdm.collected(ids)
            return 200, {
                one: {"line": text.line, "collected_at": rfc3339(text.collected_at)} for one, text in collected.items()
            }
        return _UNKNOWN

    def _hold(self, verb: str, when: str) -> None:
        hold, holding = self._folder / "hold", self._folder / "holding"
        if not _is(hold, verb, when):
            return
        holding.touch()
        while hold.exists():
            time.sleep(_HOLD_POLL_SECONDS)
        holding.unlink(missing_ok=True)


def _listed(said: CertificateList) -> dict[str, Any]:
    ders = [base64.b64encode(one.der).decode("ascii") for one in said.certificates]
    return {"taken_at": rfc3339(said.taken_at), "certificates": ders}


def _is(hold: Any, verb: str, when: str) -> bool:
    try:
        return bool(json.loads(hold.read_bytes()) == {"verb": verb, "when": when})
    except (FileNotFoundError, ValueError):
        return False


def _texts(body: Any, key: str) -> list[str] | None:
    found = body.get(key) if isinstance(body, dict) else None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None
