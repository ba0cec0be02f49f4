"""Remediations: rows that come back as they went, what is open, and who is owed a re-install."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from tests.domain.repair_strategies import APPROVALS, REMEDIATIONS, damaged

from scepfix.domain.remediation import STAGES, Approval, Outcome, Remediation, Stage


@given(REMEDIATIONS)
def test_a_row_comes_back(remediation: Remediation) -> None:
    assert Remediation.from_row(json.loads(json.dumps(remediation.as_row()))) == remediation


def test_a_row_holds_every_field() -> None:
    remediation = _any(REMEDIATIONS)
    assert remediation.as_row().keys() == {each.name for each in fields(Remediation)}


@given(damaged(REMEDIATIONS.map(lambda found: found.as_row())))
def test_a_damaged_row_raises_what_it_says_it_raises(row: Any) -> None:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        Remediation.from_row(row)


@given(REMEDIATIONS)
def test_a_document_is_json_of_the_contract(remediation: Remediation) -> None:
    document = remediation.as_document()
    assert json.loads(json.dumps(document)) == document
    # docs/command-line.md
    contract = {
        *("device", "fault", "stage", "outcome", "waiting_for", "proofs", "proof_grade", "plan_digest"),
        *("started_at", "ended_at", "error"),
    }
    assert contract <= document.keys()


@given(APPROVALS)
def test_an_approval_is_json(approval: Approval) -> None:
    document = approval.as_document()
    assert json.loads(json.dumps(document)) == document


@given(REMEDIATIONS)
def test_who_may_have_lost_something_is_owed_a_reinstall_until_it_was_seen(remediation: Remediation) -> None:
    owed = remediation.removal_asked_at is not None and remediation.reinstalled_at is None
    assert remediation.owed_reinstall == owed


@pytest.mark.parametrize("outcome", Outcome)
def test_only_the_stranded_and_those_who_await_registration_are_open(outcome: Outcome) -> None:
    assert outcome.final == (outcome not in (Outcome.STRANDED, Outcome.AWAITING_REGISTRATION))


@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
def test_each_playbook_looks_first_and_proves_last(stages: tuple[Stage, ...]) -> None:
    assert stages[0] is Stage.PREFLIGHT
    assert stages[-2:] == (Stage.INSPECT, Stage.REGISTRATION)
    assert len(set(stages)) == len(stages)
    if Stage.UNINSTALL in stages:
        assert stages.index(Stage.UNINSTALL) < stages.index(Stage.REINSTALL)


def _any(strategy: Any) -> Any:
    found = []

    @given(strategy)
    def take(value: Any) -> None:
        found.append(value)

    take()
    return found[0]
