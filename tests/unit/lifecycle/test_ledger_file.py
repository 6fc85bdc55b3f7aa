# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's file: several processes at once, old and new schemas, damage, and reading without a trace."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle import ledger_file
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import open_copy, open_ledger
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_file import LedgerError
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import (
    Action,
    Batch,
    LockHeldError,
    Part,
    Reading,
    StateChange,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State, Step


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "ledger.db")


def batch(run: str, states: Sequence[StateChange] = (), **more: Any) -> Batch:
    return Batch(run=run, phase="admit", states=states, **more)


def to(node: str, state: State) -> StateChange:
    return StateChange(node=node, state=state)


def fail(component: str = "host") -> Finding:
    return Finding("gpu.count", component, Verdict.FAIL, "7 of 8 GPUs answer")


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
                    actions=[Action("shared", "bmc_reset", f"{writer}-{number}")],
                    parts={node: {"gpu": Reading([Part("slot", "gpu:0", f"S-{node}")], True)}},
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
        assert len(ledger.actions("shared")) == len(ledger.export()["parts"]) == len(ledger.export()["stays"]) == 60


def _take_turns(path: str, run: str, barrier: Any) -> None:
    """Each holds the node by turns; who holds it is the only one to move it."""
    barrier.wait(30)
    for number in range(15):
        while True:
            with open_ledger(path) as ledger:
                try:
                    ledger.acquire_locks(["node01"], owner=run, run=run, seconds=600)
                except LockHeldError:
                    continue
                moves = [(State.DEPLOYED, Step.BACKWARD), (State.IN_SERVICE, Step.FORWARD)]
                if not ledger.nodes():
                    moves.reverse()
                for state, step in moves:
                    result = ledger.record(
                        Batch(run=run, phase=f"{state.value}{number}", states=[StateChange("node01", state, step=step)])
                    )
                    assert not result.held and not result.refused
                if ledger.nodes()["node01"]["state"] != State.IN_SERVICE.value:
                    ledger.record(
                        Batch(run=run, phase=f"again{number}", states=[StateChange("node01", State.IN_SERVICE)])
                    )
                ledger.release_locks(None, run=run)
            break


def test_two_runs_that_want_one_node_have_it_by_turns_and_never_at_once(path: str) -> None:
    _run_together(_take_turns, [(path, "alice"), (path, "bob")])
    with open_ledger(path) as ledger:
        history = ledger.history("node01")
        assert ledger.locks() == []
    for earlier, after in itertools.pairwise(history):
        assert after["from_state"] == earlier["to_state"]
        if after["to_state"] == State.IN_SERVICE.value:
            assert after["run"] == earlier["run"], "what one began, the other did not end"
    assert {each["run"] for each in history} == {"alice", "bob"}


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
        with pytest.raises(LedgerError, match=r"has schema 3, this version of firstlight\.cluster knows 2"):
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
