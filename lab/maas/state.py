# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region's database: tables in memory, a journal of what each transaction changed, and now and then a snapshot.

Snapshot and journal lie beside each other (maas.json, maas.journal). Every commit appends one line to the journal
before anybody is told; the snapshot follows when there is time, and starts a new journal.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lab import files
from lab.maas.tables import INITIAL, KEYS, Tables

Record = dict[str, Any]

VERSION = 2
_LETTERS = "3468abcdefghkmnpqrtwxy"
_SNAPSHOT_AFTER = 1.0


class StateError(Exception):
    """The state file cannot be used."""


def fresh() -> Record:
    """An empty database: a region that was just set up, with its administrator."""
    copied: Record = json.loads(json.dumps(INITIAL))
    return copied


class Store:
    """State shared by all threads, and its files.

    Everything is read and changed inside `transaction()`. An exception rolls the transaction back. `changed` is
    notified after every change, and `of_machine()` after one of that machine, so that workers wait for conditions
    instead of for time.

    Args:
        path: the snapshot; absent means a new region.
        initial: makes the state of a new region.

    Raises:
        StateError: the file is there and is no state of this version.
    """

    def __init__(self, path: Path, initial: Callable[[], Record] = fresh) -> None:
        self._path = path
        self.directory = path.parent
        self._journal_path = path.with_suffix(".journal")
        self._lock = threading.RLock()
        self._depth = 0
        self._sequence = 0
        self.changed = threading.Condition(self._lock)
        self._machines: dict[str, threading.Condition] = {}
        self._due: threading.Timer | None = None
        self._tables = Tables()
        self.data: Record = self._tables.data
        self._load(initial)
        self._write_snapshot()
        # a new file: whoever has the old one open, an earlier run that was not ended yet, writes nothing here
        self._journal_path.unlink(missing_ok=True)
        self._journal: IO[bytes] = self._journal_path.open("ab", buffering=0)
        self._owned = os.fstat(self._journal.fileno()).st_ino

    def _load(self, initial: Callable[[], Record]) -> None:
        content: Record
        if self._path.exists():
            content = self._read_snapshot()
            self._tables.load({**fresh(), **content})
            self._replay(int(content.get("sequence", 0)))
        else:
            self._tables.load(initial())

    def _read_snapshot(self) -> Record:
        try:
            content: Record = json.loads(self._path.read_text(encoding="utf-8"))
            version = content["version"]
        except (ValueError, KeyError, TypeError) as error:
            message = f"{self._path} is no state of the MAAS simulator: remove it to start with a new region"
            raise StateError(message) from error
        if version != VERSION:
            raise StateError(f"{self._path} has version {version}, not {VERSION}: remove it to start with a new region")
        return content

    def _replay(self, done: int) -> None:
        self._sequence = done
        if not self._journal_path.exists():
            return
        for line in self._journal_path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                # the last one, cut off when the simulator was killed: nobody was told of it
                return
            entry = json.loads(line)
            if entry["sequence"] > done:
                self._tables.apply(entry["rows"])
                self._sequence = entry["sequence"]

    # -- transactions --------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Record]:
        """Hold the state without changing it."""
        with self._lock:
            yield self.data

    @contextmanager
    def transaction(self) -> Iterator[Record]:
        """Hold the state; keep what was changed, or undo it all when an exception leaves the block. May be nested."""
        with self._lock:
            self._depth += 1
            try:
                yield self.data
                if self._depth == 1:
                    self._commit()
            except BaseException:
                self._tables.undo()
                raise
            finally:
                self._depth -= 1

    def _commit(self) -> None:
        rows = self._tables.changes()
        if not rows:
            self._tables.keep()
            return
        text = ",".join(f"[{json.dumps(table)},{json.dumps(key)},{value}]" for table, key, value in rows)
        self._journal.write(f'{{"sequence":{self._sequence + 1},"rows":[{text}]}}\n'.encode())
        self._sequence += 1
        self._tables.keep()
        self.changed.notify_all()
        for table, key, _ in rows:
            waited = self._machines.get(key) if table == "machines" else None
            if waited:
                waited.notify_all()
        if self._due is None:
            self._due = threading.Timer(_SNAPSHOT_AFTER, self.snapshot)
            self._due.daemon = True
            self._due.start()

    def snapshot(self) -> None:
        """Write the whole state and start a new journal."""
        with self._lock:
            if self._due:
                self._due.cancel()
            self._due = None
            try:
                current = self._journal_path.stat().st_ino
            except FileNotFoundError:
                return
            if current != self._owned:
                return
            self._write_snapshot()
            self._journal.truncate(0)

    def _write_snapshot(self) -> None:
        content = {**self.data, "version": VERSION, "sequence": self._sequence}
        files.write_text(self._path, json.dumps(content, separators=(",", ":")))

    def close(self) -> None:
        """Write the snapshot; no transaction may follow."""
        with self._lock:
            self.snapshot()
            self._journal.close()

    # -- what handlers need --------------------------------------------------------------------------------------

    def of_machine(self, system_id: str) -> threading.Condition:
        """Notified whenever a change of this machine was committed."""
        with self._lock:
            return self._machines.setdefault(system_id, threading.Condition(self._lock))

    def wake(self) -> None:
        """Have everybody who waits for a change look up."""
        with self._lock:
            for condition in (self.changed, *self._machines.values()):
                condition.notify_all()

    def next_id(self, counter: str) -> int:
        """Next number of a sequence, from 1."""
        value = int(self.data["counters"].get(counter, 0)) + 1
        self.data["counters"][counter] = value
        return value

    def new_system_id(self) -> str:
        """An unused system_id."""
        while True:
            candidate = "".join(random.choices(_LETTERS, k=6))
            if self.machine(candidate) is None:
                return candidate

    def add(self, table: str, record: Record) -> Record:
        """Put a record into a table; the record as the database has it, which alone may be changed from now on."""
        self.data[table].append(record)
        added: Record = self.data[table][-1]
        return added

    def find(self, table: str, key: Any) -> Record | None:
        """Record of a table by its key (machines: system_id; the others: id)."""
        if table in KEYS:
            return self._tables.by_key(table, key)
        return next((one for one in self.data[table] if one["id"] == key), None)

    def machine(self, system_id: str) -> Record | None:
        """Machine by system_id."""
        return self._tables.by_key("machines", system_id)
