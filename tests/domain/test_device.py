"""Devices and MDM records: opaque host names, and documents that come back as they went."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.repair_strategies import IDENTITIES, MANAGED, OBSERVATIONS, RECORDS, damaged

from scepfix.domain.device import Identity, InstalledProfile, Observation, host_of, yes_no_unknown
from scepfix.domain.mdm import ManagedProfile, MdmDevice


@given(st.text())
def test_a_host_name_is_opaque_whatever_the_device_is_called(name: str) -> None:
    assert re.fullmatch(r"dev-[0-9a-f]{12}", host_of(name))
    assert host_of(name) == host_of(name)


def test_a_host_name_does_not_change_between_versions() -> None:
    assert host_of("mac-042") == "dev-afe576019c37"


@given(IDENTITIES)
def test_an_identity_comes_back(identity: Identity) -> None:
    assert Identity.from_document(through_json(identity)) == identity


def test_an_identity_with_keys_missing_has_unknown_keys() -> None:
    assert Identity.from_document({"serial_number": None}) == Identity()


@given(OBSERVATIONS)
def test_an_observation_comes_back(observation: Observation) -> None:
    assert Observation.from_document(through_json(observation)) == observation


@given(RECORDS)
def test_an_mdm_record_comes_back(record: MdmDevice) -> None:
    assert MdmDevice.from_document(through_json(record)) == record


@given(MANAGED)
def test_a_managed_profile_comes_back(profile: ManagedProfile) -> None:
    assert ManagedProfile.from_document(through_json(profile)) == profile


@given(damaged(OBSERVATIONS.map(lambda found: found.as_document())))
def test_a_damaged_observation_raises_what_it_says_it_raises(document: Any) -> None:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        Observation.from_document(document)


@given(damaged(RECORDS.map(lambda found: found.as_document())))
def test_a_damaged_mdm_record_raises_what_it_says_it_raises(document: Any) -> None:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        MdmDevice.from_document(document)


@pytest.mark.parametrize("value", ["false", 0, 1, "", []])
def test_what_is_no_answer_is_not_taken_for_one(value: object) -> None:
    with pytest.raises(TypeError):
        yes_no_unknown(value)


def test_a_profile_is_scep_by_its_payload() -> None:
    assert InstalledProfile("a", ("com.apple.security.scep",)).is_scep
    assert not InstalledProfile("com.apple.security.scep").is_scep


def through_json(thing: Any) -> Any:
    return json.loads(json.dumps(thing.as_document()))
