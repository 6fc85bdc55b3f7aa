# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of the ledger: backup while others write, restore that refuses, export with its columns."""

from __future__ import annotations

import csv
import datetime
import json
import multiprocessing
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle import ledger_file
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import open_copy, open_ledger
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_copies import (
    backup,
    export_files,
    restorable,
    restore,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_file import LedgerError
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import (
    Batch,
    Part,
    Reading,
    StateChange,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_schema import MIGRATIONS
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


def later(seconds: int) -> datetime.datetime:
    return NOW + datetime.timedelta(seconds=seconds)


@pytest.fixture
def path(tmp_path: Path) -> str:
    place = tmp_path / "state" / "ledger.db"
    fill(str(place), "node01")
    return str(place)


def fill(path: str, node: str, run: str = "run1") -> None:
    with open_ledger(path) as ledger:
        ledger.record(
            Batch(
                run=run,
                phase="health",
                states=[StateChange(node, State.SET_ASIDE, reason='says "no", twice')],
                findings={node: [Finding("gpu.count", "gpu:3", Verdict.FAIL, "7 of 8")]},
                parts={node: {"gpu": Reading([Part("s1", "gpu:1", f"A-{node}")], True)}},
            )
        )


def nodes(path: str) -> list[str]:
    with open_copy(path) as ledger:
        return list(ledger.nodes())


def test_a_backup_is_a_whole_ledger_and_old_ones_go(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "ledger-notes.db").write_text("mine")
    files = [backup(path, str(folder), 2, later(second)) for second in range(3)]
    assert files[0][0] == str(folder / "ledger-20260102T030405000000Z.db")
    assert [removed for _file, removed in files] == [[], [], [files[0][0]]]
    assert sorted(each.name for each in folder.iterdir()) == [
        "ledger-20260102T030406000000Z.db",
        "ledger-20260102T030407000000Z.db",
        "ledger-notes.db",
    ]
    assert Path(files[2][0]).stat().st_mode & 0o777 == 0o640
    assert nodes(files[2][0]) == ["node01"]


def _write(path: str, ready: Any, stop: Any) -> None:
    number = 0
    while not stop.is_set() or number < 5:
        fill(path, f"busy{number:05}", f"run{number}")
        number += 1
        ready.set()


def test_a_backup_beside_a_writer_is_whole(path: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    writer = context.Process(target=_write, args=(path, ready, stop))
    writer.start()
    try:
        assert ready.wait(60)
        copies = [backup(path, str(tmp_path / "backups"), 9, later(second))[0] for second in range(5)]
    finally:
        stop.set()
        writer.join(60)
    assert writer.exitcode == 0
    for copy in copies:
        with open_copy(copy) as ledger:
            exported = ledger.export()
        assert len(exported["nodes"]) == len(exported["transitions"]) == len(exported["findings"])
        assert len(exported["parts"]) == len(exported["nodes"])


def test_what_is_not_there_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger to back up"):
        backup(str(tmp_path / "none.db"), str(tmp_path), 3, NOW)


def test_a_restore_puts_the_backup_in_place_and_keeps_what_was_there(path: str, tmp_path: Path) -> None:
    with open_ledger(path) as ledger:
        ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=600)
        copy, _removed = backup(path, str(tmp_path / "backups"), 3, NOW)
        ledger.release_locks(None, run="run1")
    fill(path, "node02", "run2")
    with open_ledger(path) as reader:
        aside = restore(path, copy, NOW)
        assert list(reader.nodes()) == ["node01"], "who has it open sees the restored one"
    assert nodes(path) == ["node01"]
    assert aside == f"{path}.replaced-20260102T030405000000Z"
    assert nodes(aside) == ["node01", "node02"]
    with open_ledger(path) as ledger:
        assert ledger.locks() == [], "a lock of then says nothing of now"
    fill(path, "node03", "run3")
    assert nodes(path) == ["node01", "node03"]


def test_a_restore_where_nothing_was(path: str, tmp_path: Path) -> None:
    new = str(tmp_path / "elsewhere" / "ledger.db")
    copy, _removed = backup(path, str(tmp_path), 3, NOW)
    assert restore(new, copy, NOW) == ""
    fill(new, "node02", "run2")
    assert nodes(new) == ["node01", "node02"]


def test_a_restore_in_place_of_a_damaged_ledger(path: str, tmp_path: Path) -> None:
    copy, _removed = backup(path, str(tmp_path), 3, NOW)
    Path(path).write_bytes(b"no database " * 500)
    Path(f"{path}-wal").write_bytes(b"left over")
    restorable(path, copy)
    aside = restore(path, copy, NOW)
    assert Path(aside).read_bytes().startswith(b"no database")
    assert Path(f"{aside}-wal").read_bytes() == b"left over"
    fill(path, "node02", "run2")
    assert nodes(path) == ["node01", "node02"]


def _other_database(place: Path) -> None:
    with sqlite3.connect(place) as other:
        other.execute("CREATE TABLE nodes (node TEXT)")
        other.execute("PRAGMA user_version = 1")


def _newer(place: Path) -> None:
    open_ledger(str(place)).close()
    with sqlite3.connect(place) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda place: None, "there is no backup of a ledger"),
        (lambda place: place.write_bytes(b""), "there is no backup of a ledger"),
        (lambda place: place.write_text("plain text " * 100), "is no ledger"),
        (_other_database, "is a database, and no ledger"),
        (_newer, f"has schema {len(MIGRATIONS) + 1}, this version"),
    ],
)
def test_what_is_no_ledger_of_this_version_is_refused(path: str, tmp_path: Path, make: Any, words: str) -> None:
    source = tmp_path / "source.db"
    make(source)
    before = sorted(Path(path).parent.iterdir())
    for attempt in (restorable, lambda path, source: restore(path, source, NOW)):
        with pytest.raises(LedgerError, match=words):
            attempt(path, str(source))
    assert nodes(path) == ["node01"]
    assert [each for each in sorted(Path(path).parent.iterdir()) if "replaced" in each.name] == []
    assert before


