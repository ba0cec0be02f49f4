"""A small NanoMDM for machines without the real one: queues, check-ins, API and webhook, as its version 0.9.

What it does is read from NanoMDM's source (api/, service/nanomdm, storage/kv); tests that run against the real server
run against this one too. It believes who a device says it is.
"""

from __future__ import annotations

import base64
import hmac
import json
import plistlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from openapi_schema_validator import OAS31Validator
from tests.contract.server import Asked, Said

EVENT_SCHEMA = Path(__file__).parents[3] / "shared/contracts/nanomdm/webhook-event.schema.json"
#: Of these the published description says nothing: they are for devices.
FOR_DEVICES = ("/checkin", "/mdm")


@dataclass
class NanoMdmFace:
    """``api_key`` may be changed while it runs. ``listening`` False: events are lost, as where nobody takes them.

    ``pushes`` are the pushes it could send, with ``push_certificate``; without, each fails as NanoMDM's does.
    ``refuses``: ids whose queue cannot be written.
    """

    api_key: str
    webhook_url: str = ""
    webhook_key: str = ""
    push_certificate: bool = False
    listening: bool = True
    refuses: set[str] = field(default_factory=set)
    pushes: list[str] = field(default_factory=list)
    _enrolled: set[str] = field(default_factory=set)
    _queues: dict[str, list[str]] = field(default_factory=dict)
    _not_now: set[tuple[str, str]] = field(default_factory=set)
    _commands: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(10))

    def __call__(self, asked: Asked) -> Said:
        if asked.path in FOR_DEVICES:
            return self._device(asked)
        if asked.path == "/version":
            return Said(document={"version": "v0.9.0"})
        given = base64.b64encode(f"nanomdm:{self.api_key}".encode()).decode("ascii")
        if asked.headers.get("authorization") != f"Basic {given}":
            return Said(
                401, body=b"Unauthorized\n", content_type="text/plain", headers=(("WWW-Authenticate", "Basic"),)
            )
        if asked.path == "/v1/pushcert":
            return Said(400, {"error": "tls: failed to find any PEM data in certificate input"})
        _, _, verb, ids = asked.path.split("/", 3)
        if verb == "enqueue":
            return self._enqueue(ids.split(","), asked.body, push=not asked.get("nopush"))
        return self._said(self._pushed(ids.split(",")), len(ids.split(",")))

    # --- the API ------------------------------------------------------------------------------------------------------

    def _enqueue(self, ids: list[str], body: bytes, *, push: bool) -> Said:
        command = plistlib.loads(body)
        uid = command["CommandUUID"]
        said: dict[str, Any] = {"command_uuid": uid, "request_type": command["Command"]["RequestType"]}
        if not push:
            said["no_push"] = True
        if uid in self._commands:
            return Said(500, {**said, "command_error": f"command already exists: {uid}"})
        self._commands[uid] = body
        for one in ids:
            if one in self.refuses:
                said.setdefault("status", {})[one] = {"command_error": f"enqueue: parse error: raw content: {body!r}"}
            else:
                self._queues.setdefault(one, []).append(uid)
        if push:
            pushed = self._pushed(ids)
            for one, result in pushed.pop("status", {}).items():
                said.setdefault("status", {}).setdefault(one, {}).update(result)
            said.update(pushed)
        return self._said(said, len(ids))

    def _pushed(self, ids: list[str]) -> dict[str, Any]:
        known = [one for one in ids if one in self._enrolled]
        if known and not self.push_certificate:
            return {"push_error": 'retrieving push cert for topic "com.apple.mgmt.External": key not found'}
        self.pushes += known
        return {
            "status": {
                one: {"push_result": str(uuid.uuid4()).upper()}
                if one in known
                else {"push_error": "push data missing for id"}
                for one in ids
            }
        }

    def _said(self, said: dict[str, Any], asked: int) -> Said:
        failed = sum(bool(one.get("push_error") or one.get("command_error")) for one in said.get("status", {}).values())
        whole = "push_error" in said or "command_error" in said or failed == asked
        return Said(500 if whole else 207 if failed else 200, said)

    # --- devices ------------------------------------------------------------------------------------------------------

    def _device(self, asked: Asked) -> Said:
        assert base64.b64decode(asked.headers["mdm-signature"], validate=True)
        message = plistlib.loads(asked.body)
        one = message["UDID"]
        if asked.path == "/checkin":
            kind = message["MessageType"]
            if kind == "Authenticate":
                self._queues[one] = []
                self._enrolled.discard(one)
            elif kind == "TokenUpdate":
                self._enrolled.add(one)
            else:
                self._enrolled.discard(one)
            self._post(f"mdm.{kind}", "checkin_event", {}, one, asked.body)
            return Said(body=b"", content_type="text/plain")
        status, queue = message["Status"], self._queues.setdefault(one, [])
        if status == "NotNow":
            self._not_now.add((one, message["CommandUUID"]))
        elif status != "Idle":
            queue.remove(message["CommandUUID"])
        answered = {"command_uuid": message["CommandUUID"]} if "CommandUUID" in message else {}
        self._post("mdm.Connect", "acknowledge_event", {"status": status, **answered}, one, asked.body)
        skipped = self._not_now if status == "NotNow" else set()
        following = [uid for uid in queue if (one, uid) not in skipped]
        return Said(body=self._commands[following[0]] if following else b"", content_type="text/plain")

    def _post(self, topic: str, key: str, more: Mapping[str, Any], one: str, raw: bytes) -> None:
        if not self.listening:
            return
        event = {
            "topic": topic,
            "event_id": uuid.uuid4().hex[:16],
            "created_at": datetime.now(UTC).isoformat(),
            key: {
                "ids": {"id": one, "type": "Device"},
                "udid": one,
                "raw_payload": base64.b64encode(raw).decode("ascii"),
                **more,
            },
        }
        if EVENT_SCHEMA.exists():
            wrong = list(OAS31Validator(json.loads(EVENT_SCHEMA.read_bytes())).iter_errors(event))
            assert wrong == []
        body = json.dumps(event).encode("utf-8")
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if self.webhook_key:
            signed = hmac.digest(self.webhook_key.encode(), body, "sha256")
            headers["X-Hmac-Signature"] = base64.b64encode(signed).decode("ascii")
        reply = self._pool.request("POST", self.webhook_url, body=body, headers=headers)
        assert reply.status == 200, (reply.status, reply.data)
