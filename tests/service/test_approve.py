"""Who may approve what, that the latest decision counts, and that nothing else lets a plan run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.evidence_factory import NOW
from tests.plan_factory import HOSTILE, device, plan, told

from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.errors import RefusedError
from scepfix.domain.plan import Plan, Prediction, Sureness
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Approval
from scepfix.service.approve import (
    SIGNATURE,
    UNAUTHENTICATED,
    approval_needed,
    approve_plan,
    reject_plan,
    same_person,
    signed_message,
    standing_approval,
)
from scepfix.workflow.predict import SHARED

POLICY = RepairPolicy()
ONE = plan(device())
TWO = plan(device("mac-1"), device("mac-2"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = SqliteStore(tmp_path / "state.sqlite")
    yield found
    found.close()


def approved(made: Plan, person: str, how: str, store: SqliteStore) -> Approval:
    approve_plan(made, person, how, store, POLICY, NOW)
    found = standing_approval(made, store.approvals(made.digest()), POLICY, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("made", "person", "how"),
    [
        (ONE, "bob", UNAUTHENTICATED),
        (ONE, "carol", SIGNATURE),
        (TWO, "carol", SIGNATURE),
        (plan(device(), told("a"), told("b")), "bob", UNAUTHENTICATED),
        (plan(told()), "bob", UNAUTHENTICATED),
    ],
)
def test_an_approval_that_reaches_lets_the_plan_run(made: Plan, person: str, how: str, store: SqliteStore) -> None:
    found = approved(made, person, how, store)

    assert (found.person, found.how, found.approved) == (person, how, True)
    assert store.plan(made.digest()) == made


@pytest.mark.parametrize(
    ("person", "how", "code"),
    [
        ("carol", UNAUTHENTICATED, "needs-signature"),
        ("bob", SIGNATURE, "self-approval"),
        ("Bob@example.com", SIGNATURE, "self-approval"),
    ],
)
def test_an_approval_that_does_not_reach_is_refused_and_not_kept(
    person: str, how: str, code: str, store: SqliteStore
) -> None:
    with pytest.raises(RefusedError) as caught:
        approve_plan(TWO, person, how, store, POLICY, NOW)

    assert (caught.value.code, caught.value.exit) == (code, 4)
    assert store.approvals(TWO.digest()) == ()


def test_a_larger_allowance_reaches_further(store: SqliteStore) -> None:
    approve_plan(TWO, "bob", UNAUTHENTICATED, store, replace(POLICY, unauthenticated_devices=2), NOW)

    with pytest.raises(RefusedError) as caught:  # and the limits of the run count, not those of the approval
        standing_approval(TWO, store.approvals(TWO.digest()), POLICY, NOW)
    assert caught.value.code == "not-approved"


def test_nobody_approved(store: SqliteStore) -> None:
    with pytest.raises(RefusedError) as caught:
        standing_approval(ONE, store.approvals(ONE.digest()), POLICY, NOW)

    assert caught.value.code == "not-approved"


def test_an_approval_of_another_digest_does_not_count() -> None:
    other = Approval(TWO.digest(), "carol", SIGNATURE, True, NOW)

    with pytest.raises(RefusedError) as caught:
        standing_approval(ONE, [other], POLICY, NOW)

    assert caught.value.code == "not-approved"


def test_the_latest_decision_counts(store: SqliteStore) -> None:
    approve_plan(ONE, "carol", UNAUTHENTICATED, store, POLICY, NOW)
    reject_plan(ONE, "dave", HOSTILE, store, NOW + timedelta(minutes=1))

    with pytest.raises(RefusedError) as caught:
        standing_approval(ONE, store.approvals(ONE.digest()), POLICY, NOW)
    assert caught.value.code == "plan-rejected"
    assert "\x1b" not in caught.value.message

    approve_plan(ONE, "carol", UNAUTHENTICATED, store, POLICY, NOW + timedelta(minutes=2))
    found = standing_approval(ONE, store.approvals(ONE.digest()), POLICY, NOW)
    assert found is not None
    assert found.person == "carol"


def test_a_plan_that_changes_nothing_needs_no_approval_and_can_be_rejected(store: SqliteStore) -> None:
    made = plan(told())
    assert standing_approval(made, (), POLICY, NOW) is None

    with pytest.raises(RefusedError) as caught:
        standing_approval(made, [reject_plan(made, "dave", "no", store, NOW)], POLICY, NOW)
    assert caught.value.code == "plan-rejected"


@pytest.mark.parametrize(("hours", "refused"), [(23.9, False), (24, True), (100, True)])
def test_an_expired_plan_is_neither_approved_nor_run(hours: float, refused: bool, store: SqliteStore) -> None:
    now = NOW + timedelta(hours=hours)
    approval = Approval(ONE.digest(), "carol", SIGNATURE, True, NOW)
    if not refused:
        approve_plan(ONE, "carol", SIGNATURE, store, POLICY, now)
        standing_approval(ONE, [approval], POLICY, now)
        return
    with pytest.raises(RefusedError) as caught:
        approve_plan(ONE, "carol", SIGNATURE, store, POLICY, now)
    assert caught.value.code == "plan-expired"
    with pytest.raises(RefusedError) as caught:
        standing_approval(ONE, [approval], POLICY, now)
    assert caught.value.code == "plan-expired"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("bob", "bob", True),
        ("Bob ", "bob", True),
        ("bob", "bob@x", True),
        ("bob@x", "bob@y", True),
        ("bob", "rob", False),
    ],
)
def test_names_of_one_person(one: str, other: str, same: bool) -> None:
    assert same_person(one, other) is same_person(other, one) is same


def test_which_approval_is_needed_is_said_before() -> None:
    assert [approval_needed(made, POLICY).signature for made in (plan(told()), ONE, TWO)] == [False, False, True]
    assert approval_needed(plan(told()), POLICY).words == "None: no device is changed."


def test_the_digest_line_is_what_is_signed() -> None:
    assert signed_message(ONE.digest()) == f"{ONE.digest()}\n".encode()


def test_a_certificate_that_people_also_sign_in_with_wants_a_signature_of_somebody_else(store: SqliteStore) -> None:
    also = Prediction(SHARED, "uses this certificate", "may ask to sign in again", Sureness.UNKNOWABLE)
    made = plan(device(predictions=(also,)))

    assert "Platform SSO" in approval_needed(made, POLICY).words
    for person, how, code in (("carol", UNAUTHENTICATED, "needs-signature"), ("bob", SIGNATURE, "self-approval")):
        with pytest.raises(RefusedError) as caught:
            approve_plan(made, person, how, store, POLICY, NOW)
        assert caught.value.code == code
    assert approve_plan(made, "carol", SIGNATURE, store, POLICY, NOW).approved


@pytest.mark.parametrize(
    "stretched",
    [
        {"expires_at": NOW + timedelta(hours=25)},
        {"made_at": NOW + timedelta(hours=1), "expires_at": NOW + timedelta(hours=25)},
    ],
    ids=["holds longer", "made in the future"],
)
def test_a_plan_whose_time_was_stretched_is_not_approved(stretched: dict[str, object], store: SqliteStore) -> None:
    with pytest.raises(RefusedError) as caught:
        approve_plan(plan(**stretched), "carol", SIGNATURE, store, POLICY, NOW)
    assert caught.value.code == "plan-changed"
    assert store.approvals(plan().digest()) == ()
