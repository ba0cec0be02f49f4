"""What NanoMDM posts: real events, and anything at all."""

from __future__ import annotations

import base64
import json
import plistlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.parsers.nanomdm_webhook import ENROLLMENT_ID, WebhookEvent, read_webhook_event

SAMPLES = Path(__file__).parents[3] / "shared/samples/mdm"
needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="shared/samples is not beside this checkout")
DEVICE = "66ADE930-5FDF-5EC4-8429-15640684C489"


def connect(message: Any, **changes: Any) -> bytes:
    raw = message if isinstance(message, bytes) else plistlib.dumps(message)
    said = {
        "ids": {"id": DEVICE, "type": "Device"},
        "status": "Acknowledged",
        "command_uuid": "76eda240-5488-4989-8339-f2ae160113c4",
        "raw_payload": base64.b64encode(raw).decode("ascii"),
        **changes,
    }
    return json.dumps(
        {"topic": "mdm.Connect", "created_at": "2026-11-24T09:00:00Z", "acknowledge_event": said}
    ).encode()


def checkin(topic: str, message: dict[str, Any]) -> bytes:
    said = {"ids": {"id": DEVICE, "type": "Device"}, "raw_payload": base64.b64encode(plistlib.dumps(message)).decode()}
    return json.dumps({"topic": topic, "created_at": "2026-11-24T09:00:00Z", "checkin_event": said}).encode()


@needs_samples
def test_the_event_of_nanomdms_own_tests() -> None:
    event = read_webhook_event((SAMPLES / "nanomdm_webhook_DeviceInformation.1.json").read_bytes())

    assert event == WebhookEvent(
        "mdm.Connect",
        DEVICE,
        "76eda240-5488-4989-8339-f2ae160113c4",
        "Acknowledged",
        hardware_uuid=DEVICE,
    )


@needs_samples
def test_real_answers_of_devices() -> None:
    profiles = read_webhook_event(connect((SAMPLES / "commandment_ProfileList_10.11.x.xml").read_bytes())).profiles
    listed = read_webhook_event(connect((SAMPLES / "commandment_CertificateList_10.11.x.xml").read_bytes()))
    before = read_webhook_event(connect((SAMPLES / "synth_CertificateList.before.plist").read_bytes()))

    assert profiles is not None
    assert "com.github.micromdm.micromdm.mdm" in profiles
    assert listed.certificates
    assert before.certificates is not None
    assert all(der.startswith(b"\x30\x82") for der in before.certificates)
    token = checkin("mdm.TokenUpdate", plistlib.loads((SAMPLES / "nanomdm_TokenUpdate.1.plist").read_bytes()))
    assert "CEFDF0BD" not in repr(read_webhook_event(token))


def test_who_enrols_says_its_serial_number() -> None:
    message = {"SerialNumber": "C02X", "UDID": DEVICE, "DeviceName": "mac-042", "Topic": "com.apple.mgmt.External.1"}

    assert read_webhook_event(checkin("mdm.Authenticate", message)) == WebhookEvent(
        "mdm.Authenticate",
        DEVICE,
        serial_number="C02X",
        hardware_uuid=DEVICE,
        name="mac-042",
        push_topic="com.apple.mgmt.External.1",
    )


def test_a_user_channel_tells_nothing() -> None:
    ids = {"id": f"{DEVICE}:501", "type": "User", "parent_id": DEVICE}

    assert read_webhook_event(connect({"ProfileList": []}, ids=ids)) == WebhookEvent("mdm.Connect")


def test_a_bootstrap_token_is_not_looked_at() -> None:
    event = read_webhook_event(checkin("mdm.SetBootstrapToken", {"BootstrapToken": b"planted", "UDID": DEVICE}))

    assert event == WebhookEvent("mdm.SetBootstrapToken", DEVICE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"topic": 1}',
        b'{"topic": "mdm.Connect"}',
        b'{"topic": "mdm.\\u001b[2J", "checkin_event": {}}',
        b"[" * 100_000,
        connect({}, ids={"id": "../../v1", "type": "Device"}),
        connect({}, ids={"id": "a,b", "type": "Device"}),
        connect({}, ids={"type": "Device"}),
        connect({}, ids=None),
        connect({}, status=7),
        connect({}, status="\x1b[2J"),
        connect({}, command_uuid="\x00"),
        connect({}, raw_payload="no base64!"),
        connect({}, raw_payload=None),
        connect(b"no plist"),
        connect(b'<!DOCTYPE plist [<!ENTITY a "b">]><plist><dict/></plist>'),
        connect({"ProfileList": {}}),
        connect({"ProfileList": [{"PayloadUUID": "x"}]}),
        connect({"CertificateList": [{"CommonName": "x"}]}),
        connect({"CertificateList": [{"Data": "text"}]}),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        read_webhook_event(body)


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"topic": st.sampled_from(["mdm.Connect", "mdm.Authenticate", "mdm.CheckOut"]) | _ANY},
        optional={
            key: st.fixed_dictionaries(
                {},
                optional={
                    "ids": st.fixed_dictionaries({"id": st.just(DEVICE) | _ANY, "type": st.just("Device") | _ANY}),
                    "status": st.just("Acknowledged") | _ANY,
                    "udid": st.just(DEVICE) | _ANY,
                    "command_uuid": _ANY,
                    "raw_payload": st.just(base64.b64encode(plistlib.dumps({"ProfileList": []})).decode()) | _ANY,
                },
            )
            | _ANY
            for key in ("acknowledge_event", "checkin_event")
        },
    )
)
def test_anything_is_an_event_or_refused(document: Any) -> None:
    try:
        event = read_webhook_event(json.dumps(document).encode())
    except InputError:
        return

    assert event.device == "" or ENROLLMENT_ID.fullmatch(event.device)
