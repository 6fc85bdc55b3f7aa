# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: what is undone, what survives a kill, who is woken."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from lab.maas.state import Store
from lab.maas.tracked import Row, TrackedDict, TrackedList, adopt


def _machine(name: str) -> dict[str, Any]:
    return {"system_id": name, "tags": ["a"], "job": None, "interfaces": [{"links": []}]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "maas.json")


def _killed(store: Store, tmp_path: Path) -> Store:
    """The store that a new process finds."""
    target = tmp_path / "after"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("maas.json", "maas.journal"):
        shutil.copy(store.directory / name, target)
    return Store(target / "maas.json")


def test_what_was_committed_survives_a_kill(store: Store, tmp_path: Path) -> None:
    with store.transaction():
        store.add("machines", _machine("aaaaaa"))
        store.add("machines", _machine("bbbbbb"))
        store.next_id("event")
    with store.transaction() as data:
        machine = store.machine("bbbbbb")
        assert machine
        machine["job"] = {"kind": "deploy"}
        machine["interfaces"][0]["links"].append({"id": 1})
        data["machines"].remove(store.machine("aaaaaa"))
    with store.transaction():
        again = store.machine("bbbbbb")
        assert again
        again["job"]["kind"] = "release"
    after = _killed(store, tmp_path)
    assert [one["system_id"] for one in after.data["machines"]] == ["bbbbbb"]
    assert after.data["machines"][0]["job"] == {"kind": "release"}
    assert after.data["machines"][0]["interfaces"] == [{"links": [{"id": 1}]}]
    assert after.next_id("event") == 2


def test_a_line_that_was_cut_off_is_left_out(store: Store, tmp_path: Path) -> None:
    for name in ("aaaaaa", "bbbbbb"):
        with store.transaction():
            store.add("machines", _machine(name))
    journal = store.directory / "maas.journal"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert [one["system_id"] for one in _killed(store, tmp_path).data["machines"]] == ["aaaaaa"]


def test_a_journal_older_than_its_snapshot_changes_nothing(store: Store, tmp_path: Path) -> None:
    with store.transaction():
        store.add("machines", _machine("aaaaaa"))
    journal = (store.directory / "maas.journal").read_bytes()
    with store.transaction() as data:
        data["machines"].remove(store.machine("aaaaaa"))
    store.snapshot()
    assert (store.directory / "maas.journal").read_bytes() == b""
    (store.directory / "maas.journal").write_bytes(journal)
    assert _killed(store, tmp_path).data["machines"] == []


def test_an_exception_undoes_everything(store: Store) -> None:
    with store.transaction():
        store.add("machines", _machine("aaaaaa"))
        store.add("tags", {"name": "gpu"})
    machine = store.machine("aaaaaa")
    assert machine

    def spoil() -> None:
        with store.transaction() as data:
            machine["tags"].append("b")
            machine["interfaces"][0]["links"] = [{"id": 7}]
            del machine["job"]
            machine.update(new=1)
            store.add("machines", _machine("bbbbbb"))
            data["tags"] = []
            data["machines"].remove(machine)
            with store.transaction():
                store.next_id("event")
            raise KeyError

    journal = (store.directory / "maas.journal").read_bytes()
    with pytest.raises(KeyError):
        spoil()
    assert store.data["machines"] == [_machine("aaaaaa")]
    assert store.machine("aaaaaa") is store.data["machines"][0]
    assert store.machine("bbbbbb") is None
    assert store.data["tags"] == [{"name": "gpu"}]
    assert "event" not in store.data["counters"]
    assert (store.directory / "maas.journal").read_bytes() == journal
    with store.transaction():
        store.data["machines"][0]["tags"].append("c")
    assert store.data["machines"][0]["tags"] == ["a", "c"]


def test_only_the_machine_that_changed_wakes_its_worker(store: Store) -> None:
    for name in ("aaaaaa", "bbbbbb"):
        with store.transaction():
            store.add("machines", _machine(name))
    woken: list[str] = []

    def wait(name: str, seconds: float, holding: threading.Event) -> None:
        condition = store.of_machine(name)
        with condition:
            # until it waits it holds the database, so that nobody commits before
            holding.set()
            if condition.wait(seconds):
                woken.append(name)

    threads = []
    for name, seconds in (("aaaaaa", 5), ("bbbbbb", 0.2)):
        holding = threading.Event()
        threads.append(threading.Thread(target=wait, args=(name, seconds, holding)))
        threads[-1].start()
        assert holding.wait(5)
    with store.transaction():
        machine = store.machine("aaaaaa")
        assert machine
        machine["job"] = {}
    for thread in threads:
        thread.join(5)
    assert woken == ["aaaaaa"]


def test_an_earlier_run_writes_nothing_over_a_later_one(tmp_path: Path) -> None:
    first = Store(tmp_path / "maas.json")
    with first.transaction():
        first.add("machines", _machine("aaaaaa"))
    second = Store(tmp_path / "maas.json")
    with second.transaction():
        second.add("machines", _machine("bbbbbb"))
    with first.transaction():
        first.add("machines", _machine("cccccc"))
    first.snapshot()
    second.snapshot()
    third = Store(tmp_path / "maas.json")
    assert [one["system_id"] for one in third.data["machines"]] == ["aaaaaa", "bbbbbb"]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(a=1),
        lambda one: one.setdefault("a", []),
        lambda one: one.pop("list"),
        lambda one: one.clear(),
        lambda one: one["list"].append(1),
        lambda one: one["list"].extend([1]),
        lambda one: one["list"].insert(0, 1),
        lambda one: one["list"].remove(3),
        lambda one: one["list"].pop(),
        lambda one: one["list"].sort(),
        lambda one: one["list"].reverse(),
        lambda one: one["list"].__setitem__(0, 1),
        lambda one: one["list"].__setitem__(slice(0, 1), [1]),
        lambda one: one["list"].__delitem__(0),
        lambda one: one["list"].__iadd__([1]),
        lambda one: one["dict"].__setitem__("x", {"y": 1}),
        lambda one: one["dict"].__delitem__("k"),
        lambda one: one["dict"].popitem(),
    ],
)
def test_every_way_to_change_a_row_is_noticed(change: Any) -> None:
    touched: dict[Row, None] = {}
    row = Row("machines", "aaaaaa", touched)
    value = adopt({"list": [3, 2], "dict": {"k": {"deep": []}}}, row)
    assert not touched
    change(value)
    assert row in touched


def test_what_is_put_in_is_tracked_too() -> None:
    touched: dict[Row, None] = {}
    row = Row("machines", "aaaaaa", touched)
    value = adopt({}, row)
    plain = {"inner": [{"a": 1}]}
    value["x"] = plain
    touched.clear()
    plain["inner"].append({"b": 2})
    assert value["x"] == {"inner": [{"a": 1}]}
    assert not touched
    value["x"]["inner"][0]["a"] = 2
    assert row in touched
    assert isinstance(value["x"], TrackedDict)
    assert isinstance(value["x"]["inner"], TrackedList)
    with pytest.raises(TypeError):
        value |= {"y": 1}
