"""The Okta org over HTTP, read only."""

from __future__ import annotations

from typing import Any

from scepfix.simulator.okta import OktaOrg
from scepfix.simulator.peers.http import Answer, Request


def face(org: OktaOrg) -> Answer:
    """Return what answers for that org."""

    def answer(request: Request) -> tuple[int, Any]:
        if request.method != "GET":
            return 405, {
                "errorCode": "E0000022",
                "errorSummary": "The endpoint does not support the provided HTTP method",
            }
        return org.answer(request.path, request.query)

    return answer