def test_a_restore_under_a_run_at_work_is_refused(path: str, tmp_path: Path) -> None:
    copy, _removed = backup(path, str(tmp_path), 3, NOW)
    with open_ledger(path) as ledger:
        ledger.acquire_locks(["node01"], owner="alice", run="run1", seconds=600)
    for attempt in (restorable, lambda path, source: restore(path, source, NOW)):
        with pytest.raises(LedgerError, match=r"node01 by alice \(run run1\)"):
            attempt(path, copy)
    assert restore(path, copy, NOW, ["run1"])


def test_a_backup_of_the_first_schema_is_restored_and_migrated(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = str(tmp_path / "old.db")
    with monkeypatch.context() as patch:
        patch.setattr(ledger_file, "MIGRATIONS", MIGRATIONS[:1])
        connection = ledger_file.connect(old)
        connection.execute("INSERT INTO nodes VALUES ('node77', 'deployed', 't', 'r', '', '', '', '', '', '', '')")
        connection.close()
    restore(path, old, NOW)
    fill(path, "node02", "run2")
    assert nodes(path) == ["node02", "node77"]


def test_json_export_has_every_table(path: str, tmp_path: Path) -> None:
    with open_copy(path) as ledger:
        [file] = export_files(ledger, str(tmp_path / "out"), "json")
        assert json.loads(Path(file).read_text(encoding="utf-8")) == ledger.export()
        assert export_files(ledger, str(tmp_path / "out"), "json") == [], "the same again writes nothing"


def test_csv_export_has_the_columns_that_the_handbook_tells(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with open_copy(path) as ledger:
        planned = export_files(ledger, str(folder), "csv", write=False)
        assert not folder.exists()
        assert export_files(ledger, str(folder), "csv") == planned
    page = (Path(__file__).resolve().parents[3] / "docs/ledger.md").read_text(encoding="utf-8")
    for file in map(Path, planned):
        with file.open(encoding="utf-8", newline="") as stream:
            head, *rows = csv.reader(stream)
        assert f"| `{file.name}` | {', '.join(f'`{column}`' for column in head)} |" in page
        if file.name == "nodes.csv":
            assert dict(zip(head, rows[0], strict=True))["reason"] == 'says "no", twice'
            assert dict(zip(head, rows[0], strict=True))["until"] == ""
        if file.name == "findings.csv":
            assert json.loads(rows[0][head.index("content")])["summary"] == "7 of 8"
