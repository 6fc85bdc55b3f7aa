# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts that are others than when their node was proved: swapped, moved, missing; told until it is proved again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS, WAIVABLE
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import Ledger, open_ledger
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_history import changes_since_proof
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import (
    Batch,
    Part,
    Reading,
    StateChange,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.part_findings import part_findings
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State

from tests.unit.lifecycle.test_ledger_parts import Clock

SWAPPED, MOVED, MISSING = ("lifecycle.part.swapped", "lifecycle.part.moved", "lifecycle.part.missing")
ALIKE = {SWAPPED: ["host"], MOVED: ["host"], MISSING: ["host"]}


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with open_ledger(str(tmp_path / "ledger.db"), clock=Clock()) as opened:
        yield opened


def gpus(*serials: str) -> list[Part]:
    """GPUs in the slots 0, 1, 2 ..., none where the serial is empty."""
    return [Part(f"0000:0{n}:00.0", f"gpu:{n}", serial) for n, serial in enumerate(serials) if serial]


def read(
    ledger: Ledger, run: str, *serials: str, node: str = "node02", complete: bool = True, **others: Reading
) -> list[Finding]:
    """What is told of a node that shows these GPUs, and other kinds of parts."""
    readings = {"gpu": Reading(gpus(*serials), complete), **others}
    ledger.record(Batch(run=run, phase="health", parts={node: readings}))
    return part_findings(changes_since_proof(ledger, node, readings))


def prove(ledger: Ledger, run: str, *serials: str, node: str = "node02") -> list[Finding]:
    told = read(ledger, run, *serials, node=node)
    ledger.record(Batch(run=run, phase="admit", states=[StateChange(node, State.IN_SERVICE)]))
    return told


def against(told: list[Finding]) -> dict[tuple[str, str], str]:
    """What does not pass, in words; none of it keeps a node out that was repaired."""
    found = {(item.check, item.component): item for item in told if item.verdict is not Verdict.PASS}
    assert {item.verdict for item in found.values()} <= {Verdict.WARN}
    assert all(item.remedy and item.evidence for item in found.values())
    return {key: item.summary for key, item in found.items()}


def passed(told: list[Finding]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in told:
        if item.verdict is Verdict.PASS:
            found.setdefault(item.check, []).append(item.component)
    return found


def test_the_same_parts_pass(ledger: Ledger) -> None:
    first = prove(ledger, "run1", "A", "B")
    assert (against(first), passed(first)) == ({}, ALIKE)
    assert {item.summary for item in first} == {"as when the node was read first (run run1)"}
    again = read(ledger, "run2", "A", "B")
    assert (against(again), passed(again)) == ({}, ALIKE)
    assert {item.summary for item in again} == {"as when the node was proved last (run run1)"}


def test_a_swapped_part_is_told_until_the_node_is_proved_with_it(ledger: Ledger) -> None:
    prove(ledger, "run1", "A", "B", "D")
    told = read(ledger, "run2", "A", "C", "D")
    words = "gpu 0000:01:00.0: B -> C since run run2, unlike when the node was proved last (run run1)"
    assert against(told) == {(SWAPPED, "gpu:1"): words}
    assert passed(told) == {SWAPPED: ["gpu:0", "gpu:2"], MOVED: ["host"], MISSING: ["host"]}
    assert against(prove(ledger, "run3", "A", "C", "D")) == against(told)
    proved = read(ledger, "run4", "A", "C", "D")
    assert (against(proved), passed(proved)) == ({}, ALIKE)


def test_a_swapped_part_is_told_with_where_the_old_one_is(ledger: Ledger) -> None:
    prove(ledger, "run1", "A", "B")
    read(ledger, "run2", "X", "", "B", node="node03")
    told = against(read(ledger, "run3", "A", "C"))
    assert told[SWAPPED, "gpu:1"].startswith("gpu 0000:01:00.0: B -> C since run run3; B is in node03, 0000:02:00.0, ")


def test_a_missing_part_is_told_by_its_number_until_another_is_there(ledger: Ledger) -> None:
    prove(ledger, "run1", "A", "B", "D")
    read(ledger, "run2", "A", "B", "D")
    for run in ("run3", "run4"):
        told = read(ledger, run, "A", "", "D")
        words = "gpu 0000:01:00.0: B is gone, seen last in run run2, unlike when the node was proved last (run run1)"
        assert against(told) == {(MISSING, "gpu:1"): words}
        assert passed(told) == {SWAPPED: ["host"], MOVED: ["host"], MISSING: ["gpu:0", "gpu:2"]}
    told = read(ledger, "run5", "A", "C", "D")
    assert list(against(told)) == [(SWAPPED, "gpu:1")]
    back = read(ledger, "run6", "A", "B", "D")
    assert (against(back), passed(back)) == ({}, ALIKE), "it is the node that was proved"


def test_a_missing_part_is_told_with_where_it_is(ledger: Ledger) -> None:
    prove(ledger, "run1", "A", "B")
    read(ledger, "run2", "X", "B", node="node03")
    assert (
        ", seen last in run run1, and is in node03, 0000:01:00.0, "
        in against(read(ledger, "run3", "A"))[MISSING, "gpu:1"]
    )


def fail(ledger: Ledger, run: str, node: str, check: str, component: str, verdict: Verdict = Verdict.FAIL) -> None:
    ledger.record(Batch(run=run, phase="health", findings={node: [Finding(check, component, verdict, "so")]}))


def test_a_part_from_another_node_is_told_with_what_failed_there(ledger: Ledger) -> None:
    for node in ("node02", "node03"):
        fail(ledger, "run0", node, "gpu.early", "gpu:1")
    prove(ledger, "run1", "A", "B")
    prove(ledger, "run1", "X", "Y", node="node03")
    fail(ledger, "run2", "node03", "gpu.xid", "gpu:1")
    fail(ledger, "run3", "node03", "gpu.xid", "gpu:1")
    fail(ledger, "run3", "node03", "gpu.ecc.uncorrected", "gpu:1/hbm")
    fail(ledger, "run3", "node03", "gpu.temperature", "gpu:1", Verdict.WARN)
    fail(ledger, "run3", "node03", "gpu.power", "gpu:0")
    fail(ledger, "run3", "node02", "gpu.clocks", "gpu:1")
    read(ledger, "run4", "X", "Z", node="node03")
    fail(ledger, "run4", "node03", "gpu.of_the_next", "gpu:1")
    told = against(read(ledger, "run5", "A", "Y"))
    assert sorted(told) == [(MOVED, "gpu:1"), (SWAPPED, "gpu:1")]
    assert told[MOVED, "gpu:1"] == (
        "gpu 0000:01:00.0: Y was in node03, 0000:01:00.0 and failed there: gpu.ecc.uncorrected (run run3), "
        "gpu.xid (run run3), unlike when the node was proved last (run run1)"
    )
    prove(ledger, "run6", "A", "Y")
    assert passed(read(ledger, "run7", "A", "Y")) == ALIKE


def test_what_fails_in_a_node_after_the_part_has_left_is_not_its_fault(ledger: Ledger) -> None:
    prove(ledger, "run1", "A", "B")
    read(ledger, "run1", "X", "Y", node="node03")
    read(ledger, "run2", "A", "Y")
    fail(ledger, "run3", "node03", "gpu.xid", "gpu:1")
    assert "failed there" not in against(read(ledger, "run4", "A", "Y"))[MOVED, "gpu:1"]


def test_parts_that_changed_their_slots_are_moved_and_neither_swapped_nor_missing(ledger: Ledger) -> None:
    prove(ledger, "run1", "A", "B", "C")
    told = against(read(ledger, "run2", "B", "A", "", "C"))
    assert sorted(told) == [(MOVED, "gpu:0"), (MOVED, "gpu:1"), (MOVED, "gpu:3")]
    assert told[MOVED, "gpu:0"].startswith("gpu 0000:00:00.0: B was in node02, 0000:01:00.0, unlike when")


def test_a_new_part_in_the_slot_of_one_that_moved_is_told_as_well(ledger: Ledger) -> None:
    prove(ledger, "run1", "A", "B")
    told = against(read(ledger, "run2", "C", "A"))
    assert sorted(told) == [(MISSING, "gpu:1"), (MOVED, "gpu:1"), (SWAPPED, "gpu:0")]
    assert "B is gone" in told[MISSING, "gpu:1"]


def test_a_part_whose_slot_another_one_of_the_node_took_is_missing(ledger: Ledger) -> None:
    """Names of HCAs close up when one is gone."""
    prove(ledger, "run1", "A", "B", "C")
    assert sorted(against(read(ledger, "run2", "A", "C"))) == [(MISSING, "gpu:1"), (MOVED, "gpu:1")]


def test_new_firmware_and_an_added_part_change_no_part(ledger: Ledger) -> None:
    prove(ledger, "run1", "A")
    flashed = [Part("0000:00:00.0", "gpu:0", "A", firmware="2"), *gpus("", "B")]
    readings = {"gpu": Reading(flashed, True)}
    ledger.record(Batch(run="run2", phase="health", parts={"node02": readings}))
    assert passed(part_findings(changes_since_proof(ledger, "node02", readings))) == ALIKE


@pytest.mark.parametrize("complete", [True, False])
def test_what_was_not_read_neither_passes_nor_is_missing(ledger: Ledger, complete: bool) -> None:
    prove(ledger, "run1", "A", "B")
    hca = {"hca": Reading([Part("mlx5_0", "hca:mlx5_0", uid="guid")], True)}
    read(ledger, "run1", "A", "B", complete=True, **hca)
    assert read(ledger, "run2", "A", complete=False, **hca) == []
    assert read(ledger, "run3", "A", complete=False) == []
    ledger.record(Batch(run="run4", phase="health", parts={"node02": hca}))
    assert part_findings(changes_since_proof(ledger, "node02", hca)) == []
    told = read(ledger, "run5", "A", "C", complete=complete, **hca)
    assert list(against(told)) == [(SWAPPED, "gpu:1")], "what is there was read"
    assert passed(told) == ({SWAPPED: ["gpu:0", "hca:mlx5_0"], MOVED: ["host"], MISSING: ["host"]} if complete else {})


def test_a_node_that_was_never_proved_is_compared_with_its_first_reading(ledger: Ledger) -> None:
    prove(ledger, "run0", "X", "Y", node="node03")
    first = against(read(ledger, "run1", "A", "Y"))
    assert list(first) == [(MOVED, "gpu:1")]
    assert first[MOVED, "gpu:1"].endswith(", unlike when the node was read first (run run1)")
    assert sorted(against(read(ledger, "run2", "B", "Y"))) == [(MOVED, "gpu:1"), (SWAPPED, "gpu:0")]


def test_a_site_can_decide_about_them() -> None:
    assert {SWAPPED, MOVED, MISSING} <= set(WAIVABLE)
    assert {CHECKS[check].severity for check in ALIKE} == {"warn"}
