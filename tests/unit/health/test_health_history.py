# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node remembers of its counters, and how much of their growth is judged."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.rates import DAY, HOUR, growth
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import history
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.history import (
    Change,
    Instant,
    counters_of,
    remember,
    update,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.node import Sources, observe
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.health.health_factory import ADDRESSES, absent, counted, healthy, put, spoiled, unreadable

NAME = "hca:mlx5_0/link_downed"


def at(uptime: float, boot: str = "b1") -> Instant:
    return Instant(boot, uptime)


def passes(*readings: tuple[float, int], boot: str = "b1") -> list[tuple[int, float, float]]:
    """What is remembered after passes at these uptimes, in which the counter had these values."""
    remembered = None
    for uptime, value in readings:
        remembered = update(remembered, at(uptime, boot), {NAME: value})
    assert remembered is not None
    return [change[1:] for change in remembered.changes]


# -- what is remembered


def test_what_the_first_pass_of_a_boot_finds_came_at_some_time_since_it() -> None:
    assert passes((5000, 3)) == [(3, 5000, 0)]
    assert passes((5000, 0)) == []


def test_growth_is_kept_with_the_time_between_two_passes() -> None:
    assert passes((100, 0), (5000, 0), (9000, 2), (20000, 2)) == [(2, 15000, 11000)]


def test_what_is_older_than_a_day_is_forgotten() -> None:
    assert passes((100, 0), (5000, 2), (5000 + history.KEEP_SECONDS + 1, 2)) == []


def test_a_counter_that_was_cleared_begins_anew_and_its_past_is_forgotten() -> None:
    """Whoever has repaired a link clears its counters: what was before was repaired."""
    assert passes((100, 0), (5000, 12), (6000, 0)) == []
    assert passes((100, 0), (5000, 12), (6000, 3)) == [(3, 1000, 0)]


def test_a_boot_begins_all_anew() -> None:
    before = update(update(None, at(100), {NAME: 0}), at(5000), {NAME: 12})
    after = update(before, at(300, "b2"), {NAME: 2})
    assert after.changes == (Change(NAME, 2, 300, 0),)


def test_clearing_one_counter_leaves_the_others() -> None:
    other = "hca:mlx5_1/link_downed"
    first = update(None, at(100), {NAME: 0, other: 0})
    second = update(first, at(200), {NAME: 4, other: 4})
    assert [change.name for change in update(second, at(300), {NAME: 0, other: 4}).changes] == [other]


def test_a_counter_that_could_not_be_read_meanwhile_has_grown_since_it_was() -> None:
    first = update(None, at(100), {NAME: 1})
    second = update(first, at(5000), {})
    third = update(second, at(9000), {NAME: 3})
    assert third.changes[-1] == Change(NAME, 2, 8900, 0)


def test_a_pass_that_was_overtaken_changes_nothing() -> None:
    """Its counters are older than those remembered: they have not fallen."""
    later = update(update(None, at(100), {NAME: 5}), at(2000), {NAME: 6})
    assert update(later, at(1990), {NAME: 5}) is later


def test_growths_close_to_each_other_are_one_and_apart_are_two() -> None:
    close = passes((100, 0), (200, 1), (300, 2), (400, 3))
    assert close == [(3, 300, 0)]
    assert len(passes((100, 0), (200, 1), (20000, 1), (20060, 2))) == 2


@given(st.lists(st.tuples(st.integers(1, 4000), st.integers(0, 5)), min_size=1, max_size=80))
def test_no_growth_of_the_last_day_is_lost_or_counted_twice(steps: list[tuple[int, int]]) -> None:
    """However passes fall, all growth in a window is within the growth of the passes that touch it."""
    uptime, value = 100.0, 0
    seen = [(uptime, value)]
    for seconds, more in steps:
        uptime, value = uptime + seconds, value + more
        seen.append((uptime, value))
    observation = {"readers": {"history": {"status": "ok", "data": {"changes": [[NAME, *c] for c in passes(*seen)]}}}}
    for window in (HOUR, DAY):
        # The least and the most that the readings allow, and the time within which growths are kept as one.
        reach = history.RESOLUTION_SECONDS + 4000
        least = value - next(v for t, v in seen if t >= min(uptime, uptime - window + reach))
        most = value - max((v for t, v in seen if t <= uptime - window - reach), default=0)
        assert least - 1e-6 <= growth(observation, NAME, value, window).amount <= most + 1e-6


def test_it_stays_small_however_much_counts(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    counters = [f"gpu:GPU-{number}/ecc_volatile_corrected" for number in range(2000)]
    for step in range(12):
        result = remember(path, at(100 + 4000.0 * step), dict.fromkeys(counters, step), write=True)
    assert len(result["changes"]) <= history.MAX_CHANGES
    assert sum(change[1] for change in result["changes"]) == 11 * len(counters)
    assert path.stat().st_size < history.MAX_BYTES


# -- the file


def test_it_is_made_with_its_directory_and_anybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "health" / "counters.json"
    before = os.umask(0o077)
    try:
        assert remember(path, at(5000), {NAME: 3}, write=True) == {"changes": [[NAME, 3, 5000, 0]], "trouble": ""}
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["counters.json"]
    assert remember(path, at(6000), {NAME: 3}, write=True)["changes"] == [[NAME, 3, 6000, 1000]]


def test_what_a_killed_pass_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "counters.json.new").write_text("{")
    assert remember(tmp_path / "counters.json", at(5000), {NAME: 3}, write=True)["trouble"] == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["counters.json"]


def test_without_leave_to_write_nothing_is_made(tmp_path: Path) -> None:
    result = remember(tmp_path / "health" / "counters.json", at(5000), {NAME: 3}, write=False)
    assert result == {"changes": [[NAME, 3, 5000, 0]], "trouble": ""}
    assert not list(tmp_path.iterdir())


GOOD: dict[str, Any] = {
    "schema": 1,
    "boot_id": "b1",
    "uptime": 100.0,
    "counters": {NAME: [1, 0.0]},
    "changes": [[NAME, 1, 50.0, 0.0]],
}
DAMAGED = [
    ("", "damaged"),
    ('{"schema": 1', "damaged"),
    ("[" * 100_000, "damaged"),
    ("[]", "damaged"),
    ("\x00\xff", "damaged"),
    (json.dumps({**GOOD, "schema": 2}), "its schema is 2, not 1"),
    (json.dumps({**GOOD, "boot_id": 7}), "damaged"),
    (json.dumps({**GOOD, "uptime": "soon"}), "damaged"),
    (json.dumps({**GOOD, "uptime": float("nan")}), "damaged"),
    (json.dumps({**GOOD, "uptime": 99999.0}), "from the future"),
    (json.dumps({**GOOD, "counters": {NAME: [-1, 0.0]}}), "damaged"),
    (json.dumps({**GOOD, "counters": {NAME: [True, 0.0]}}), "damaged"),
    (json.dumps({**GOOD, "counters": {NAME: 1}}), "damaged"),
    (json.dumps({**GOOD, "changes": [[NAME, 1, 0.0, 50.0]]}), "damaged"),
    (json.dumps({**GOOD, "changes": [[NAME, 1]]}), "damaged"),
    (" " * (history.MAX_BYTES + 1), "has more than"),
]


@pytest.mark.parametrize(("content", "says"), DAMAGED, ids=[str(number) for number in range(len(DAMAGED))])
def test_a_file_that_tells_nothing_is_told_and_begun_anew(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "counters.json"
    path.write_text(content)
    result = remember(path, at(5000), {NAME: 3}, write=True)
    assert result["changes"] == [[NAME, 3, 5000, 0]]
    assert says in result["trouble"]
    assert remember(path, at(6000), {NAME: 3}, write=True)["trouble"] == ""


def test_the_good_file_of_those_tests_is_good(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    path.write_text(json.dumps(GOOD))
    assert remember(path, at(200), {NAME: 1}, write=False) == {"changes": [[NAME, 1, 150.0, 100.0]], "trouble": ""}


def test_a_place_that_cannot_be_written_costs_the_memory_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "counters.json.new").mkdir()
    for path in (tmp_path / "file" / "counters.json", tmp_path / "counters.json"):
        result = remember(path, at(5000), {NAME: 3}, write=True)
        assert result["changes"] == [[NAME, 3, 5000, 0]]
        assert "not written: " in result["trouble"]


def test_of_two_passes_at_once_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert (
            "not written: Resource temporarily unavailable" in remember(path, at(1), {NAME: 3}, write=True)["trouble"]
        )
    finally:
        os.close(other)
    assert not path.exists()


# -- what is counted


def test_the_counters_of_hcas_and_gpus_by_the_names_of_their_findings() -> None:
    readers = healthy()["readers"]
    hca = readers["infiniband"]["data"]["devices"]
    hca["mlx5_1"]["ports"]["2"] = hca["mlx5_1"]["ports"]["1"]
    hca["mlx5_2"]["ports"]["1"]["counters"]["link_downed"] = {"error": "Input/output error"}
    hca["mlx5_3"] = {"error": "gone"}
    readers["nvml"]["data"]["gpus"][3]["uuid"] = {"error": "GPU is lost", "code": 15}
    pcie = readers["pcie"]["data"]["devices"]
    pcie[ADDRESSES[2]]["errors"]["fatal"] = {"DLP": 1, "SDES": 1}
    pcie[ADDRESSES[3]]["errors"] |= {"fatal": None, "nonfatal": {"error": "gone"}}
    readers["host"]["data"]["oom_kills"] = 4
    names = counters_of(readers)
    assert {name for name in names if "link_downed" in name} == {
        *(f"hca:mlx5_{number}/link_downed" for number in (0, 4, 5, 6, 7)),
        "hca:mlx5_1/1/link_downed",
        "hca:mlx5_1/2/link_downed",
    }
    assert len([name for name in names if name.startswith("gpu:")]) == 8 * 7
    assert names["net:bond0/carrier_changes"] == 3
    assert names["nvme:nvme0/hot_minutes"] == 7
    assert names["host/oom_kills"] == 4
    assert names["gpu:GPU-00000000/ecc_volatile_corrected"] == 3
    assert names["gpu:GPU-00000000/pcie_replays"] == 0
    assert names["memory:mc1/corrected"] == 0
    assert names[f"pcie:{ADDRESSES[2]}/fatal"] == 2
    assert f"pcie:{ADDRESSES[3]}/fatal" not in names
    assert f"pcie:{ADDRESSES[3]}/nonfatal" not in names


def test_readers_that_gave_nothing_have_no_counters() -> None:
    silent = (unreadable(name) for name in ("nvml", "infiniband", "cpu_memory", "pcie", "network", "nvme", "host"))
    assert counters_of({}) == counters_of(spoiled(*silent)["readers"]) == {}


def test_a_pass_of_the_node_remembers_for_the_next(tmp_path: Path) -> None:
    sources = Sources(root=tmp_path, kernel_log=str(tmp_path / "kmsg"), history=tmp_path / "health" / "counters.json")
    counter = tmp_path / "sys/class/infiniband/mlx5_0/ports/1/counters/link_downed"
    counter.parent.mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("b1\n")
    changes = []
    for uptime, count in ((100, 1), (3700, 3)):
        (tmp_path / "proc/uptime").write_text(f"{uptime}.00 9.0\n")
        counter.write_text(f"{count}\n")
        changes.append(observe(sources, 5.0)["readers"]["history"]["data"]["changes"])
    assert changes == [[[NAME, 1, 100, 0]], [[NAME, 1, 3700, 3600], [NAME, 2, 3600, 0]]]


def test_without_a_boot_id_there_is_no_history(tmp_path: Path) -> None:
    sources = Sources(root=tmp_path, kernel_log=str(tmp_path / "kmsg"), history=tmp_path / "counters.json")
    result = observe(sources, 5.0)["readers"]["history"]
    assert (result["status"], "which boot" in result["error"]) == ("error", True)


# -- how much of it is judged


@pytest.mark.parametrize(
    ("change", "window", "amount"),
    [
        ((4, 1000.0, 0.0), HOUR, 4),
        ((4, 2 * HOUR, 0.0), HOUR, 2),
        ((4, 4 * HOUR, HOUR), HOUR, 0),
        ((4, 2 * HOUR, HOUR / 2), HOUR, 4 / 3),
        ((4, 10 * DAY, 0.0), DAY, 0.4),
        ((4, 60.0, 60.0), HOUR, 4),
        ((4, HOUR, HOUR), HOUR, 0),
    ],
)
def test_growth_is_spread_over_the_time_in_which_it_came(
    change: tuple[int, float, float], window: float, amount: float
) -> None:
    grown = growth(spoiled(counted("mlx5_0", "link_downed", 9, change)), NAME, 9, window)
    assert grown.amount == pytest.approx(amount)
    assert growth(spoiled(counted("mlx5_1", "link_downed", 9, change)), NAME, 9, window).amount == 0


@pytest.mark.parametrize(
    ("since", "until", "verdict"),
    [
        # Passes once a day: nobody knows whether it came in one hour.
        (DAY, 0.0, "warn"),
        (1.5 * DAY, 0.0, "warn"),
        # It came before the hour that is judged.
        (DAY, HOUR, "pass"),
        # What a first pass finds after months came little by little.
        (100 * DAY, 0.0, "pass"),
        (HOUR, 0.0, "fail"),
    ],
)
def test_a_burst_between_passes_that_are_far_apart_is_not_averaged_away(
    since: float, until: float, verdict: str
) -> None:
    grown = growth(spoiled(counted("mlx5_0", "link_downed", 200, (200, since, until))), NAME, 200, HOUR)
    assert grown.verdict(12, 60).value == verdict
    assert ("or up to 200, if at once" in grown.told(12)) is (verdict == "warn")


@pytest.mark.parametrize("spoil", [unreadable("history"), absent("history"), put("history|changes", [[NAME, 1]])])
def test_without_history_it_is_the_average_since_the_boot(spoil: Any) -> None:
    old = put("host|uptime_seconds", 10 * DAY)
    assert growth(spoiled(spoil, old), NAME, 30, DAY).amount == pytest.approx(3)
    assert growth(spoiled(spoil, put("host|uptime_seconds", HOUR)), NAME, 30, DAY).amount == 30
    assert growth(spoiled(spoil, unreadable("host")), NAME, 30, DAY).amount == 30
    assert "average since the boot" in growth(spoiled(spoil, old), NAME, 30, DAY).known_by


def test_trouble_with_the_history_is_told() -> None:
    told = growth(spoiled(put("history|trouble", "not written: No space left")), NAME, 0, DAY).known_by
    assert "not written: No space left" in told
