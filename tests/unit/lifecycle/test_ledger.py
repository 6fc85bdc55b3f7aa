# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: what it remembers, what it refuses, and that nobody's write is lost."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import Ledger, open_ledger
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_file import LedgerError
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import (
    Batch,
    LockHeldError,
    StateChange,
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


PARTS = [
    fail("gpu.xid", "gpu:2", Verdict.WARN),
    fail("gpu.count", "gpu:3"),
    fail("gpu.count", "pci:0000:5d:00.0"),
    fail("systemd.failed", "unit:sssd.service", Verdict.WARN),
    fail("hca.count", "hca:mlx5_3"),
    fail("docker.daemon", "host", Verdict.UNKNOWN),
]


@pytest.mark.parametrize("finding", PARTS, ids=lambda item: f"{item.check} {item.component}")
def test_a_check_that_passed_wholly_closes_its_findings_on_every_component(path: str, finding: Finding) -> None:
    """A judge may blame a part and, when all is well, speak of the host."""
    with open_ledger(path, clock=Clock()) as ledger:
        other = fail("phase.task", "task:x")
        ledger.record(batch("run1", findings={"node02": [finding, other], "node03": [finding]}))
        ledger.record(batch("run2", phase="health", passed={"node02": {finding.check: ["*"]}}))
        assert open_checks(ledger, "node02") == [("phase.task", "task:x", "fail")]
        assert len(open_checks(ledger, "node03")) == 1, "another node's"
        ledger.record(batch("run3", phase="health", findings={"node02": [finding]}))
        assert (finding.check, finding.component, finding.verdict.value) in open_checks(ledger, "node02")


def test_a_pass_of_some_components_closes_no_other(path: str) -> None:
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", passed={"node02": {"gpu.temperature": ["*"]}}))
        ledger.record(batch("run2", findings={"node02": [fail("gpu.temperature", f"gpu:{slot}") for slot in (3, 5)]}))
        ledger.record(batch("run3", passed={"node02": {"gpu.temperature": ["gpu:5", "host"]}}))
        assert open_checks(ledger, "node02") == [("gpu.temperature", "gpu:3", "fail")]


def test_the_ledger_keeps_one_pass_of_a_check_that_passed_wholly(path: str) -> None:
    """Components that come and go (units, addresses) would pile up."""
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(batch("run1", passed={"node02": {"gpu.model": ["gpu:0", "gpu:1"], "disk.free": ["mount:/"]}}))
        ledger.record(batch("run2", passed={"node02": {"gpu.model": ["*"]}}))
        ledger.record(batch("run3", passed={"node02": {"disk.free": ["mount:/data"]}}))
        rows = [(row["check_id"], row["component"], row["run"]) for row in ledger.export()["passes"]]
    assert sorted(rows) == [
        ("disk.free", "mount:/", "run1"),
        ("disk.free", "mount:/data", "run3"),
        ("gpu.model", "*", "run2"),
    ]


def test_a_pass_of_a_component_is_kept_that_came_after_the_whole_one(path: str) -> None:
    whole = batch("run1", passed={"node02": {"gpu.model": ["*"]}})
    with open_ledger(path, clock=Clock()) as ledger:
        ledger.record(whole)
        ledger.record(batch("run2", findings={"node02": [fail("gpu.model", "gpu:3")]}))
        ledger.record(batch("run3", passed={"node02": {"gpu.model": ["gpu:3"]}}))
        ledger.record(whole)
        assert open_checks(ledger, "node02") == []


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
        ledger.acquire_locks(["node03"], owner="alice", run="run0", seconds=60)
        ledger.forget_locks(["run0", "run9"])
        (taken,) = ledger.acquire_locks(["node03"], owner="alice", run="run2", seconds=60)
        assert taken.run == "run2"
        assert {lock.node for lock in ledger.locks()} == {"node01", "node02", "node03"}
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
        assert result.held["node01"].owner == "alice"
        assert result.transitions == []
        assert ledger.record(batch("run1", [to("node01", State.SET_ASIDE)])).refused == {}


# -- export -------------------------------------------------------------------------------------


def test_export_has_everything(path: str) -> None:
    with open_ledger(path) as ledger:
        ledger.record(batch("run1", [to("node01", State.SET_ASIDE)], findings={"node01": [fail()]}))
        ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=60)
        exported = ledger.export()
    assert exported["schema"] == 2
    assert {
        table: len(exported[table]) for table in ("runs", "nodes", "transitions", "findings", "locks")
    } == dict.fromkeys(("runs", "nodes", "transitions", "findings", "locks"), 1)
    assert exported["findings"][0]["content"]["observed"] == 7
