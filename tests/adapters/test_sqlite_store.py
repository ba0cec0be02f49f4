"""The store on a real SQLite file: what it keeps, what it refuses, and two processes that want the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.evidence_factory import NOW
from tests.plan_factory import HOSTILE, device, plan

from scepfix.adapters.store.sqlite import SqliteStore, device_keys
from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.plan import PlannedDevice, ProofGrade
from scepfix.domain.remediation import (
    Approval,
    EffectClass,
    Intent,
    Outcome,
    Remediation,
    Stage,
    StageAnswer,
    StageResult,
)
from scepfix.service.ports import DeviceTakenError, SeqError


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], SqliteStore]]:
    """Opens the test's database; each time as another process would."""
    stores: list[SqliteStore] = []

    def make() -> SqliteStore:
        stores.append(SqliteStore(tmp_path / "state" / "scepfix.db"))
        return stores[-1]

    yield make
    for each in stores:
        each.close()


@pytest.fixture
def store(opened: Callable[[], SqliteStore]) -> SqliteStore:
    return opened()


def remediation(planned: PlannedDevice | None = None, identity: str = "r1", digest: str = "sha256:1") -> Remediation:
    return Remediation(identity, digest, planned or device(), ProofGrade.CERTIFICATE, Stage.PREFLIGHT)


def intent(name: str = "preflight-1", *members: str, stage: Stage = Stage.PREFLIGHT) -> Intent:
    return Intent(name, stage, members or ("r1",), EffectClass.IDEMPOTENT, "written", NOW)


def moved(one: Remediation, **changes: Any) -> Remediation:
    return replace(one, seq=one.seq + 1, **changes)


# --- what it keeps --------------------------------------------------------------------------------------------------


def test_what_was_written_is_there_for_the_next_process(opened: Callable[[], SqliteStore]) -> None:
    planned = plan(device(HOSTILE))
    begun = remediation(device(HOSTILE, person=HOSTILE))
    approval = Approval(planned.digest(), HOSTILE, "signature", True, NOW, HOSTILE)
    first = opened()
    first.save_plan(planned)
    first.save_approval(approval)
    first.begin([begun])
    first.commit([moved(begun, started_at=NOW)], [intent()])
    first.close()

    second = opened()

    assert second.plan(planned.digest()) == planned
    assert second.approvals(planned.digest()) == (approval,)
    assert second.remediations("sha256:1") == (moved(begun, started_at=NOW),)
    assert second.open_intents(["r1"]) == (intent(),)


def test_unknown_plans_have_nothing(store: SqliteStore) -> None:
    assert store.plan("sha256:0") is None
    assert store.approvals("sha256:0") == ()
    assert store.remediations("sha256:0") == ()
    assert store.open_intents([]) == ()


def test_the_same_change_planned_again_replaces_the_plan(store: SqliteStore) -> None:
    later = replace(plan(), expires_at=plan().expires_at + timedelta(days=1))
    store.save_plan(plan())
    store.save_plan(later)

    assert store.plan(plan().digest()) == later


def test_decisions_are_kept_in_their_order(store: SqliteStore) -> None:
    decisions = [
        Approval("sha256:1", name, "unauthenticated", name != "bob", NOW) for name in ("alice", "bob", "carol")
    ]
    for decision in decisions:
        store.save_approval(decision)

    assert store.approvals("sha256:1") == tuple(decisions)


def test_the_file_is_for_its_owner_alone(store: SqliteStore, tmp_path: Path) -> None:
    store.save_plan(plan())
    with store.hold("plan-sha256:1"):
        files = list((tmp_path / "state").iterdir())

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert len(files) >= 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_it_is_in_wal_mode_and_survives_a_power_cut(store: SqliteStore) -> None:
    connection = store._connection

    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


# --- who owns a device ------------------------------------------------------------------------------------------------


def test_a_device_has_one_live_owner(store: SqliteStore) -> None:
    store.begin([remediation()])

    with pytest.raises(DeviceTakenError) as taken:
        store.begin([remediation(device("mac-043"), "r2", "sha256:2"), remediation(device(), "r3", "sha256:2")])

    assert taken.value.where == "r1"
    assert [one.id for one in store.remediations()] == ["r1"], "all or none"


