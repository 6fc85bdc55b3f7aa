# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node remembers of its GPUs' XIDs, over boots and resets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.history import remember_xids
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.node import Sources, observe
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.xid_history import (
    KEEP_DAYS,
    MAX_NAMES,
    MAX_SIGHTINGS,
    Event,
    Log,
    XidHistory,
    log_of,
    told,
    update,
)

from tests.unit.health.health_factory import ADDRESSES, healthy, put, spoiled, unreadable, xid

DAY = 86400.0
NOW = 20_000 * DAY + 43_200
GPU, UUID = ADDRESSES[2], "GPU-00000002"


def log(*events: Event, boot: str = "b1", uptime: float = 3600.0, loaded: int | None = 1, known: bool = True) -> Log:
    return Log(boot, uptime, loaded, events, {GPU: UUID} if known else {})


def event(code: int = 31, times: int = 1, at: float = 3000.0) -> Event:
    return Event(GPU, code, times, int(at * 1e6))


def seen(*passes: tuple[Log, float]) -> dict[str, list[list[Any]]]:
    """What is told after passes with these logs at these times."""
    history = XidHistory()
    for each, now in passes:
        history = update(history, each, now)
    return told(history, passes[-1][1])


def test_what_the_log_still_has_is_counted_once() -> None:
    assert seen((log(event()), NOW), (log(event(), uptime=9000), NOW + 5400)) == {f"{UUID}/31": [[0, "b1/1"]]}


def test_the_day_is_that_of_the_xid() -> None:
    old = log(event(at=3600), uptime=3 * DAY)
    assert seen((old, NOW)) == {f"{UUID}/31": [[3, "b1/1"]]}
    again = log(event(times=2, at=2.5 * DAY), uptime=3 * DAY)
    assert seen((old, NOW), (again, NOW)) == {f"{UUID}/31": [[3, "b1/1"], [0, "b1/1"]]}


def test_a_boot_and_a_reset_are_told_apart() -> None:
    one, two = log(event(79)), log(event(79), boot="b2")
    assert seen((one, NOW), (two, NOW + DAY)) == {f"{UUID}/79": [[1, "b1/1"], [0, "b2/1"]]}
    reset = log(event(79, times=2, at=9000), uptime=9001, loaded=5_000_000_000)
    assert seen((one, NOW), (reset, NOW)) == {f"{UUID}/79": [[0, "b1/1"], [0, "b1/5000000000"]]}
    before = log(event(79), loaded=3_500_000_000)
    assert seen((before, NOW)) == {f"{UUID}/79": [[0, "b1"]]}, "the driver was loaded after it"


def test_a_log_that_has_forgotten_its_oldest_lines_tells_nothing_new() -> None:
    assert seen((log(event(times=9)), NOW), (log(event(times=4)), NOW + DAY)) == {f"{UUID}/31": [[1, "b1/1"]]}
    newer = log(event(times=4, at=3500))
    assert seen((log(event(times=9)), NOW), (newer, NOW)) == {f"{UUID}/31": [[0, "b1/1"]]}


def test_a_lost_gpu_is_known_by_what_it_said_before() -> None:
    lost = log(event(79), known=False)
    assert seen((log(), NOW), (lost, NOW)) == {f"{UUID}/79": [[0, "b1/1"]]}
    assert seen((lost, NOW)) == {f"{GPU}/79": [[0, "b1/1"]]}


def test_a_gpu_that_was_replaced_begins_anew() -> None:
    other = Log("b2", 3600.0, 1, (event(79),), {GPU: "GPU-new"})
    assert seen((log(event(79)), NOW), (other, NOW)) == {
        f"{UUID}/79": [[0, "b1/1"]],
        "GPU-new/79": [[0, "b2/1"]],
    }


def test_it_forgets_after_a_month_and_what_the_clock_puts_into_the_future() -> None:
    first = log(event())
    assert seen((first, NOW), (log(boot="b2"), NOW + (KEEP_DAYS - 1) * DAY)) != {}
    assert seen((first, NOW), (log(boot="b2"), NOW + KEEP_DAYS * DAY)) == {}
    assert seen((first, NOW), (log(boot="b2"), NOW - 2 * DAY)) == {}


