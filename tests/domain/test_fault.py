"""The condition language of the catalogue: equal, one of, above, below, version below; a missing fact meets nothing."""

from __future__ import annotations

import pytest

from scepfix.domain.evidence import SAYS, Fact
from scepfix.domain.fault import DRAWN_SIGNS, Catalogue, Condition, Fault, Rival, SignOfFault, Symptom, meets
from scepfix.domain.platform import Platform


@pytest.mark.parametrize(
    ("where", "facts", "met"),
    [
        ({}, {}, True),
        ({}, {"anything": 1}, True),
        # equal: of the same type
        ({"enabled": False}, {"enabled": False}, True),
        ({"enabled": False}, {"enabled": True}, False),
        ({"enabled": False}, {"enabled": 0}, False),
        ({"enabled": False}, {"enabled": None}, False),
        ({"enabled": False}, {"enabled": "false"}, False),
        ({"enabled": False}, {}, False),
        ({"days": 1}, {"days": True}, False),
        ({"days": 1}, {"days": 1.0}, False),
        ({"source": "app-store"}, {"source": "app-store"}, True),
        ({"source": "app-store"}, {"source": "App-Store"}, False),
        ({"source": None}, {}, True),
        # every entry must be met
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        # one of
        ({"reason": ["role", "scope"]}, {"reason": "scope"}, True),
        ({"reason": ["role", "scope"]}, {"reason": "feature"}, False),
        ({"reason": ["role", "scope"]}, {}, False),
        ({"reason": []}, {"reason": "role"}, False),
        ({"days": [{"below": 1}, {"above": 7}]}, {"days": 8}, True),
        ({"days": [{"below": 1}, {"above": 7}]}, {"days": 7}, False),
        # numbers
        ({"offset_seconds": {"above": 300}}, {"offset_seconds": 301}, True),
        ({"offset_seconds": {"above": 300}}, {"offset_seconds": 300}, False),
        ({"offset_seconds": {"above": 300}}, {"offset_seconds": 300.5}, True),
        ({"offset_seconds": {"below": -300}}, {"offset_seconds": -301}, True),
        ({"offset_seconds": {"below": -300}}, {"offset_seconds": -300}, False),
        ({"days": {"above": 2, "below": 5}}, {"days": 3}, True),
        ({"days": {"above": 2, "below": 5}}, {"days": 5}, False),
        ({"days": {"above": 0}}, {"days": True}, False),
        ({"days": {"above": 0}}, {"days": "3"}, False),
        ({"days": {"above": 0}}, {"days": float("nan")}, False),
        ({"days": {"above": 0}}, {}, False),
        # versions
        ({"version": {"version_below": "6.1.1"}}, {"version": "6.1.0"}, True),
        ({"version": {"version_below": "6.1.1"}}, {"version": "6.1"}, True),
        ({"version": {"version_below": "6.1.1"}}, {"version": "6.1.1"}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": "6.1.1.0"}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": "6.10.0"}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": "5.99"}, True),
        ({"version": {"version_below": "6.1.1"}}, {"version": " 5.9 "}, True),
        ({"version": {"version_below": "6.1.1"}}, {"version": "5.9-beta"}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": ""}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": "5..9"}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": "٥.٩"}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": 5}, False),
        ({"version": {"version_below": "6.1.1"}}, {"version": "1" * 5000}, False),
    ],
)
def test_a_condition_is_met_or_not(where: dict[str, object], facts: dict[str, Fact], met: bool) -> None:
    assert meets(Condition("device.okta-verify", where), "device.okta-verify", facts) is met


def test_a_condition_is_about_one_id_only() -> None:
    assert not meets(Condition("device.clock"), "device.clock-right", {})


def test_no_drawn_sign_bears_the_id_of_evidence() -> None:
    assert set(DRAWN_SIGNS) & set(SAYS) == set()


def test_a_row_is_plain_data() -> None:
    fault = Fault(
        id="a",
        title="A",
        meaning="m",
        touches="t",
        playbook="report",
        symptoms=(Symptom.GENERATING_FAILS,),
        signs=(SignOfFault(Condition("device.clock", {"offset_seconds": {"above": 1}}), weak=True),),
        steps=("do",),
        explains=("b",),
        rivals=(Rival("c", "the one fact"),),
    )

    assert fault.as_document() == {
        "id": "a",
        "title": "A",
        "meaning": "m",
        "touches": "t",
        "playbook": "report",
        "symptoms": ["generating-fails"],
        "signs": [{"says": "device.clock", "where": {"offset_seconds": {"above": 1}}, "weak": True}],
        "explains": ["b"],
        "rivals": [{"fault": "c", "separated_by": "the one fact"}],
        "steps": ["do"],
    }
    catalogue = Catalogue((fault,), {Platform.MACOS: ()})
    assert catalogue.fault("a") is fault
    assert catalogue.fault("b") is None
