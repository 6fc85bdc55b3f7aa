# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: what it remembers, what it refuses, and that nobody's write is lost."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle import ledger_file
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import (
    Batch,
    Ledger,
    LedgerError,
    LockHeldError,
    StateChange,
    open_copy,
    open_ledger,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State, Step


class Clock:
    """One second later whenever it is read."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)

    def __call__(self) -> datetime.datetime:
        self.now += datetime.timedelta(seconds=1)
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "ledger.db")


def batch(run: str, states: Sequence[StateChange] = (), phase: str = "admit", **more: Any) -> Batch:
    return Batch(run=run, phase=phase, operator="alice", states=states, **more)


def to(node: str, state: State, **more: Any) -> StateChange:
    return StateChange(node=node, state=state, **more)


def fail(check: str = "gpu.count", component: str = "host", verdict: Verdict = Verdict.FAIL) -> Finding:
    return Finding(check, component, verdict, f"{check} {verdict.value}", observed=7, expected=8)


def open_checks(ledger: Ledger, node: str) -> list[tuple[str, str, str]]:
    return [(each["check"], each["component"], each["verdict"]) for each in ledger.open_findings().get(node, [])]


def test_a_bring_up_is_remembered(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        for state in ("enrolled", "deployed", "configured", "in_service"):
            ledger.record(batch("run1", [to("node01", State(state), node_class="h100", serial="S1")], phase=state))
    with open_ledger(path) as ledger:
        node = ledger.nodes()["node01"]
        assert (node["state"], node["class"], node["serial"], node["operator"]) == ("in_service", "h100", "S1", "alice")
        history = ledger.history("node01")
    assert [(each["from_state"], each["to_state"]) for each in history] == [
        (None, "enrolled"),
        ("enrolled", "deployed"),
        ("deployed", "configured"),
        ("configured", "in_service"),
    ]
    assert [each["phase"] for each in history] == ["enrolled", "deployed", "configured", "in_service"]


def test_the_same_batch_again_changes_nothing(path: str) -> None:
    same = batch(
        "run1",
        [to("node01", State.IN_SERVICE), to("node02", State.SET_ASIDE)],
        findings={"node02": [fail()]},
        passed={"node01": {"gpu.count": ["host"]}},
    )
    with open_ledger(path, clock=Clock()) as ledger:
        first = ledger.record(same)
        before = ledger.export()
        second = ledger.record(same)
        after = ledger.export()
    assert [each.node for each in first.transitions] == ["node01", "node02"]
    assert second.transitions == []
    for table in ("nodes", "transitions", "findings", "passes", "locks"):
        assert after[table] == before[table]


def test_a_run_that_finds_everything_done_moves_nobody(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", [to("node01", State.IN_SERVICE)]))
        for state in (State.ENROLLED, State.DEPLOYED, State.CONFIGURED, State.IN_SERVICE):
            assert ledger.record(batch("run2", [to("node01", state)])).transitions == []
        assert ledger.nodes()["node01"]["state"] == "in_service"


def test_a_reason_is_taken_from_the_findings(path: str) -> None:
    with open_ledger(path) as ledger:
        ledger.record(
            batch(
                "run1",
                [to("node02", State.SET_ASIDE), to("node03", State.SET_ASIDE, reason="smells")],
                findings={"node02": [fail("disk.free", verdict=Verdict.WARN), fail(), fail("hca.state")]},
            )
        )
        assert ledger.nodes()["node02"]["reason"] == "fail gpu.count host: gpu.count fail (and 1 more)"
        assert ledger.nodes()["node03"]["reason"] == "smells"


def test_a_refused_wish_does_not_cost_the_others(path: str) -> None:
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.QUARANTINED, reason="for the vendor", until="2026-02-01")]))
        result = ledger.record(
            batch(
                "run2", [to("node01", State.IN_SERVICE), to("node02", State.IN_SERVICE)], findings={"node01": [fail()]}
            )
        )
        assert list(result.refused) == ["node01"]
        assert [each.node for each in result.transitions] == ["node02"]
        node = ledger.nodes()["node01"]
        assert (node["state"], node["reason"], node["until"]) == ("quarantined", "for the vendor", "2026-02-01")
        assert open_checks(ledger, "node01") == [("gpu.count", "host", "fail")]
        released = ledger.record(batch("run3", [to("node01", State.SET_ASIDE, step=Step.RELEASE)]))
        assert [(each.before, each.after) for each in released.transitions] == [("quarantined", "set_aside")]
        assert ledger.nodes()["node01"]["until"] is None


def test_a_finding_stays_open_until_the_same_check_passes_on_the_same_component(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", findings={"node02": [fail(component="gpu:3"), fail(component="gpu:5")]}))
        ledger.record(batch("run2", findings={"node02": [fail("hca.state")]}))
        ledger.record(batch("run3", passed={"node02": {"gpu.count": ["gpu:5"]}, "node01": {"gpu.count": ["gpu:3"]}}))
        assert open_checks(ledger, "node02") == [("gpu.count", "gpu:3", "fail"), ("hca.state", "host", "fail")]
        ledger.record(batch("run4", findings={"node02": [fail(component="gpu:5", verdict=Verdict.UNKNOWN)]}))
        assert ("gpu.count", "gpu:5", "unknown") in open_checks(ledger, "node02")


def test_the_last_verdict_of_a_component_counts(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", findings={"node02": [fail()]}))
        ledger.record(batch("run2", findings={"node02": [fail(verdict=Verdict.WARN)]}))
        assert open_checks(ledger, "node02") == [("gpu.count", "host", "warn")]
        ledger.record(batch("run3", findings={"node02": [fail(verdict=Verdict.PASS)]}))
        assert open_checks(ledger, "node02") == []


def test_admission_closes_what_earlier_runs_found_and_keeps_its_own_warnings(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", [to("node02", State.SET_ASIDE)], findings={"node02": [fail("phase.task")]}))
        ledger.record(batch("run2", findings={"node02": [fail("disk.free", verdict=Verdict.WARN)]}, phase="validate"))
        assert len(open_checks(ledger, "node02")) == 2
        ledger.record(batch("run2", [to("node02", State.IN_SERVICE)]))
        assert open_checks(ledger, "node02") == [("disk.free", "host", "warn")]
        ledger.record(batch("run3", findings={"node02": [fail("hca.state")]}))
        assert ("hca.state", "host", "fail") in open_checks(ledger, "node02")


def test_a_node_in_service_that_is_proved_again_closes_findings_without_a_transition(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", [to("node02", State.IN_SERVICE)]))
        ledger.record(batch("run2", findings={"node02": [fail("disk.free", verdict=Verdict.WARN)]}))
        assert ledger.record(batch("run3", [to("node02", State.IN_SERVICE)])).transitions == []
        assert open_checks(ledger, "node02") == []


def test_a_new_verdict_in_the_same_run_replaces_the_old_one(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", findings={"node02": [fail()]}))
        ledger.record(batch("run1", findings={"node02": [fail(verdict=Verdict.UNKNOWN)]}))
        assert open_checks(ledger, "node02") == [("gpu.count", "host", "unknown")]
        assert len(ledger.export()["findings"]) == 1


# -- locks ---------------------------------------------------------------------------------------


def test_the_second_operator_is_told_who_holds_the_node_and_until_when(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        (lock, _) = ledger.acquire_locks(["node01", "node02"], owner="alice@ctl", run="run1", seconds=60)
        with pytest.raises(LockHeldError) as caught:
            ledger.acquire_locks(["node02", "node03"], owner="bob@ctl", run="run2", seconds=60)
        assert [each.node for each in caught.value.held] == ["node02"]
        assert "alice@ctl" in str(caught.value)
        assert lock.expires in str(caught.value)
        assert [each.node for each in ledger.locks()] == ["node01", "node02"]
        assert ledger.release_locks(["node01", "node02"], run="run2") == []
        assert ledger.release_locks(None, run="run1") == ["node01", "node02"]
        assert ledger.acquire_locks(["node02"], owner="bob@ctl", run="run2", seconds=60)[0].owner == "bob@ctl"


def test_a_run_renews_its_own_lock(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        (first,) = ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=60)
        (second,) = ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=60)
        assert second.acquired == first.acquired
        assert second.expires > first.expires


def test_the_same_operator_in_another_run_is_another(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=60)
        with pytest.raises(LockHeldError):
            ledger.acquire_locks(["node01"], owner="alice", run="run2", seconds=60)


def test_an_expired_lock_and_one_of_a_killed_run_are_taken_over(path: str) -> None:
    clock = Clock()
    with open_ledger(path, clock=clock) as ledger:
        ledger.acquire_locks(["node01", "node02"], owner="alice", run="run1", seconds=60)
        (taken,) = ledger.acquire_locks(["node01"], owner="alice", run="run2", seconds=60, dead_runs=["run1"])
        assert taken.run == "run2"
        clock.now += datetime.timedelta(seconds=120)
        assert ledger.locks(active=True) == []
        (taken,) = ledger.acquire_locks(["node02"], owner="bob", run="run3", seconds=60)
        assert (taken.owner, taken.run) == ("bob", "run3")


def test_what_a_write_decides_on_cannot_change_under_it(path: str) -> None:
    open_ledger(path).close()
    refused: list[str] = []

    def other_writer() -> datetime.datetime:
        with open_ledger(path, busy_seconds=0.05) as other:
            try:
                other.acquire_locks(["node01"], owner="bob", run="run2", seconds=60)
            except LedgerError as error:
                refused.append(str(error))
        return datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)

    with open_ledger(path) as ledger:
        moments = iter([datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)])
        # The first look at the clock is before the transaction, those after it are between its reads and its writes.
        ledger._clock = lambda: next(moments, None) or other_writer()
        (lock,) = ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=60)
        assert lock.owner == "alice"
    assert refused
    assert "locked" in refused[0]


def test_a_run_without_the_lock_does_not_move_the_node(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=600)
        result = ledger.record(batch("run2", [to("node01", State.SET_ASIDE)]))
        assert "alice" in result.refused["node01"]
        assert result.transitions == []
        assert ledger.record(batch("run1", [to("node01", State.SET_ASIDE)])).refused == {}


# -- several processes ---------------------------------------------------------------------------


def _write_many(path: str, writer: int, barrier: Any) -> None:
    barrier.wait(30)
    for number in range(20):
        node = f"node{writer}-{number:02}"
        with open_ledger(path) as ledger:
            ledger.record(
                Batch(
                    run=f"run{writer}",
                    phase=f"phase{number}",
                    states=[StateChange(node, State.SET_ASIDE), StateChange("shared", State.SET_ASIDE)],
                    findings={"shared": [fail(component=f"gpu:{writer}-{number}")]},
                )
            )


def _take_lock(path: str, name: str, barrier: Any, results: Any) -> None:
    barrier.wait(30)
    with open_ledger(path) as ledger:
        try:
            ledger.acquire_locks(["node01", "node02"], owner=name, run=name, seconds=600)
            results.put((name, True))
        except LockHeldError as error:
            results.put((error.held[0].owner, False))


def _run_together(target: Any, arguments: list[tuple[Any, ...]]) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    processes = [context.Process(target=target, args=(*each[:2], barrier, *each[2:])) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_processes_that_write_at_once_lose_nothing(path: str) -> None:
    _run_together(_write_many, [(path, writer) for writer in range(3)])
    with open_ledger(path) as ledger:
        assert len(ledger.nodes()) == 3 * 20 + 1
        assert len(ledger.history("shared")) == 1
        assert len(ledger.export()["findings"]) == 60
        assert len(ledger.export()["transitions"]) == 61


def test_of_operators_who_ask_at_once_one_gets_all_and_the_others_hear_of_it(path: str) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    _run_together(_take_lock, [(path, name, results) for name in ("alice", "bob", "carol")])
    answers = [results.get(timeout=30) for _ in range(3)]
    winners = [name for name, won in answers if won]
    assert len(winners) == 1
    assert {name for name, won in answers if not won} == set(winners)
    with open_ledger(path) as ledger:
        assert {(each.node, each.owner) for each in ledger.locks()} == {("node01", winners[0]), ("node02", winners[0])}


# -- the file ------------------------------------------------------------------------------------


def test_modes_of_file_and_directory(path: str) -> None:
    open_ledger(path).close()
    assert Path(path).stat().st_mode & 0o777 == 0o640
    assert Path(path).parent.stat().st_mode & 0o777 == 0o750


def test_an_interrupted_write_leaves_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.DEPLOYED)]))
        before = ledger.export()
        bad = Finding("gpu.count", "host", Verdict.FAIL, "s", observed=object())
        with pytest.raises(TypeError):
            ledger.record(batch("run2", [to("node01", State.IN_SERVICE)], findings={"node01": [bad]}))
        assert ledger.export() == before
        ledger.record(batch("run3", [to("node01", State.IN_SERVICE)]))


def test_a_newer_schema_is_refused_and_left_alone(path: str) -> None:
    open_ledger(path).close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(ledger_file.MIGRATIONS) + 1}")
    newer.commit()
    newer.close()
    for opener in (open_ledger, open_copy):
        with pytest.raises(LedgerError, match=r"has schema 2, this version of firstlight\.cluster knows 1"):
            opener(path)


def test_an_older_schema_is_migrated_with_its_content(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.DEPLOYED)]))
    added = (*ledger_file.MIGRATIONS, ("ALTER TABLE nodes ADD COLUMN room TEXT", "UPDATE nodes SET room = 'r1'"))
    monkeypatch.setattr(ledger_file, "MIGRATIONS", added)
    with open_copy(path) as copy:
        assert copy.nodes()["node01"]["room"] == "r1"
    with open_ledger(path) as ledger:
        assert ledger.nodes()["node01"]["room"] == "r1"
    with open_ledger(path) as ledger:
        assert ledger.nodes()["node01"]["state"] == "deployed"


def test_a_migration_that_breaks_off_changes_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ledger(path).close()
    broken = (*ledger_file.MIGRATIONS, ("ALTER TABLE nodes ADD COLUMN room TEXT", "UPDATE nowhere SET room = 1"))
    with monkeypatch.context() as patch:
        patch.setattr(ledger_file, "MIGRATIONS", broken)
        with pytest.raises(LedgerError, match="nowhere"):
            open_ledger(path)
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.DEPLOYED)]))
        assert "room" not in ledger.nodes()["node01"]


@pytest.mark.parametrize("damage", ["text", "torn"])
def test_a_damaged_file_is_named(path: str, damage: str) -> None:
    if damage == "text":
        Path(path).parent.mkdir()
        Path(path).write_text("this is no database " * 100)
    else:
        with open_ledger(path) as ledger:
            for number in range(200):
                ledger.record(batch("run1", findings={f"node{number}": [fail()]}))
        content = bytearray(Path(path).read_bytes())
        content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
        Path(path).write_bytes(content)
    for opener in (open_ledger, open_copy):
        with pytest.raises(LedgerError, match=r"ledger\.db: damaged"):
            opener(path)


def test_a_locked_ledger_is_waited_for_and_then_named(path: str) -> None:
    open_ledger(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        open_ledger(path, busy_seconds=0.1) as ledger,
        pytest.raises(LedgerError, match="another process keeps it locked"),
    ):
        ledger.record(batch("run1"))
    other.close()


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"file/ledger\.db"):
        open_ledger(str(tmp_path / "file" / "ledger.db"))


# -- reading without a trace ---------------------------------------------------------------------


def traces(folder: Path) -> dict[str, tuple[int, int]]:
    return {each.name: (each.stat().st_mtime_ns, each.stat().st_size) for each in (folder, *folder.iterdir())}


def test_a_copy_of_an_absent_ledger_is_empty_and_makes_nothing(path: str) -> None:
    with open_copy(path) as ledger:
        assert ledger.nodes() == {}
        assert len(ledger.record(batch("run1", [to("node01", State.DEPLOYED)])).transitions) == 1
    assert not Path(path).parent.exists()


def test_a_copy_can_be_written_to_and_leaves_the_ledger_alone(path: str) -> None:
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.DEPLOYED)]))
    before = traces(Path(path).parent)
    with open_copy(path) as copy:
        assert copy.nodes()["node01"]["state"] == "deployed"
        copy.record(batch("run2", [to("node01", State.IN_SERVICE)]))
        assert copy.nodes()["node01"]["state"] == "in_service"
    assert traces(Path(path).parent) == before


def test_a_copy_sees_what_a_writer_at_work_has_written(path: str) -> None:
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.DEPLOYED)]))
        assert Path(f"{path}-wal").stat().st_size > 0
        with open_copy(path) as copy:
            assert copy.nodes()["node01"]["state"] == "deployed"


def test_export_has_everything(path: str) -> None:
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.SET_ASIDE)], findings={"node01": [fail()]}))
        ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=60)
        exported = ledger.export()
    assert exported["schema"] == 1
    assert {
        table: len(exported[table]) for table in ("runs", "nodes", "transitions", "findings", "locks")
    } == dict.fromkeys(("runs", "nodes", "transitions", "findings", "locks"), 1)
    assert exported["findings"][0]["content"]["observed"] == 7