@pytest.mark.parametrize(
    "identity",
    [Identity("C02MAC042"), Identity(hardware_uuid="uuid-mac-042"), Identity("OTHER", "OTHER", "mdm-mac-042")],
    ids=["serial number", "hardware UUID, other case", "MDM id"],
)
def test_one_common_key_is_enough_to_meet(store: SqliteStore, identity: Identity) -> None:
    store.begin([remediation()])

    with pytest.raises(DeviceTakenError):
        store.begin([remediation(device("another-name", identity=identity), "r2", "sha256:2")])


def test_a_device_without_any_key_is_known_by_its_name() -> None:
    assert device_keys(Identity(), "mac-042") == ("name:mac-042",)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.STRANDED])
def test_a_device_is_free_again_when_its_repair_does_no_more(store: SqliteStore, outcome: Outcome) -> None:
    (begun,) = store.begin([remediation()])
    store.commit([moved(begun, outcome=outcome)], [])

    store.begin([remediation(identity="r2", digest="sha256:2")])

    assert "r2" in [one.id for one in store.remediations(only_open=True)]


def test_a_stranded_device_stays_taken(store: SqliteStore) -> None:
    (begun,) = store.begin([remediation()])
    store.commit([moved(begun, outcome=Outcome.STRANDED)], [])

    with pytest.raises(DeviceTakenError):
        store.begin([remediation(identity="r2", digest="sha256:2")])


def test_beginning_again_returns_what_is_stored(store: SqliteStore) -> None:
    (begun,) = store.begin([remediation()])
    further = moved(begun, started_at=NOW)
    store.commit([further], [])

    assert store.begin([remediation()]) == (further,)


# --- compare and set --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [0, 2, 7])
def test_a_change_must_follow_what_is_stored(store: SqliteStore, seq: int) -> None:
    (begun,) = store.begin([remediation()])

    with pytest.raises(SeqError):
        store.commit([replace(begun, seq=seq, started_at=NOW)], [intent()])

    assert store.remediations() == (begun,)
    assert store.open_intents(["r1"]) == ()


def test_an_intent_is_claimed_once(opened: Callable[[], SqliteStore]) -> None:
    first, second = opened(), opened()
    (begun,) = first.begin([remediation()])
    first.commit([moved(begun)], [intent()])

    assert [first.claim("preflight-1", NOW), second.claim("preflight-1", NOW)] == [True, False]
    (claimed,) = second.open_intents(["r1"])
    assert (claimed.state, claimed.started_at) == ("started", NOW)
    assert not first.claim("nobody-wrote-this", NOW)


def test_outcome_change_and_next_intent_are_written_together_or_not_at_all(store: SqliteStore) -> None:
    (begun,) = store.begin([remediation()])
    ran = moved(begun)
    store.commit([ran], [intent()])
    store.claim("preflight-1", NOW)
    results = {"r1": StageResult(Stage.PREFLIGHT, StageAnswer.DONE)}
    follows = intent("uninstall-1", stage=Stage.UNINSTALL)

    with pytest.raises(SeqError):
        store.finish("preflight-1", results, [replace(ran, seq=ran.seq + 2)], NOW, [follows])
    assert [one.id for one in store.open_intents(["r1"])] == ["preflight-1"]

    store.finish("preflight-1", results, [moved(ran, stage=Stage.UNINSTALL)], NOW, [follows])
    assert store.open_intents(["r1"]) == (follows,)
    with pytest.raises(SeqError):
        store.finish("preflight-1", results, [], NOW)


def test_a_run_that_was_not_claimed_cannot_be_finished(store: SqliteStore) -> None:
    (begun,) = store.begin([remediation()])
    store.commit([moved(begun)], [intent()])

    with pytest.raises(SeqError):
        store.finish("preflight-1", {}, [], NOW)


def test_open_intents_are_those_of_the_remediations_asked_for(store: SqliteStore) -> None:
    one, two = store.begin([remediation(), remediation(device("mac-043"), "r2")])
    store.commit([moved(one), moved(two)], [intent("a", "r1"), intent("b", "r2"), intent("c", "r2", "r1")])

    assert [found.id for found in store.open_intents(["r1"])] == ["a", "c"]
    assert [found.id for found in store.open_intents(["r1", "r2"])] == ["a", "b", "c"]
    assert store.open_intents(["r2"])[-1].remediations == ("r2", "r1")


