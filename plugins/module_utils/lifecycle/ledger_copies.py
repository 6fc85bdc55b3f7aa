# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of the ledger: backup, restore, and export for other programs. Whole files only, replaced at once."""

from __future__ import annotations

import contextlib
import csv
import datetime
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from .ledger import Ledger, open_copy, open_ledger
from .ledger_file import LedgerError, connect_copy, explained
from .ledger_schema import MIGRATIONS

_BACKUP = re.compile(r"ledger-\d{8}T\d{12}Z\.db")
_FIRST_TABLES = {"runs", "nodes", "transitions", "findings", "passes", "locks"}


def backup(path: str, folder: str, keep: int, now: datetime.datetime) -> tuple[str, list[str]]:
    """Copy the ledger, also while it is written to, to `folder/ledger-<UTC>.db`; keep the newest `keep` of those.

    Returns the new file and those that were removed. Raises LedgerError, also where there is no ledger.
    """
    if not Path(path).exists():
        raise LedgerError(f"{path}: there is no ledger to back up.")
    target = Path(folder) / f"ledger-{_stamp(now)}.db"
    with explained(folder):
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o750)
        with explained(path):
            source = connect_copy(path)
        try:
            _write(source, target)
        finally:
            source.close()
        mine = sorted(each for each in Path(folder).iterdir() if _BACKUP.fullmatch(each.name))
        surplus = mine[: max(len(mine) - keep, 0)]
        for each in surplus:
            each.unlink()
    return str(target), [str(each) for each in surplus]


def check_backup(source: str) -> sqlite3.Connection:
    """What a backup holds, in memory and of the present schema. Raises LedgerError for anything that is no ledger."""
    with explained(source):
        if not Path(source).is_file() or not Path(source).stat().st_size:
            raise LedgerError(f"{source}: there is no backup of a ledger. Name a file that a backup made.")
        with contextlib.closing(sqlite3.connect(f"{Path(source).absolute().as_uri()}?mode=ro", uri=True)) as looked:
            try:
                version = int(looked.execute("PRAGMA user_version").fetchone()[0])
                tables = {row[0] for row in looked.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            except sqlite3.DatabaseError as error:
                raise LedgerError(f"{source}: is no ledger ({error}). Name a file that a backup made.") from error
    if not version or (version <= len(MIGRATIONS) and not tables >= _FIRST_TABLES):
        raise LedgerError(f"{source}: is a database, and no ledger. Name a file that a backup made.")
    return connect_copy(source)


def restore(path: str, source: str, now: datetime.datetime, dead_runs: Sequence[str] = ()) -> str:
    """Put a backup in the ledger's place; what was there is kept beside it. Returns the path of that, or "".

    Readers and writers at work see the one or the other, never half. Refused while a run holds nodes: its lock
    would be forgotten. Raises LedgerError and changes nothing.
    """
    with contextlib.closing(check_backup(source)) as content:
        content.execute("DELETE FROM locks")
        aside = f"{path}.replaced-{_stamp(now)}"
        if not Path(path).exists():
            with explained(path):
                Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                _write(content, Path(path))
            return ""
        try:
            ledger = open_ledger(path)
        except LedgerError as error:
            if "damaged" not in str(error):
                raise
            with explained(path):
                _move_aside(path, aside)
                _write(content, Path(path))
            return aside
        with ledger:
            _refuse_while_held(ledger, dead_runs)
            with explained(path):
                with contextlib.closing(connect_copy(path)) as old:
                    _write(old, Path(aside))
                ledger.replace_with(content)
    return aside


def restorable(path: str, source: str, dead_runs: Sequence[str] = ()) -> None:
    """What `restore` would refuse, refused without changing anything. Raises LedgerError."""
    check_backup(source).close()
    try:
        copy = open_copy(path)
    except LedgerError as error:
        if "damaged" not in str(error):
            raise
        return
    with copy:
        _refuse_while_held(copy, dead_runs)


def export_files(ledger: Ledger, folder: str, form: str, *, write: bool = True) -> list[str]:
    """Write `ledger.json`, or a `<table>.csv` for each table with its columns in the first line.

    Returns the files whose content changes; without `write` nothing is written. Raises LedgerError.
    """
    content = ledger.export()
    files: dict[str, Callable[[TextIO], None]] = {}
    if form == "json":
        files["ledger.json"] = lambda stream: json.dump(content, stream, indent=1, sort_keys=True)
    else:
        for table, columns in ledger.columns().items():
            files[f"{table}.csv"] = _csv_writer(columns, content[table])
    changed = []
    with explained(folder):
        if write:
            Path(folder).mkdir(parents=True, exist_ok=True, mode=0o750)
        for name, writer in sorted(files.items()):
            place = Path(folder) / name
            with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as stream:
                writer(stream)
                stream.seek(0)
                text = stream.read()
            if place.exists() and place.read_bytes() == text.encode():
                continue
            changed.append(str(place))
            if write:
                with _replacing(place) as temporary:
                    temporary.write_bytes(text.encode())
    return changed


def _csv_writer(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> Callable[[TextIO], None]:
    def write(stream: TextIO) -> None:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        for row in rows:
            cells = (row[column] for column in columns)
            table.writerow(
                "" if cell is None else json.dumps(cell, sort_keys=True) if isinstance(cell, (dict, list)) else cell
                for cell in cells
            )

    return write


def _refuse_while_held(ledger: Ledger, dead_runs: Sequence[str]) -> None:
    held = [lock for lock in ledger.locks(active=True) if lock.run not in dead_runs]
    if held:
        raise LedgerError(
            f"{len(held)} nodes are held by a run that is at work, {held[0].node} by {held[0].holder}. "
            "Wait for it to end: it would write into another ledger than the one it began with."
        )


def _stamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")


def _write(content: sqlite3.Connection, place: Path) -> None:
    """Write a database file whole: copied beside its place, on the disk, and only then renamed."""
    with _replacing(place) as temporary, contextlib.closing(sqlite3.connect(temporary)) as target:
        content.backup(target)


@contextlib.contextmanager
def _replacing(place: Path) -> Iterator[Path]:
    """A file beside `place` that takes its name when all went well."""
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    temporary = Path(name)
    os.close(handle)
    try:
        yield temporary
        temporary.chmod(0o640)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _move_aside(path: str, aside: str) -> None:
    """A damaged ledger with what belongs to it: a log left behind would be taken for the new one's."""
    for suffix in ("-wal", "-shm", ""):
        if Path(f"{path}{suffix}").exists():
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
