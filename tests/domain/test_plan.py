"""Plans: the digest covers all that an approval is about, and nothing that changes by itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.repair_strategies import PLANS, damaged

from scepfix.domain.device import Identity
from scepfix.domain.plan import (
    KnownCertificate,
    Plan,
    PlannedDevice,
    Prediction,
    ProofGrade,
    SetAside,
    Sureness,
    canonical,
)
from scepfix.domain.platform import Platform

MADE_AT = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
DEVICE = PlannedDevice(
    name="mac-042",
    host="dev-afe576019c37",
    platform=Platform.MACOS,
    identity=Identity("C02XK1ABJGH5", "4C4C4544-0042-4810-8058-B9C04F333533", "17"),
    person="alice",
    fault="device-deleted",
    playbook="reinstall_scep_profile",
    connection={"ansible_host": "127.1.0.42", "ansible_port": 22},
    facts={"profile": "com.example.scep", "evidence": "okta.device-gone"},
    before=(KnownCertificate("aa" * 32, "1234", "bb" * 32),),
    predictions=(Prediction("certificate", "one old", "one new", Sureness.ASSUMED),),
    one_way_steps=("the profile is removed",),
    watches=("no PIN meanwhile",),
    reason="Okta says so",
    standing="confirmed",
)
#: All that may be odd in one device: empty, not ASCII, two spellings of one letter, controls, markup, templates, huge.
FROM_HELL = PlannedDevice(
    name="",
    host="dev-e3b0c44298fc",
    platform=Platform.WINDOWS,
    identity=Identity("\u00e9", "e\u0301", "\U0001f34e"),
    person='"\\/\b\f\n\r\t\x00\x1f\x7f\u2028\u202e',
    fault="{{ 1 + 1 }}",
    playbook="<script>alert(1)</script>",
    connection={},
    facts={"": "", "b": "1", "a": "2", "B": "3", "\U0001f34e": "\ufffd", "\uffff": "\ue000"},
    before=(KnownCertificate("", "", ""), KnownCertificate("-1", "00", "\u00a0")),
    remove=("", " "),
    predictions=(Prediction("", "", "", Sureness.UNKNOWABLE),),
)
PLAN = Plan(
    devices=(DEVICE, replace(DEVICE, name="mac-043", host="dev-000000000043")),
    set_aside=(SetAside("mac-044", "unreachable", "it does not answer"),),
    proof_grade=ProofGrade.CERTIFICATE,
    content_sha256="cc" * 32,
    variables={"repair.put_back_after_hours": 4},
    requester="bob",
    made_at=MADE_AT,
    expires_at=MADE_AT + timedelta(hours=24),
)
HELL = replace(PLAN, devices=(FROM_HELL,), variables={"big": 2**200, "negative": -1, "": ""})


# --- the digest, byte by byte --------------------------------------------------------------------------------------

GOLDEN_BYTES = (
    b'{"before":[{"public_key_sha256":"","serial_number":"","sha25'
    b'6":""},{"public_key_sha256":"\xc2\xa0","serial_number":"00","sha25'
    b'6":"-1"}],"connection":{},"facts":{"":"","B":"3","a":"2","b"'
    b':"1","\xef\xbf\xbf":"\xee\x80\x80","\xf0\x9f\x8d\x8e":"\xef\xbf\xbd"},"fault":"{{ 1 + 1 }}","identi'
    b'ty":{"hardware_uuid":"e\xcc\x81","mdm_id":"\xf0\x9f\x8d\x8e","serial_number":"'
    b'\xc3\xa9"},"name":"","one_way_steps":[],"person":"\\"\\\\/\\b\\f\\n\\r\\t\\'
    b'u0000\\u001f\x7f\xe2\x80\xa8\xe2\x80\xae","platform":"windows","playbook":"<script'
    b'>alert(1)</script>","predictions":[{"after":"","now":"","sur'
    b'eness":"unknowable","what":""}],"remove":[""," "]}'
)
GOLDEN_DIGEST = "sha256:3ab7db8103dee3171dcad9bde0d6dd770d848b772e7163a5eca808226f037b25"


def test_the_bytes_of_a_device_from_hell_are_these() -> None:
    assert canonical(FROM_HELL.covered()) == GOLDEN_BYTES


def test_the_digest_of_a_plan_from_hell_is_this() -> None:
    assert HELL.digest() == GOLDEN_DIGEST


def test_the_golden_bytes_are_the_json_of_the_device() -> None:
    assert json.loads(GOLDEN_BYTES) == FROM_HELL.covered()


@pytest.mark.parametrize("value", [1.0, {"a": [0.5]}, {1: "a"}, {None: 1}, {"a": {True: 1}}, b"bytes", {1, 2}])
def test_what_two_writers_would_spell_differently_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        canonical({"a": "\ud800"})
    document = PLAN.as_document()
    document["devices"][0]["reason"] = "\ud800"
    with pytest.raises(ValueError, match="surrogates"):
        Plan.from_document(document)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(_JSON)
def test_canonical_bytes_say_the_same_and_come_back_the_same(value: Any) -> None:
    data = canonical(value)
    assert json.loads(data) == value
    assert canonical(json.loads(data)) == data


@given(_JSON, _JSON)
def test_two_values_share_their_bytes_only_if_they_are_one(one: Any, other: Any) -> None:
    # True == 1 in Python, and they are two values in JSON.
    same = one == other and repr(one) == repr(other)
    if same or canonical(one) == canonical(other):
        assert canonical(one) == canonical(other)
        assert one == other


# --- what the digest does not cover --------------------------------------------------------------------------------


def test_a_thousand_plans_of_the_same_effects_have_one_digest() -> None:
    digests = set()
    for number in range(1000):
        devices = [
            replace(
                device,
                host=f"dev-{number:012x}",
                watches=(f"watch {number}",),
                reason=f"reason {number}",
                standing="likely" if number % 2 else "confirmed",
                facts=dict(sorted(device.facts.items(), reverse=bool(number % 2))),
            )
            for device in PLAN.devices
        ]
        again = replace(
            PLAN,
            devices=tuple(reversed(devices) if number % 2 else devices),
            set_aside=(),
            made_at=MADE_AT + timedelta(seconds=number),
            expires_at=MADE_AT + timedelta(hours=24, seconds=number),
        )
        digests.add(again.digest())
    assert digests == {PLAN.digest()}


# --- what it covers ------------------------------------------------------------------------------------------------

FLIPS: dict[str, Callable[[Plan], Plan]] = {
    "name": lambda plan: first(plan, name="mac-045"),
    "identity.serial_number": lambda plan: first(plan, identity=replace(DEVICE.identity, serial_number="C02")),
    "identity.hardware_uuid": lambda plan: first(plan, identity=replace(DEVICE.identity, hardware_uuid="")),
    "identity.mdm_id": lambda plan: first(plan, identity=replace(DEVICE.identity, mdm_id="18")),
    "platform": lambda plan: first(plan, platform=Platform.WINDOWS),
    "person": lambda plan: first(plan, person="Alice"),
    "fault": lambda plan: first(plan, fault="certificate-missing"),
    "playbook": lambda plan: first(plan, playbook="install_scep_profile"),
    "before": lambda plan: first(plan, before=()),
    "before.sha256": lambda plan: first(plan, before=(replace(DEVICE.before[0], sha256="ab"),)),
    "before.serial_number": lambda plan: first(plan, before=(replace(DEVICE.before[0], serial_number="1235"),)),
    "before.public_key_sha256": lambda plan: first(plan, before=(replace(DEVICE.before[0], public_key_sha256="b"),)),
    "remove": lambda plan: first(plan, remove=("aa" * 32,)),
    "facts": lambda plan: first(plan, facts={**DEVICE.facts, "profile": "com.example.other"}),
    "facts that are fewer": lambda plan: first(plan, facts={"profile": "com.example.scep"}),
    "one_way_steps": lambda plan: first(plan, one_way_steps=()),
    "predictions": lambda plan: first(plan, predictions=()),
    "predictions.sureness": lambda plan: first(
        plan, predictions=(replace(DEVICE.predictions[0], sureness=Sureness.CERTAIN),)
    ),
    "predictions.after": lambda plan: first(plan, predictions=(replace(DEVICE.predictions[0], after="none"),)),
    "a device more": lambda plan: replace(plan, devices=(*plan.devices, replace(DEVICE, name="mac-046"))),
    "a device less": lambda plan: replace(plan, devices=plan.devices[:1]),
    "a device twice": lambda plan: replace(plan, devices=(*plan.devices, plan.devices[0])),
    "connection": lambda plan: first(plan, connection={"ansible_host": "192.0.2.66"}),
    "requester": lambda plan: replace(plan, requester="mallory"),
    "proof_grade": lambda plan: replace(plan, proof_grade=ProofGrade.COMMAND),
    "content_sha256": lambda plan: replace(plan, content_sha256="cd" * 32),
    "variables": lambda plan: replace(plan, variables={"repair.put_back_after_hours": 5}),
    "variables of another kind": lambda plan: replace(plan, variables={"repair.put_back_after_hours": "4"}),
}


def first(plan: Plan, **changes: Any) -> Plan:
    return replace(plan, devices=(replace(plan.devices[0], **changes), *plan.devices[1:]))


@pytest.mark.parametrize("flip", FLIPS)
def test_another_effect_has_another_digest(flip: str) -> None:
    assert FLIPS[flip](PLAN).digest() != PLAN.digest()


def test_every_covered_field_is_flipped_above() -> None:
    assert DEVICE.covered().keys() <= {flip.split(".")[0] for flip in FLIPS}
    uncovered = {each.name for each in fields(PlannedDevice)} - DEVICE.covered().keys()
    assert uncovered == {"host", "watches", "reason", "standing"}


def test_each_other_effect_has_a_digest_of_its_own() -> None:
    digests = {flipped(PLAN).digest() for flipped in FLIPS.values()}
    assert len(digests) == len(FLIPS)


# --- documents -----------------------------------------------------------------------------------------------------


@given(PLANS)
def test_a_plan_comes_back_with_its_digest(plan: Plan) -> None:
    document = json.loads(json.dumps(plan.as_document()))
    again = Plan.from_document(document)
    assert again == plan
    assert again.digest() == plan.digest() == document["digest"]


@given(damaged(PLANS.map(lambda plan: plan.as_document())))
def test_a_damaged_plan_raises_what_it_says_it_raises(document: Any) -> None:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        Plan.from_document(document).digest()


def test_a_plan_without_a_moment_is_none() -> None:
    document = {**PLAN.as_document(), "expires_at": "tomorrow"}
    with pytest.raises(ValueError, match="no moment"):
        Plan.from_document(document)


@pytest.mark.parametrize(
    ("playbook", "changes"),
    [("reinstall_scep_profile", True), ("site_own", True), ("report", False), ("inspect_device", False), ("", False)],
)
def test_a_report_and_a_look_change_nothing(playbook: str, changes: bool) -> None:
    assert replace(DEVICE, playbook=playbook).changes is changes