def test_the_log_of_a_device_is_not_kept(store: SqliteStore, tmp_path: Path) -> None:
    (begun,) = store.begin([remediation()])
    store.commit([moved(begun)], [intent()])
    store.claim("preflight-1", NOW)
    facts = {"observation": {"log": "c2VjcmV0", "name": "mac-042"}}
    store.finish("preflight-1", {"r1": StageResult(Stage.PREFLIGHT, StageAnswer.DONE, facts=facts)}, [], NOW)
    store.close()

    data = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert b"mac-042" in data
    assert b"c2VjcmV0" not in data


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("{}" * 600)

    with pytest.raises(UsageError) as wrong:
        SqliteStore(file)

    assert wrong.value.code == "database-unusable"
    assert wrong.value.where == str(file)
    assert file.read_text() == "{}" * 600


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE something (else_ TEXT)",
        "CREATE TABLE schema_version (version); INSERT INTO schema_version VALUES (9)",
    ],
)
def test_a_database_of_somebody_else_or_newer_is_refused(tmp_path: Path, script: str) -> None:
    file = tmp_path / "other.db"
    connection = sqlite3.connect(file)
    connection.executescript(script)
    connection.close()

    with pytest.raises(UsageError, match="schema"):
        SqliteStore(file)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot be opened"):
        SqliteStore(tmp_path / "file" / "scepfix.db")


# --- several processes ------------------------------------------------------------------------------------------------


def race(worker: Callable[..., None], file: Path, processes: int = 2) -> list[str]:
    """Start that worker in real processes, let them go at the same moment, and return what each said."""
    context = multiprocessing.get_context("spawn")
    said: Queue[str] = context.Queue()
    gate = context.Barrier(processes)
    started = [context.Process(target=worker, args=(file, number, gate, said)) for number in range(processes)]
    for process in started:
        process.start()
    answers = [said.get(timeout=60) for _ in started]
    for process in started:
        process.join()
    said.close()
    said.join_thread()
    return sorted(answers)


def _begin_in_race(file: Path, number: int, gate: Barrier, said: Queue[str]) -> None:
    store = SqliteStore(file)
    gate.wait()
    try:
        store.begin([remediation(identity=f"r{number}", digest=f"sha256:{number}")])
        said.put("begun")
    except DeviceTakenError:
        said.put("taken")


def _commit_in_race(file: Path, number: int, gate: Barrier, said: Queue[str]) -> None:
    store = SqliteStore(file)
    (stored,) = store.remediations()
    gate.wait()
    try:
        store.commit([moved(stored, waiting_for=str(number))], [intent(f"i{number}")])
        said.put("committed")
    except SeqError:
        said.put("late")


def _claim_in_race(file: Path, number: int, gate: Barrier, said: Queue[str]) -> None:
    store = SqliteStore(file)
    gate.wait()
    said.put(",".join(str(store.claim(f"i{index}", NOW))[0] for index in range(50)))


def _open_in_race(file: Path, number: int, gate: Barrier, said: Queue[str]) -> None:
    gate.wait()
    SqliteStore(file).save_plan(plan())
    said.put("opened")


@pytest.mark.slow
def test_two_processes_make_one_database(tmp_path: Path) -> None:
    assert race(_open_in_race, tmp_path / "new" / "scepfix.db", 6) == ["opened"] * 6


@pytest.mark.slow
def test_of_two_processes_one_gets_the_device(store: SqliteStore, tmp_path: Path) -> None:
    assert race(_begin_in_race, tmp_path / "state" / "scepfix.db") == ["begun", "taken"]
    assert len(store.remediations()) == 1


@pytest.mark.slow
def test_of_two_processes_one_commits(store: SqliteStore, tmp_path: Path) -> None:
    store.begin([remediation()])

    assert race(_commit_in_race, tmp_path / "state" / "scepfix.db") == ["committed", "late"]
    assert len(store.open_intents(["r1"])) == 1
    assert store.remediations()[0].seq == 1


@pytest.mark.slow
def test_each_intent_is_claimed_by_one_of_two_processes(store: SqliteStore, tmp_path: Path) -> None:
    (begun,) = store.begin([remediation()])
    store.commit([moved(begun)], [intent(f"i{index}") for index in range(50)])

    answers = race(_claim_in_race, tmp_path / "state" / "scepfix.db")

    assert all({one, other} == {"T", "F"} for one, other in zip(*(a.split(",") for a in answers), strict=True))


def test_a_name_is_held_by_one(opened: Callable[[], SqliteStore]) -> None:
    first, second = opened(), opened()
    with (
        first.hold("plan-sha256:1") as ours,
        second.hold("plan-sha256:1") as theirs,
        second.hold("plan-sha256:2") as another,
    ):
        assert (ours, theirs, another) == (True, False, True)
    with second.hold("plan-sha256:1") as now:
        assert now


