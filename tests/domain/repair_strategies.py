"""Hypothesis strategies for the nouns of a repair, as odd as their types allow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from scepfix.domain.device import (
    Collected,
    Identity,
    InstalledProfile,
    Observation,
    StoredCertificate,
    ToldCertificate,
    ToldLine,
)
from scepfix.domain.diagnosis import Answer
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.domain.plan import KnownCertificate, Plan, PlannedDevice, Prediction, ProofGrade, SetAside, Sureness
from scepfix.domain.platform import Platform
from scepfix.domain.remediation import Approval, Outcome, Proof, Remediation, Stage

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
YES_NO_UNKNOWN = st.none() | st.booleans()
#: The stored form keeps milliseconds.
MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda found: found.replace(microsecond=found.microsecond // 1000 * 1000)
)
MAYBE = st.none() | MOMENT

IDENTITIES = st.builds(Identity, TEXT, TEXT, TEXT)
TOLD = st.builds(
    ToldCertificate,
    serial_number=TEXT,
    sha256=TEXT,
    not_before=MOMENT,
    not_after=MOMENT,
    public_key_sha256=TEXT,
    authority_key_id=TEXT,
    key_usage=st.none() | TEXTS,
    extended_key_usage=st.none() | TEXTS,
    self_signed=st.booleans(),
    device_named=TEXT,
)
STORED = st.builds(StoredCertificate, st.binary(max_size=40), TEXT, YES_NO_UNKNOWN, YES_NO_UNKNOWN, st.none() | TOLD)
PROFILES = st.builds(InstalledProfile, TEXT, TEXTS, MAYBE, TEXT, st.none() | TEXTS, TEXT)
COLLECTED = st.builds(Collected, MAYBE, st.none() | st.lists(st.builds(ToldLine, TEXT, MAYBE), max_size=3).map(tuple))
OBSERVATIONS = st.builds(
    Observation,
    platform=st.sampled_from(Platform),
    observed_at=MOMENT,
    identity=IDENTITIES,
    name=TEXT,
    os_version=TEXT,
    os_build=TEXT,
    clock_offset_seconds=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    complete=st.booleans(),
    certificates=st.lists(STORED, max_size=2).map(tuple),
    profiles=st.none() | st.lists(PROFILES, max_size=2).map(tuple),
    enrolled=YES_NO_UNKNOWN,
    daemon_present=YES_NO_UNKNOWN,
    okta_verify_version=TEXT,
    log=st.binary(max_size=20),
    problems=TEXTS,
    collected=st.none() | COLLECTED,
)
RECORDS = st.builds(
    MdmDevice,
    identity=IDENTITIES,
    name=TEXT,
    managed=st.booleans(),
    last_seen_at=MAYBE,
    in_scope=st.booleans(),
    excluded=st.booleans(),
    profile_installed=YES_NO_UNKNOWN,
    removal_pending=st.booleans(),
    removed_at=MAYBE,
    installed_at=MAYBE,
    install_status=TEXT,
    set_apart=TEXT,
)
MANAGED = st.builds(
    ManagedProfile,
    identifier=TEXT,
    name=TEXT,
    payload_types=TEXTS,
    scope=TEXT,
    comes_back=TEXT,
    referred_by=TEXTS,
    changed_at=MAYBE,
    last_issued_at=MAYBE,
    declarative=st.booleans(),
    group_uses=TEXTS,
)
KNOWN = st.builds(KnownCertificate, TEXT, TEXT, TEXT)
DEVICES = st.builds(
    PlannedDevice,
    name=TEXT,
    host=TEXT,
    platform=st.sampled_from(Platform),
    identity=IDENTITIES,
    person=TEXT,
    fault=TEXT,
    playbook=TEXT,
    connection=st.dictionaries(TEXT, TEXT | st.integers(), max_size=2),
    facts=st.dictionaries(TEXT, TEXT, max_size=2),
    before=st.lists(KNOWN, max_size=2).map(tuple),
    remove=TEXTS,
    predictions=st.lists(st.builds(Prediction, TEXT, TEXT, TEXT, st.sampled_from(Sureness)), max_size=2).map(tuple),
    one_way_steps=TEXTS,
    watches=TEXTS,
    reason=TEXT,
    standing=TEXT,
)
PLANS = st.builds(
    Plan,
    devices=st.lists(DEVICES, max_size=2).map(tuple),
    set_aside=st.lists(st.builds(SetAside, TEXT, TEXT, TEXT), max_size=2).map(tuple),
    proof_grade=st.sampled_from(ProofGrade),
    content_sha256=TEXT,
    variables=st.dictionaries(TEXT, TEXT | st.integers(), max_size=2),
    requester=TEXT,
    made_at=MOMENT,
    expires_at=MOMENT,
)
PROOFS = st.builds(Proof, TEXT, TEXT, st.sampled_from(Answer))
REMEDIATIONS = st.builds(
    Remediation,
    id=TEXT,
    plan_digest=TEXT,
    device=DEVICES,
    proof_grade=st.sampled_from(ProofGrade),
    stage=st.sampled_from(Stage),
    seq=st.integers(0, 2**63 - 1),
    outcome=st.none() | st.sampled_from(Outcome),
    waiting_for=TEXT,
    started_at=MAYBE,
    stage_started_at=MAYBE,
    wake_at=MAYBE,
    removal_asked_at=MAYBE,
    removed_at=MAYBE,
    reinstall_asked_at=MAYBE,
    reinstalled_at=MAYBE,
    leftovers=TEXTS,
    proofs=st.lists(PROOFS, max_size=2).map(tuple),
    actual=st.dictionaries(TEXT, TEXT, max_size=2),
    error=TEXT,
    ended_at=MAYBE,
    new_certificate=TEXT,
)
APPROVALS = st.builds(Approval, TEXT, TEXT, TEXT, st.booleans(), MOMENT, TEXT)

_JUNK: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | TEXT | st.just([]) | st.just({}) | st.just([1]) | st.just({"a": 1})
)


@st.composite
def damaged(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> Any:
    """Draw a JSON document of which one place, at any depth, is missing or something else."""
    document = draw(documents)
    place = document
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        if isinstance(place, dict) and draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(_JUNK)
        return document