def test_it_stays_small_however_much_there_is() -> None:
    history = XidHistory()
    for boot in range(MAX_SIGHTINGS + 10):
        history = update(history, log(event(), boot=f"b{boot}"), NOW)
    assert len(history.sightings[f"{UUID}/31"]) == MAX_SIGHTINGS
    garbage = log(*(event(code) for code in range(MAX_NAMES + 10)), boot="b")
    assert len(update(history, garbage, NOW).sightings) == MAX_NAMES


def test_what_the_readers_tell() -> None:
    events = put("kernel_log|xids", [xid(31), xid(145), xid(145, count=2)])
    lost = put("kernel_log|off_bus", [{"device": GPU, "count": 1, "last_us": 5}, {"device": "", "count": 1}])
    found = log_of(spoiled(events, lost)["readers"], "b1", 7200.0)
    assert found is not None
    assert [(each.code, each.times) for each in found.events] == [(31, 1), (145, 1), (145, 2), (79, 1)]
    assert found.uuids[GPU] == UUID
    assert log_of(spoiled(unreadable("kernel_log"))["readers"], "b1", 1.0) is None
    silent = log_of(spoiled(unreadable("nvml"))["readers"], "b1", 1.0)
    assert silent is not None and silent.uuids == {}
    assert list(seen((log(event(145), event(145, times=2)), NOW))) == [f"{UUID}/145"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "health" / "xids.json"
    first = remember_xids(path, log(event()), NOW, write=True)
    assert first == {"xids": {f"{UUID}/31": [[0, "b1/1"]]}, "xids_trouble": ""}
    assert remember_xids(path, log(boot="b2"), NOW + DAY, write=False)["xids"] == {f"{UUID}/31": [[1, "b1/1"]]}
    without = remember_xids(path, None, NOW, write=True)
    assert (without["xids"], without["xids_trouble"]) == (first["xids"], "the kernel log was not read")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "damaged"),
        ("[" * 100_000, "damaged"),
        (json.dumps({"schema": 2}), "its schema is 2"),
        (json.dumps({"schema": 1, "sightings": {"a/1": [[1]]}, "uuids": {}}), "damaged"),
        (" " * 2_000_000, "damaged"),
    ],
)
def test_a_file_that_tells_nothing_is_begun_anew(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "xids.json"
    path.write_text(content)
    result = remember_xids(path, log(event()), NOW, write=True)
    assert (list(result["xids"]), says in result["xids_trouble"]) == ([f"{UUID}/31"], True)
    assert remember_xids(path, log(event()), NOW, write=True)["xids_trouble"] == ""


def test_a_place_that_cannot_be_written_costs_the_memory_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = remember_xids(tmp_path / "file" / "xids.json", log(event()), NOW, write=True)
    assert "begun anew" in result["xids_trouble"] and "not written" in result["xids_trouble"]
    assert list(result["xids"]) == [f"{UUID}/31"]


def test_a_pass_of_the_node_remembers_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No bindings: the GPU is known by its address.
    monkeypatch.setitem(sys.modules, "pynvml", None)
    kmsg, history = tmp_path / "kmsg", tmp_path / "health" / "counters.json"
    sources = Sources(root=tmp_path, kernel_log=str(kmsg), history=history)
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/uptime").write_text("3600.00 9.0\n")
    for boot in ("b1", "b2"):
        (tmp_path / "proc/sys/kernel/random/boot_id").write_text(f"{boot}\n")
        kmsg.write_text(f"3,1,3000000000,-;NVRM: Xid (PCI:{GPU[:-2]}): 119, Timeout\n")
        data = observe(sources, 5.0)["readers"]["history"]["data"]
    assert data["xids"] == {f"{GPU}/119": [[0, "b1"], [0, "b2"]]}
    assert healthy()["readers"]["history"]["data"].keys() == data.keys()