def test_a_hostile_name_stays_in_the_folder(store: SqliteStore, tmp_path: Path) -> None:
    before = set((tmp_path / "state").iterdir())

    with store.hold("../../etc/passwd\0") as held:
        assert held

    assert not (tmp_path / "etc").exists()
    assert len(set((tmp_path / "state").iterdir()) - before) == 1


def test_a_killed_process_holds_nothing(store: SqliteStore, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from scepfix.adapters.store.sqlite import SqliteStore\n"
        "with SqliteStore(Path(sys.argv[1])).hold('plan') as held:\n    print(held, flush=True); time.sleep(60)"
    )
    file = tmp_path / "state" / "scepfix.db"
    with subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with store.hold("plan") as held:
            assert not held
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for _ in range(50):
        with store.hold("plan") as held:
            if held:
                return
        time.sleep(0.02)
    pytest.fail("a dead process holds the name")


# --- any order of calls -----------------------------------------------------------------------------------------------


class StoreMachine(RuleBasedStateMachine):
    """The store against a plain model in memory: the same answers, whatever the order of calls."""

    @initialize(folder=st.uuids())
    def open(self, folder: object) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = SqliteStore(Path(self.folder.name) / "scepfix.db")
        self.model: dict[str, Remediation] = {}
        self.intents: dict[str, str] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def _owner(self, name: str) -> str | None:
        own = [one for one in self.model.values() if one.device.name == name and self._owns(one)]
        return own[0].id if own else None

    @staticmethod
    def _owns(one: Remediation) -> bool:
        return one.open and one.outcome is not Outcome.AWAITING_REGISTRATION

    @rule(name=st.sampled_from(["mac-1", "mac-2"]), number=st.integers(0, 3))
    def begin(self, name: str, number: int) -> None:
        wanted = remediation(device(name), f"{name}-{number}", f"sha256:{number}")
        if wanted.id in self.model or self._owner(name) is None:
            assert self.store.begin([wanted]) == (self.model.setdefault(wanted.id, wanted),)
        else:
            with pytest.raises(DeviceTakenError):
                self.store.begin([wanted])

    @rule(data=st.data(), outcome=st.sampled_from([None, *Outcome]), behind=st.integers(-1, 1))
    def commit(self, data: st.DataObject, outcome: Outcome | None, behind: int) -> None:
        if not self.model:
            return
        stored = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        changed = replace(stored, seq=stored.seq + 1 + behind, outcome=outcome)
        written = intent(f"i{len(self.intents)}", stored.id)
        owner = self._owner(stored.device.name)
        if behind:
            with pytest.raises(SeqError):
                self.store.commit([changed], [written])
        elif self._owns(changed) and owner not in (None, stored.id):
            with pytest.raises(DeviceTakenError):
                self.store.commit([changed], [written])
        else:
            self.store.commit([changed], [written])
            self.model[stored.id] = changed
            self.intents[written.id] = "written"

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        if self.intents:
            name = data.draw(st.sampled_from(sorted(self.intents)))
            assert self.store.claim(name, NOW) is (self.intents[name] == "written")
            if self.intents[name] == "written":
                self.intents[name] = "started"

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if not self.intents:
            return
        name = data.draw(st.sampled_from(sorted(self.intents)))
        if self.intents[name] == "started":
            self.store.finish(name, {}, [], NOW)
            self.intents[name] = "done"
        else:
            with pytest.raises(SeqError):
                self.store.finish(name, {}, [], NOW)

    @invariant()
    def same(self) -> None:
        assert {one.id: one for one in self.store.remediations()} == self.model
        assert {one.id for one in self.store.remediations(only_open=True)} == {
            one.id for one in self.model.values() if one.open
        }
        stored = {one.id: one.state for one in self.store.open_intents(list(self.model))}
        assert stored == {name: state for name, state in self.intents.items() if state != "done"}


TestAnyOrder = pytest.mark.slow(StoreMachine.TestCase)
TestAnyOrder.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_a_database_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "scepfix.db")) as store:
        # What SQLite says of a full disk, it says of a full database too.
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        large = Approval("sha256:" + "a" * 100_000, "carol", "signature", True, NOW)
        with pytest.raises(ScepfixError, match="full") as refused:
            store.save_approval(large)

        assert refused.value.code == "database-unusable"
        assert "disk full" in refused.value.hint
