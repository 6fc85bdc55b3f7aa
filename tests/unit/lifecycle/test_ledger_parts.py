# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts: what an observation shows, what the ledger makes of it, and what it answers when asked back."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.view import gpus_of
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import Ledger, open_ledger
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_file import LedgerError
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_history import (
    compare_parts,
    drained,
    part_history,
    parts_in,
    repeat_offenders,
    weekly_failure_rate,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import (
    Action,
    Batch,
    Part,
    Reading,
    StateChange,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.parts import parts_of
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvml import read_nvml

from tests.unit.health import fake_pynvml
from tests.unit.health.health_factory import ADDRESSES, LOST, Spoil, drop, node_class, put, spoiled, unreadable

CHANGED = [
    ("firmware_changed", f"gpu {pci} 165{number}: 96.00.99.00.01 -> 96.00.A5.00.01")
    for number, pci in enumerate(ADDRESSES)
]


class Clock:
    """A day that the test turns, a second for every look."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.timezone.utc)

    def __call__(self) -> datetime.datetime:
        self.now += datetime.timedelta(seconds=1)
        return self.now

    def days(self, number: float) -> None:
        self.now += datetime.timedelta(days=number)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Any:
    with open_ledger(str(tmp_path / "ledger.db"), clock=clock) as opened:
        yield opened


def gpu(number: int, serial: str, **more: str) -> Part:
    return Part(slot=f"0000:{number:02x}:00.0", component=f"gpu:{number}", serial=serial, uid=f"U-{serial}", **more)


def show(ledger: Ledger, run: str, node: str, *parts: Part, complete: bool = True, kind: str = "gpu") -> None:
    ledger.record(Batch(run=run, phase="health", operator="alice", parts={node: {kind: Reading(parts, complete)}}))


def told(ledger: Ledger, node: str) -> list[tuple[str, str]]:
    return [(action["action"], action["detail"]) for action in ledger.actions(node)]


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["serial"] for entry in entries]


# -- what an observation shows


def test_a_healthy_node_shows_its_parts_with_slot_and_component() -> None:
    devices = {f"mlx5_{n}": {"node_guid": f"guid{n}", "firmware": "28.39", "board_id": "MT_1"} for n in range(8)}
    parts = parts_of(spoiled(put("infiniband|devices", devices)))
    assert sorted(parts) == ["gpu", "hca"]
    assert all(reading.complete for reading in parts.values())
    third = parts["gpu"].parts[3]
    assert (third.slot, third.component, third.serial) == (ADDRESSES[3], "gpu:3", "1650000000003")
    assert parts["hca"].parts[5] == Part("mlx5_5", "hca:mlx5_5", "", "guid5", "MT_1", "28.39")


def test_components_follow_the_class_s_slots() -> None:
    parts = parts_of(spoiled(), {"count": 8, "pci_addresses": [address.upper() for address in ADDRESSES[::-1]]})
    assert {part.slot: part.component for part in parts["gpu"].parts}[ADDRESSES[0]] == "gpu:7"


def minors(order: list[int]) -> Spoil:
    """The driver met the GPUs in another order than that of the bus."""

    def spoil(observation: dict[str, Any]) -> None:
        for entry, minor in zip(observation["readers"]["nvml"]["data"]["gpus"], order, strict=False):
            entry["minor"] = minor

    return spoil


@pytest.mark.parametrize(
    "spoils",
    [
        [minors([4, 5, 6, 7, 0, 1, 2, 3])],
        [minors([4, 5, 6, 7, 0, 1, 2, 3]), drop("nvml|gpus|3")],
        [drop("nvml|gpus|3")],
        [drop("nvml|gpus|3"), minors(list(range(7)))],
        [put("nvml|gpus|3", {"index": 3, **LOST})],
        [put("nvml|gpus|6|pci", "0000:ee:00.0")],
        [put("nvml|gpus|6|pci", "0000:ee:00.0"), drop("nvml|gpus|3")],
        [put("nvml|gpus|6|minor", LOST), drop("nvml|gpus|3")],
    ],
    ids=["minors", "minors, one missing", "missing", "numbered anew", "lost", "moved", "moved and missing", "no minor"],
)
@pytest.mark.parametrize("addresses", [[], ADDRESSES, ADDRESSES[::-1]], ids=["guessed", "slots", "slots backwards"])
def test_a_gpu_has_one_name_in_findings_and_in_the_ledger(spoils: list[Spoil], addresses: list[str]) -> None:
    """Else `repeat` would accuse another GPU than the one that failed."""
    wanted, observation = node_class(gpus={"pci_addresses": addresses}), spoiled(*spoils)
    judged = {gpu.read["uuid"]: gpu.component for gpu in gpus_of(observation, wanted).listed if "uuid" in gpu.read}
    kept = {part.uid: part.component for part in parts_of(observation, wanted["hardware"]["gpus"])["gpu"].parts}
    assert kept == judged
    assert len(set(kept.values())) == len(kept)


def test_what_was_not_read_says_nothing_and_what_was_read_in_part_says_who_is_there() -> None:
    assert "gpu" not in parts_of(spoiled(unreadable("nvml")))
    assert parts_of({}) == parts_of({"readers": None}) == parts_of({"readers": {"nvml": {"status": "ok"}}}) == {}
    one_lost = parts_of(spoiled(put("nvml|gpus|3", {"index": 3, **LOST})))["gpu"]
    assert (len(one_lost.parts), one_lost.complete) == (7, False)
    gone = parts_of(spoiled(drop("nvml|gpus|3")))["gpu"]
    assert (len(gone.parts), gone.complete) == (7, True)


def test_a_flashed_gpu_is_seen_by_its_vbios(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for run, code in (("run1", 0), ("run2", 3), ("run3", 0)):
        monkeypatch.setattr(fake_pynvml, "FAULTS", {"nvmlDeviceGetVbiosVersion": {"3": code}})
        read = read_nvml(fake_pynvml).whole()
        parts = parts_of({"readers": {"nvml": {"status": "ok", "data": read}}})
        ledger.record(Batch(run=run, phase="health", operator="alice", parts={"node02": parts}))
        assert told(ledger, "node02") == (CHANGED if run == "run3" else []), "an unread version is no other version"
        monkeypatch.setattr(fake_pynvml, "VBIOS", "96.00.A5.00.01" if run == "run2" else "96.00.99.00.01")


@pytest.mark.parametrize("serial", ["0", "N/A", " Not Specified ", "", "0000000000", LOST])
def test_a_placeholder_is_no_serial_number(serial: Any) -> None:
    read = parts_of(spoiled(put("nvml|gpus|3|serial", serial)))["gpu"]
    assert (read.parts[3].serial, read.parts[3].uid, read.complete) == ("", "GPU-00000003", True)


def test_a_number_that_two_parts_have_tells_neither() -> None:
    read = parts_of(spoiled(put("nvml|gpus|3|serial", "S1"), put("nvml|gpus|4|serial", "S1")))["gpu"]
    assert [part.serial for part in read.parts[3:5]] == ["", ""]
    assert read.complete, "their UUIDs do"


# -- what the ledger makes of it


def test_a_swap_is_remembered_with_where_both_parts_have_been(ledger: Ledger) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"), gpu(1, "B"))
    show(ledger, "run2", "node02", gpu(0, "A"), gpu(1, "C"))
    show(ledger, "run3", "node03", gpu(4, "B"))
    assert told(ledger, "node02") == [("part_swapped", "gpu 0000:01:00.0: B -> C")]
    assert names(parts_in(ledger, "node02")) == ["A", "C"]
    [part] = part_history(ledger, "U-B")
    stays = [(stay["node"], stay["slot"], stay["first_run"], bool(stay["gone_at"])) for stay in part["stays"]]
    assert stays == [("node02", "0000:01:00.0", "run1", True), ("node03", "0000:04:00.0", "run3", False)]
    assert part_history(ledger, "Z") == []


def test_the_same_again_in_one_run_writes_nothing(ledger: Ledger) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"))
    show(ledger, "run2", "node02", gpu(0, "B"))
    before = ledger.export()
    show(ledger, "run2", "node02", gpu(0, "B"))
    after = ledger.export()
    for table in ("stays", "readings", "actions"):
        assert after[table] == before[table]


def test_a_part_that_could_not_be_read_is_not_gone_and_its_return_is_no_swap(ledger: Ledger) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"), gpu(1, "B"))
    show(ledger, "run2", "node02", gpu(0, "A"), complete=False)
    assert names(parts_in(ledger, "node02")) == ["A", "B"]
    show(ledger, "run3", "node02", gpu(0, "A"))
    assert names(parts_in(ledger, "node02")) == ["A"]
    show(ledger, "run4", "node02", gpu(0, "A"), gpu(1, "B"))
    assert told(ledger, "node02") == []
    assert len(part_history(ledger, "B")[0]["stays"]) == 2
    show(ledger, "run5", "node02", gpu(0, "A"))
    show(ledger, "run6", "node02", gpu(0, "A"), gpu(1, "C"))
    # Nothing was there between the two.
    assert told(ledger, "node02") == [("part_swapped", "gpu 0000:01:00.0: B -> C")]


def test_a_part_that_tells_its_serial_number_only_sometimes_is_one_part(ledger: Ledger) -> None:
    nameless = Part("slot1", "gpu:1", "", "U-A")
    show(ledger, "run1", "node02", nameless)
    show(ledger, "run2", "node02", Part("slot1", "gpu:1", "A", "U-A"))
    show(ledger, "run3", "node02", nameless)
    assert told(ledger, "node02") == []
    [part] = part_history(ledger, "A")
    assert (part["uid"], len(part["stays"])) == ("U-A", 1)


def test_a_firmware_update_is_an_action_and_no_new_part(ledger: Ledger) -> None:
    for run, firmware in (("run1", "1.0"), ("run2", ""), ("run3", "2.0")):
        show(ledger, run, "node02", Part("mlx5_0", "hca:mlx5_0", "", "guid", firmware=firmware), kind="hca")
    assert told(ledger, "node02") == [("firmware_changed", "hca mlx5_0 guid: 1.0 -> 2.0")]
    [changed] = compare_parts(ledger, "node02", "run1", "run3")["updated"]
    assert (changed["firmware_before"], changed["firmware"]) == ("1.0", "2.0")


# -- what it answers


def test_two_readings_compared(ledger: Ledger, clock: Clock) -> None:
    show(ledger, "run0", "node09", gpu(7, "D"))
    show(ledger, "run1", "node02", gpu(0, "A"), gpu(1, "B"), gpu(2, "C"))
    between = clock().isoformat()
    show(ledger, "run2", "node02", gpu(0, "C"), gpu(2, "A"), gpu(1, "D"))
    show(ledger, "run3", "node04", gpu(3, "B"))
    for before, after in (("run1", "run2"), (between, clock().isoformat())):
        compared = compare_parts(ledger, "node02", before, after)
        assert (compared["before"]["run"], compared["after"]["run"]) == ("run1", "run2")
        assert [(part["serial"], part["slot_before"]) for part in compared["moved"]] == [
            ("A", "0000:00:00.0"),
            ("C", "0000:02:00.0"),
        ]
        [added], [removed] = compared["added"], compared["removed"]
        assert (added["serial"], added["came_from"]["node"]) == ("D", "node09")
        assert (removed["serial"], removed["went_to"]["node"], removed["went_to"]["slot"]) == (
            "B",
            "node04",
            "0000:03:00.0",
        )
    same = compare_parts(ledger, "node02", "run2", "run2")
    assert [same[key] for key in ("added", "removed", "moved", "updated", "told")] == [[], [], [], [], []]
    assert compared["told"] == [
        "gpu 0000:00:00.0: A -> C",
        "gpu 0000:02:00.0: C -> A",
        "gpu 0000:01:00.0: B -> D",
    ]


def test_what_came_and_went_without_a_successor_is_told(ledger: Ledger) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"), gpu(1, "B"))
    show(ledger, "run2", "node02", gpu(1, "A"), gpu(2, "C"))
    show(ledger, "run3", "node02", gpu(3, "A"), gpu(2, "C"))
    assert compare_parts(ledger, "node02", "run1", "run2")["told"] == [
        "gpu 0000:01:00.0: B -> A",
        "gpu 0000:02:00.0: C added",
    ]
    assert compare_parts(ledger, "node02", "run2", "run3")["told"] == ["gpu 0000:03:00.0: A moved from 0000:01:00.0"]
    show(ledger, "run4", "node02", gpu(3, "A"))
    assert compare_parts(ledger, "node02", "run3", "run4")["told"] == ["gpu 0000:02:00.0: C removed"]


def test_an_exchange_is_told_although_the_old_part_could_not_be_read(ledger: Ledger) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"), gpu(1, "B"))
    ledger.record(Batch(run="run2", phase="health", parts={"node02": {"gpu": Reading([gpu(0, "A")], False)}}))
    show(ledger, "run3", "node02", gpu(0, "A"), gpu(1, "C"))
    told = compare_parts(ledger, "node02", "run2", "run3")["told"]
    assert told == ["gpu 0000:01:00.0: B -> C", "gpu: not read in full both times"]


def test_one_run_that_reads_before_and_after_is_compared_with_itself(ledger: Ledger) -> None:
    for phase, serial in (("before", "A"), ("after", "B")):
        readings = {"node02": {"gpu": Reading([gpu(0, serial)], True)}}
        ledger.record(Batch(run="run1", phase=phase, parts=readings))
    compared = compare_parts(ledger, "node02", "run1", "run1")
    assert (names(compared["removed"]), names(compared["added"])) == (["A"], ["B"])


def test_nothing_is_said_of_a_kind_that_one_reading_could_not_read(ledger: Ledger) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"))
    show(ledger, "run2", "node02", Part("mlx5_0", "hca:mlx5_0", "", "guid"), kind="hca")
    compared = compare_parts(ledger, "node02", "run1", "run2")
    assert (compared["kinds"], compared["unread"]) == ([], ["gpu", "hca"])
    assert compared["added"] == compared["removed"] == []


@pytest.mark.parametrize(("node", "before"), [("node02", "2025-01-01"), ("node07", "run1"), ("node02", "nonsense")])
def test_a_reading_that_is_not_there_is_named(ledger: Ledger, node: str, before: str) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"))
    with pytest.raises(LedgerError, match=f"{node}: no reading of its parts in or before '{before}'"):
        compare_parts(ledger, node, before, "run1")


def set_aside(ledger: Ledger, run: str, node: str, *components: str) -> None:
    found = [Finding("gpu.xid", component, Verdict.FAIL, "XID 79") for component in components]
    unread = Finding("gpu.ecc", "gpu:0", Verdict.UNKNOWN, "not read")
    states = [StateChange(node, State.SET_ASIDE)]
    ledger.record(Batch(run=run, phase="health", states=states, findings={node: [*found, unread]}))


def admit(ledger: Ledger, run: str, *nodes: str) -> None:
    ledger.record(Batch(run=run, phase="admit", states=[StateChange(node, State.IN_SERVICE) for node in nodes]))


def test_who_fails_again_and_again_is_found_wherever_the_part_is(ledger: Ledger, clock: Clock) -> None:
    show(ledger, "run0", "node02", gpu(0, "A"), gpu(1, "B"))
    set_aside(ledger, "run0", "node02", "gpu:1")
    clock.days(40)
    for run in ("run1", "run2"):
        admit(ledger, run, "node02")
        set_aside(ledger, run, "node02", "gpu:1/link:3", "host")
    show(ledger, "run3", "node02", gpu(0, "A"), gpu(1, "C"))
    show(ledger, "run3", "node05", gpu(6, "B"))
    set_aside(ledger, "run4", "node05", "gpu:6")
    often = repeat_offenders(ledger, times=2, days=30)
    assert [(entry["node"], entry["times"]) for entry in often["nodes"]] == [("node02", 2)]
    [part] = often["parts"]
    assert (part["serial"], part["times"]) == ("B", 3)
    assert [(event["node"], event["component"]) for event in part["events"]] == [
        ("node02", "gpu:1"),
        ("node02", "gpu:1"),
        ("node05", "gpu:6"),
    ]
    assert repeat_offenders(ledger, times=4, days=30) == {"nodes": [], "parts": []}
    assert repeat_offenders(ledger, times=3, days=60)["nodes"][0]["times"] == 3


def test_a_gpu_that_is_gone_is_the_one_that_was_there_last(ledger: Ledger) -> None:
    show(ledger, "run1", "node02", gpu(0, "A"), gpu(1, "B"))
    show(ledger, "run2", "node02", gpu(0, "A"))
    set_aside(ledger, "run2", "node02", "gpu:1")
    assert names(repeat_offenders(ledger, times=1, days=1)["parts"]) == ["B"]


def test_the_weekly_failure_rate_counts_a_node_once_and_leaves_planned_ones_out(ledger: Ledger, clock: Clock) -> None:
    planned = [StateChange("node09", State.PLANNED)]
    admit(ledger, "run1", "node01", "node02", "node03")
    ledger.record(Batch(run="run1", phase="begin", states=planned))
    set_aside(ledger, "run2", "node02")
    admit(ledger, "run3", "node02")
    set_aside(ledger, "run4", "node02")
    clock.days(14)
    admit(ledger, "run5", "node04")
    set_aside(ledger, "run6", "node01")
    set_aside(ledger, "run6", "node03")
    weeks = weekly_failure_rate(ledger, 4)
    assert [(week["week"], week["nodes"], week["set_aside"], week["rate"]) for week in weeks] == [
        ("2026-W01", 0, 0, None),
        ("2026-W02", 3, 1, 0.333333),
        ("2026-W03", 3, 0, 0.0),
        ("2026-W04", 4, 2, 0.5),
    ]
    assert weeks[1]["begins"] == "2026-01-05"
    of_roster = weekly_failure_rate(ledger, 1, ["node01", "node04"])
    assert [(week["nodes"], week["set_aside"]) for week in of_roster] == [(2, 1)]


def test_drained_is_what_was_not_given_back_since(ledger: Ledger) -> None:
    for run, node, action in (
        ("run1", "node01", "drained"),
        ("run1", "node02", "drained"),
        ("run2", "node01", "undrained"),
        ("run2", "node03", "undrained"),
        ("run3", "node02", "bmc_reset"),
    ):
        for _twice in range(2):
            ledger.record(Batch(run=run, phase="p", operator="alice", actions=[Action(node, action)]))
    assert drained(ledger) == ["node02"]
    assert [(action["action"], action["operator"]) for action in ledger.actions("node02")] == [
        ("drained", "alice"),
        ("bmc_reset", "alice"),
    ]
